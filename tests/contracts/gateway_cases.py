"""The contract of every gateway, for any provider."""

import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any, ClassVar

import anyio
import pytest
from msgspec import Struct

from meeting_core.model import FaultClass, Message
from meeting_service.gateways import streaming
from meeting_service.ports import (
    Gateway,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    RateLimited,
    TimedOut,
    Unavailable,
)
from tests.meeting_service.gateways.wire_peer import (
    Asked,
    Drops,
    Hangs,
    Script,
    refusal,
    whole,
    wire_peer,
)

KEY = "sk-a-secret-that-nobody-may-see"
TEXT = "We ship on Monday — the naïve plan, with 20 % slack. 漢字 too."
LONG_ENOUGH_SECONDS = 20.0
UNREACHABLE = ("502 Bad Gateway", "503 Service Unavailable", "529 Overloaded")
FAULTS_OF_ONE_CALL = [kind for kind in FaultClass if kind is not FaultClass.UNSUPPORTED]
"""Which an adapter may answer with whatever calls came before; what it learnt of a server's form it
says once.
"""
THERE = ("400 Bad Request", "401 Unauthorized", "404 Not Found", "429 Slow", "500 Error")


class Plan(Struct, frozen=True, kw_only=True):
    """How a peer is to answer one call. A stall comes after the first word."""

    text: str = TEXT
    finish_reason: str = "stop"
    fault: FaultClass | None = None
    retry_after_seconds: float | None = None
    stalls: bool = False


class Peer(ABC):
    """What is behind a gateway."""

    @asynccontextmanager
    @abstractmethod
    def gateway(self, *plans: Plan) -> AsyncIterator[Gateway]:
        """Return a gateway whose calls are answered by these plans, one after the other."""

    @asynccontextmanager
    @abstractmethod
    def unreachable_gateway(self) -> AsyncIterator[Gateway]:
        """Return a gateway whose provider is unreachable."""


class NetworkPeer(Peer):
    """A server that counts what it is asked."""

    @abstractmethod
    def new_gateway(self, base_url: str) -> Gateway: ...

    @asynccontextmanager
    async def unreachable_gateway(self) -> AsyncIterator[Gateway]:
        with socket.socket() as taken:
            # Bound, so that no other process gets the port, but not listening.
            taken.bind(("127.0.0.1", 0))
            async with self.gateway_at(f"http://127.0.0.1:{taken.getsockname()[1]}/v1") as gateway:
                yield gateway

    @asynccontextmanager
    async def gateway_at(self, base_url: str) -> AsyncIterator[Gateway]:
        gateway = self.new_gateway(base_url)
        try:
            yield gateway
        finally:
            await gateway.aclose()

    @abstractmethod
    async def requests_seen(self) -> int:
        """Count the requests, once all of them have been answered or left."""

    @abstractmethod
    def caps_seen(self) -> list[Any]: ...

    @abstractmethod
    def call_keys_seen(self) -> list[str | None]: ...


class JudgingPeer(NetworkPeer):
    """A server that has an opinion on its client."""

    @abstractmethod
    def mistakes(self) -> list[str]:
        """List what the peer holds against its client."""


def request(attempt: int = 1, **changes: Any) -> GatewayRequest:
    values: dict[str, Any] = {
        "messages": (Message("system", "You are Devi."), Message("user", "What is next?")),
        "output_tokens": 100,
        "model": "model-a",
        "timeout_seconds": LONG_ENOUGH_SECONDS,
        "call_key": f"018f3c1a-0000-7000-8000-000000000000/round-1-dev/{attempt}",
    }
    return GatewayRequest(**values | changes)


def request_that_fails(kind: FaultClass) -> GatewayRequest:
    """Ask for something that may fail so: only a deadline has to be waited for."""
    return request(timeout_seconds=0.3 if kind is FaultClass.TIMED_OUT else LONG_ENOUGH_SECONDS)


