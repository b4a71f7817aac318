"""The gateway to OpenAI-compatible servers over llama.cpp's own server with a real model.

What is really the server's: every byte of every answer. What is made so: the text of an answer, by
a grammar that the model has to keep to, and the failures, by requests that the server cannot serve.
What it cannot be brought to do: to ask for a later call, to filter, and to break off.
"""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Any

import anyio
import pytest

from meeting_core.model import FaultClass
from meeting_service.app.gateways import open_gateways
from meeting_service.local_model import MODEL
from meeting_service.ports import Gateway, TimedOut
from meeting_service.settings import OpenAICompatibleGateway
from meeting_service.settings.gateways import Secret
from tests.contracts.gateway_cases import (
    KEY,
    CallContract,
    GatewayContract,
    NetworkCallContract,
    NetworkGatewayContract,
    Peer,
    Plan,
    fault_of,
    ignore,
    request,
)
from tests.real_model.conftest import CONTEXT_TOKENS
from tests.real_model.rewriting_proxy import Changes, RewritingProxy, rewriting_proxy
from tests.real_model.server_state import calls_under_way, until_idle

pytestmark = pytest.mark.anyio

RUNAWAY = {"ignore_eos": True, "max_completion_tokens": CONTEXT_TOKENS}
"""Goes on for far longer than any test here may take."""

FAILURES: dict[FaultClass, Changes] = {
    FaultClass.UNAVAILABLE: {"tools": 3},
    FaultClass.TIMED_OUT: RUNAWAY,
    FaultClass.CONTEXT_TOO_LONG: {
        "messages": [{"role": "user", "content": "word " * (CONTEXT_TOKENS + 100)}]
    },
    FaultClass.REJECTED: {"temperature": "hot"},
    FaultClass.EMPTY: {"grammar": 'root ::= ""'},
}


def changes_for(plan: Plan) -> Changes:
    """Say how to change a request so that the real server answers it by the plan."""
    if plan.stalls:
        return RUNAWAY
    if plan.fault is not None:
        return FAILURES[plan.fault]
    # A string of JSON is one of a grammar too.
    return {"grammar": f"root ::= {json.dumps(plan.text, ensure_ascii=False)}"}


class RealServer(Peer):
    """A real server, asked through a proxy."""

    def __init__(self, url: str, proxy: RewritingProxy) -> None:
        self.url = url
        self.proxy = proxy

    @asynccontextmanager
    async def gateway(self, *plans: Plan) -> AsyncIterator[Gateway]:
        self.proxy.changes += map(changes_for, plans)
        async with self.gateway_at(self.proxy.base_url) as gateway:
            yield gateway

    @asynccontextmanager
    async def gateway_at(self, base_url: str) -> AsyncIterator[Gateway]:
        settings = OpenAICompatibleGateway(base_url=base_url, api_key=Secret(KEY))
        async with open_gateways({"real": settings}, {}) as gateways:
            yield gateways["real"]

    @asynccontextmanager
    async def unreachable_gateway(self) -> AsyncIterator[Gateway]:
        with socket.socket() as taken:
            # Bound, so that no other process gets the port, but not listening.
            taken.bind(("127.0.0.1", 0))
            async with self.gateway_at(f"http://127.0.0.1:{taken.getsockname()[1]}/v1") as gateway:
                yield gateway

    async def requests_seen(self) -> int:
        await until_idle(self.url)
        return len(self.proxy.asked)

    def caps_seen(self) -> list[Any]:
        return [asked.body["max_completion_tokens"] for asked in self.proxy.asked]

    def call_keys_seen(self) -> list[str | None]:
        return [asked.headers.get("idempotency-key") for asked in self.proxy.asked]


class TestOverRealServer(CallContract, NetworkCallContract):
    failures = tuple(FAILURES)

    @pytest.fixture
    async def peer(self, real_model_url: str) -> AsyncIterator[RealServer]:
        async with rewriting_proxy(real_model_url) as proxy:
            yield RealServer(real_model_url, proxy)

    test_a_cancelled_call_is_over_within_a_second = (
        GatewayContract.test_a_cancelled_call_is_over_within_a_second
    )
    test_a_probe_of_a_provider_that_is_there_returns = (
        GatewayContract.test_a_probe_of_a_provider_that_is_there_returns
    )
    test_an_unreachable_provider_is_reported_as_such = (
        GatewayContract.test_an_unreachable_provider_is_reported_as_such
    )
    test_a_call_that_fails_otherwise_does_not_make_the_provider_unreachable = (
        GatewayContract.test_a_call_that_fails_otherwise_does_not_make_the_provider_unreachable
    )
    test_the_provider_sees_a_cancelled_call_go = (
        NetworkGatewayContract.test_the_provider_sees_a_cancelled_call_go
    )

    async def test_the_reply_names_the_model_and_what_the_provider_reported(
        self, peer: RealServer
    ) -> None:
        async with peer.gateway(Plan()) as gateway:
            reply = await gateway.complete(request(), ignore)
        # Whatever model is asked for, the server has this one, and says so.
        assert reply.model == MODEL
        assert reply.usage is not None
        assert reply.usage.prompt_tokens
        assert reply.usage.completion_tokens

    @pytest.mark.parametrize("cap", [1, 5, 40])
    async def test_a_reply_that_ran_into_its_cap_is_a_reply(
        self, peer: RealServer, cap: int
    ) -> None:
        peer.proxy.changes.append({"ignore_eos": True})
        async with peer.gateway() as gateway:
            reply = await gateway.complete(request(output_tokens=cap), ignore)
        assert reply.finish_reason == "length"
        assert reply.usage is not None
        assert reply.usage.completion_tokens == cap
        assert reply.text

    async def test_an_answer_that_does_not_end_is_over_at_the_deadline_on_both_sides(
        self, peer: RealServer
    ) -> None:
        deltas: list[str] = []
        async with peer.gateway(Plan(stalls=True)) as gateway:
            started = monotonic()
            fault = await fault_of(
                partial(gateway.complete, request(timeout_seconds=1.0), deltas.append)
            )
            took = monotonic() - started
            assert await peer.requests_seen() == 1
        assert isinstance(fault, TimedOut)
        assert 1.0 <= took < 2.0
        assert deltas

    async def test_a_call_that_is_cancelled_while_the_model_writes_stops_it(
        self, peer: RealServer
    ) -> None:
        has_begun = anyio.Event()
        async with peer.gateway(Plan(stalls=True)) as gateway:
            async with anyio.create_task_group() as calls:
                calls.start_soon(gateway.complete, request(), lambda _: has_begun.set())
                await has_begun.wait()
                assert await calls_under_way(peer.url) == 1
                calls.cancel_scope.cancel()
            # Long before the text would have been written.
            await until_idle(peer.url)

    async def test_a_call_that_waits_for_others_on_the_server_is_answered(
        self, peer: RealServer
    ) -> None:
        texts = [f"Answer number {number}." for number in range(5)]
        replies: list[str] = []

        async def call(attempt: int) -> None:
            replies.append((await gateway.complete(request(attempt), ignore)).text)

        async with (
            peer.gateway(*(Plan(text=text) for text in texts)) as gateway,
            anyio.create_task_group() as calls,
        ):
            for attempt in range(len(texts)):
                calls.start_soon(call, attempt)
        assert sorted(replies) == texts