def ignore(_: str) -> None: ...


async def fault_of(call: Callable[[], Any]) -> GatewayFault:
    with pytest.raises(GatewayFault) as caught:
        await call()
    return caught.value


class CallContract:
    """What every peer can show. Inherit, and give a `peer` fixture.

    Shape: `failures` are the ways to fail that the peer can be configured with.
    """

    failures: ClassVar[Sequence[FaultClass]] = tuple(FAULTS_OF_ONE_CALL)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "kind" in metafunc.fixturenames:
            metafunc.parametrize("kind", self.failures)
        if "other" in metafunc.fixturenames:
            others = [each for each in self.failures if each is not FaultClass.UNAVAILABLE]
            metafunc.parametrize("other", others)

    async def test_the_deltas_together_are_the_text(self, peer: Peer) -> None:
        deltas: list[str] = []
        async with peer.gateway(Plan()) as gateway:
            reply = await gateway.complete(request(), deltas.append)
        assert "".join(deltas) == reply.text == TEXT
        assert len(deltas) > 1
        assert all(deltas)
        assert reply.finish_reason == "stop"

    async def test_the_reply_names_the_model_and_what_the_provider_reported(
        self, peer: Peer
    ) -> None:
        async with peer.gateway(Plan()) as gateway:
            reply = await gateway.complete(request(), ignore)
        assert reply.model == "model-a"
        assert reply.usage is not None
        assert reply.usage.prompt_tokens
        assert reply.usage.completion_tokens

    async def test_a_failure_is_exactly_one_fault(self, peer: Peer, kind: FaultClass) -> None:
        async with peer.gateway(Plan(fault=kind)) as gateway:
            fault = await fault_of(partial(gateway.complete, request_that_fails(kind), ignore))
        assert type(fault).fault_class is kind
        assert fault.detail == str(fault)
        assert fault.detail.isprintable()
        assert 10 < len(fault.detail) <= 500
        assert KEY not in fault.detail
        assert fault.reached

    async def test_a_call_after_a_fault_is_as_good_as_the_first(
        self, peer: Peer, kind: FaultClass
    ) -> None:
        async with peer.gateway(Plan(fault=kind), Plan()) as gateway:
            await fault_of(partial(gateway.complete, request_that_fails(kind), ignore))
            deltas: list[str] = []
            reply = await gateway.complete(request(2), deltas.append)
        assert "".join(deltas) == reply.text == TEXT

    async def test_calls_at_once_do_not_mix(self, peer: Peer) -> None:
        replies: dict[int, tuple[GatewayReply, list[str]]] = {}

        async def call(attempt: int) -> None:
            deltas: list[str] = []
            reply = await gateway.complete(request(attempt), deltas.append)
            replies[attempt] = reply, deltas

        plans = [Plan(text=f"Number {n} says {n} times {n}.") for n in range(1, 9)]
        async with peer.gateway(*plans) as gateway, anyio.create_task_group() as calls:
            for attempt in range(1, 9):
                calls.start_soon(call, attempt)
        assert all("".join(deltas) == reply.text for reply, deltas in replies.values())
        assert {reply.text for reply, _ in replies.values()} == {plan.text for plan in plans}

    async def test_closing_twice_is_closing_once(self, peer: Peer) -> None:
        async with peer.gateway(Plan()) as gateway:
            await gateway.complete(request(), ignore)
            await gateway.aclose()
            await gateway.aclose()


class GatewayContract(CallContract):
    """What takes a peer besides that ends an answer in any way, and pauses in the middle of it."""

    async def test_a_reply_that_ran_into_its_cap_is_a_reply(self, peer: Peer) -> None:
        async with peer.gateway(Plan(text="Half a", finish_reason="length")) as gateway:
            reply = await gateway.complete(request(), ignore)
        assert (reply.text, reply.finish_reason) == ("Half a", "length")

    async def test_when_to_come_back_is_passed_on(self, peer: Peer) -> None:
        plan = Plan(fault=FaultClass.RATE_LIMITED, retry_after_seconds=2.5)
        async with peer.gateway(plan) as gateway:
            fault = await fault_of(partial(gateway.complete, request(), ignore))
        assert isinstance(fault, RateLimited)
        assert fault.retry_after_seconds == 2.5

    async def test_a_stalled_answer_ends_at_the_deadline(self, peer: Peer) -> None:
        deltas: list[str] = []
        async with peer.gateway(Plan(stalls=True)) as gateway:
            started = monotonic()
            fault = await fault_of(
                partial(gateway.complete, request(timeout_seconds=0.3), deltas.append)
            )
            took = monotonic() - started
        assert isinstance(fault, TimedOut)
        assert 0.3 <= took < 1.3
        assert "".join(deltas).strip() == TEXT.split(maxsplit=1)[0]

    @pytest.mark.parametrize("how", ["task", "scope"])
    async def test_a_cancelled_call_is_over_within_a_second(self, peer: Peer, how: str) -> None:
        async with peer.gateway(Plan(stalls=True)) as gateway:
            took = await seconds_to_cancel(gateway, how)
        assert took < 1.0

    async def test_a_probe_of_a_provider_that_is_there_returns(self, peer: Peer) -> None:
        async with peer.gateway() as gateway:
            with anyio.fail_after(LONG_ENOUGH_SECONDS):
                await gateway.probe()

    async def test_an_unreachable_provider_is_reported_as_such(self, peer: Peer) -> None:
        async with peer.unreachable_gateway() as gateway:
            for ask in (gateway.probe, partial(gateway.complete, request(), ignore)):
                fault = await fault_of(ask)
                assert isinstance(fault, Unavailable)
                assert fault.is_unreachable
                assert not fault.reached
                assert fault.detail.isprintable()
                assert KEY not in fault.detail

    async def test_a_call_that_fails_otherwise_does_not_make_the_provider_unreachable(
        self, peer: Peer, other: FaultClass
    ) -> None:
        async with peer.gateway(Plan(fault=other)) as gateway:
            fault = await fault_of(partial(gateway.complete, request_that_fails(other), ignore))
        assert not fault.is_unreachable


class NetworkCallContract:
    """What is asked besides of a gateway that sends requests."""

    async def test_one_call_is_one_request(self, peer: NetworkPeer, kind: FaultClass) -> None:
        async with peer.gateway(Plan(fault=kind)) as gateway:
            await fault_of(partial(gateway.complete, request_that_fails(kind), ignore))
            assert await peer.requests_seen() == 1

    @pytest.mark.parametrize("status", UNREACHABLE)
    async def test_an_answer_in_the_providers_place_makes_the_provider_unreachable(
        self, peer: NetworkPeer, status: str
    ) -> None:
        for ask in (probe, call):
            fault = await fault_of(partial(ask, peer, refusal(status, {"message": "Later."})))
            assert isinstance(fault, Unavailable)
            assert fault.is_unreachable
            assert fault.reached

    @pytest.mark.parametrize("status", THERE)
    async def test_any_other_answer_is_the_providers_own(
        self, peer: NetworkPeer, status: str
    ) -> None:
        answer = refusal(status, {"message": "Not so."})
        await probe(peer, answer)
        assert not (await fault_of(partial(call, peer, answer))).is_unreachable

    async def test_a_connection_lost_without_an_answer_proves_nothing_but_to_a_probe(
        self, peer: NetworkPeer
    ) -> None:
        assert (await fault_of(partial(probe, peer, [Drops()]))).is_unreachable
        assert not (await fault_of(partial(call, peer, [Drops()]))).is_unreachable

    async def test_a_probe_takes_any_list_of_models_and_shows_the_key(
        self, peer: NetworkPeer
    ) -> None:
        for body in ("<html>", '{"data": 7}', ""):
            asked = await probe(peer, whole("200 OK", body))
            assert (asked.method, asked.path.split("/")[-1]) == ("GET", "models")
            assert any(KEY in value for value in asked.headers.values())

    async def test_a_probe_waits_for_an_answer_for_seconds_only(
        self, peer: NetworkPeer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streaming, "PROBE_SECONDS", 0.05)
        assert (await fault_of(partial(probe, peer, [Hangs()]))).is_unreachable

    async def test_a_closed_gateway_cannot_probe_and_is_not_unreachable(
        self, peer: NetworkPeer
    ) -> None:
        async with peer.gateway() as gateway:
            await gateway.aclose()
            fault = await fault_of(gateway.probe)
        assert isinstance(fault, Unavailable)
        assert not fault.is_unreachable

    async def test_the_cap_and_the_call_key_are_sent(self, peer: NetworkPeer) -> None:
        async with peer.gateway(Plan(), Plan()) as gateway:
            await gateway.complete(request(1, output_tokens=77), ignore)
            await gateway.complete(request(2, output_tokens=78), ignore)
        assert peer.caps_seen() == [77, 78]
        assert peer.call_keys_seen() == [request(1).call_key, request(2).call_key]


class NetworkGatewayContract(GatewayContract, NetworkCallContract):
    """All that is asked of a gateway that sends requests."""

    @pytest.mark.parametrize("how", ["task", "scope"])
    async def test_the_provider_sees_a_cancelled_call_go(self, peer: NetworkPeer, how: str) -> None:
        async with peer.gateway(Plan(stalls=True)) as gateway:
            await seconds_to_cancel(gateway, how)
            # Counts only once the stall, far longer than this test may take, has been left.
            assert await peer.requests_seen() == 1

    async def test_the_provider_sees_a_call_go_at_its_deadline(self, peer: NetworkPeer) -> None:
        async with peer.gateway(Plan(stalls=True)) as gateway:
            await fault_of(partial(gateway.complete, request(timeout_seconds=0.2), ignore))
            assert await peer.requests_seen() == 1

    async def test_with_a_retry_above_it_the_client_behaves(
        self, peer: JudgingPeer, kind: FaultClass
    ) -> None:
        async with peer.gateway(Plan(fault=kind, retry_after_seconds=0.0), Plan()) as gateway:
            await fault_of(partial(gateway.complete, request_that_fails(kind), ignore))
            if kind not in {"rejected", "refused", "context_too_long"}:
                await gateway.complete(request(), ignore)
            await peer.requests_seen()
        assert peer.mistakes() == []


async def probe(peer: NetworkPeer, answer: Script) -> Asked:
    """Probe a server that gives this answer; say what it was asked."""
    async with wire_peer(answer) as server, peer.gateway_at(server.base_url) as gateway:
        await gateway.probe()
    return server.asked[0]


async def call(peer: NetworkPeer, answer: Script) -> None:
    """Make a call to a server that gives this answer."""
    async with wire_peer(answer) as server, peer.gateway_at(server.base_url) as gateway:
        await gateway.complete(request(), ignore)


async def seconds_to_cancel(gateway: Gateway, how: str) -> float:
    """Cancel a call once its first delta has come; say how long it took to end."""
    begun = anyio.Event()
    at: list[float] = []

    async def call() -> None:
        try:
            await gateway.complete(request(), lambda _: begun.set())
        finally:
            at.append(monotonic())

    if how == "task":
        return await _cancelled_task(call, begun, at)
    async with anyio.create_task_group() as calls:
        calls.start_soon(call)
        await begun.wait()
        started = monotonic()
        calls.cancel_scope.cancel()
    return at[0] - started


async def _cancelled_task(call: Callable[[], Any], begun: anyio.Event, at: list[float]) -> float:
    import asyncio

    task = asyncio.ensure_future(call())
    await begun.wait()
    started = monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return at[0] - started
