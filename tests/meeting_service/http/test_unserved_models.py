"""A gateway that does not serve one of its models: its speakers are skipped, nothing waits."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from meeting_service.app import running
from meeting_service.ports import GatewayFault, GatewayReply, GatewayRequest, Unavailable
from meeting_service.settings import CustomGateway
from tests.meeting_service.http.service import TIMEOUT_SECONDS, Client, settings_for
from tests.model_peer import MINUTES

pytestmark = pytest.mark.anyio

TURN_SECONDS = 2.0
"""More than a turn takes whose model is not served, and far less than a wait for a gateway."""


def named(model: str) -> GatewayFault:
    detail = f"answered 503: no available channel for model {model} under group default"
    return Unavailable(detail, is_unreachable=True, names_model=True)


def unnamed(model: str) -> GatewayFault:
    return Unavailable("answered 503: service unavailable", is_unreachable=True)


class Provider:
    """A gateway that answers at once for every model but `gone`, while it answers its probes."""

    def __init__(self, fault: Callable[[str], GatewayFault]) -> None:
        self.fault = fault
        self.is_gone: Callable[[str], bool] = lambda model: model == "gone"
        self.calls: Counter[str] = Counter()

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        self.calls[request.model] += 1
        if self.is_gone(request.model):
            raise self.fault(request.model)
        text = MINUTES if "/synthesis/" in request.call_key else f"I speak as {request.model}."
        return GatewayReply(text, "stop")

    async def probe(self) -> None: ...

    async def aclose(self) -> None: ...


@asynccontextmanager
async def served(
    provider: Provider, database_url: str, folder: Path, **changes: Any
) -> AsyncIterator[Client]:
    settings = settings_for(
        database_url, folder, gateways={"main": CustomGateway()}, max_attempts=2, **changes
    )
    async with (
        running(settings, gateways={"main": provider}) as url,
        Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
    ):
        yield client


def team(*models: str, fallback: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return a participant for each model, named by its place: the first one has the fallbacks."""
    ids = ("ann", "bob", "cat")
    found = [{"id": name, "name": name, "model": m} for name, m in zip(ids, models, strict=False)]
    return [{**found[0], "fallback_models": list(fallback)}, *found[1:]]


def spoken_in(status: dict[str, Any]) -> list[str | None]:
    return [turn["skipped_reason"] for held in status["rounds"] for turn in held["turns"]]


def warnings_in(received: list[tuple[str, str, dict[str, Any]]]) -> set[str]:
    return {data["code"] for name, _, data in received if name == "meeting-warning"}


async def test_a_participant_whose_model_is_not_served_is_skipped_and_the_rest_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    provider = Provider(named)
    async with served(provider, database_url, tmp_path) as client:
        began = anyio.current_time()
        meeting_id = await client.start(participants=team("gone", "good", "good"))
        received = await client.watched(meeting_id)
        seconds = anyio.current_time() - began
        status = await client.status(meeting_id)
        facts = await client.facts(meeting_id)
    assert status["state"] == "complete"
    assert spoken_in(status) == ["unavailable", None, None]
    assert seconds < 2 * TURN_SECONDS  # ann's turn, and her synthesis before bob's
    assert "gateway_away" not in warnings_in(received)
    assert provider.calls["gone"] <= 4  # two attempts at her turn and at the minutes
    failed = [fact["data"] for fact in facts if "fault" in fact["data"]]
    assert {(each["charged"], each["is_model_unavailable"]) for each in failed} == {(0, True)}


async def test_a_fallback_model_speaks_at_once_and_each_turn_begins_with_the_first(
    database_url: str, tmp_path: Path
) -> None:
    provider = Provider(named)
    async with served(provider, database_url, tmp_path) as client:
        began = anyio.current_time()
        meeting_id = await client.start(
            participants=team("gone", "good", fallback=["good"]), num_rounds=2
        )
        status = await client.ended(meeting_id)
        seconds = anyio.current_time() - began
        facts = await client.facts(meeting_id)
    assert spoken_in(status) == [None] * 4
    assert seconds < TURN_SECONDS
    started = [fact["data"] for fact in facts if "manifest" in fact["data"]]
    models = [each["model"] for each in started if each["agent_id"] == "ann"]
    assert models == ["gone", "good"] * 3  # two turns and the minutes


async def test_a_model_that_fails_unnamed_while_others_answer_is_no_reason_to_wait(
    database_url: str, tmp_path: Path
) -> None:
    provider = Provider(unnamed)
    async with served(provider, database_url, tmp_path) as client:
        meeting_id = await client.start(participants=team("good", "gone", "good"))
        received = await client.watched(meeting_id)
        status = await client.status(meeting_id)
    assert status["state"] == "complete"
    assert spoken_in(status) == [None, "unavailable", None]
    assert "gateway_away" not in warnings_in(received)


@pytest.mark.parametrize("status", [503, 529])
async def test_the_first_model_of_a_process_fails_unnamed_and_its_fallback_speaks(
    database_url: str, tmp_path: Path, status: int
) -> None:
    fault = Unavailable(f"answered {status}: Overloaded", is_unreachable=True)
    provider = Provider(lambda _: fault)
    async with served(provider, database_url, tmp_path) as client:
        began = anyio.current_time()
        meeting_id = await client.start(participants=team("gone", "good", fallback=["good"]))
        received = await client.watched(meeting_id)
        seconds = anyio.current_time() - began
        status_now = await client.status(meeting_id)
    assert status_now["state"] == "complete"
    assert spoken_in(status_now) == [None, None]
    assert "gateway_away" not in warnings_in(received)
    assert seconds < TURN_SECONDS


async def test_meetings_with_other_models_do_not_slow_down(
    database_url: str, tmp_path: Path
) -> None:
    provider = Provider(named)
    async with served(provider, database_url, tmp_path) as client:
        for _ in range(10):
            await client.start(participants=team("gone", "gone"))
        began = anyio.current_time()
        status = await client.ended(await client.start(participants=team("good", "good")))
        seconds = anyio.current_time() - began
    assert status["state"] == "complete"
    assert seconds < TURN_SECONDS
    # Forty attempts at turns alone, and those that begin at once after another's failure unasked.
    assert provider.calls["gone"] < 40


async def test_a_gateway_that_lists_its_models_and_serves_none_is_given_up_in_time(
    database_url: str, tmp_path: Path
) -> None:
    provider = Provider(unnamed)
    async with served(
        provider, database_url, tmp_path, gateway_reconnect_timeout_seconds=1.5
    ) as client:
        provider.is_gone = lambda model: True
        began = anyio.current_time()
        meeting_id = await client.start(participants=team("gone", "good", fallback=["good"]))
        received = await client.watched(meeting_id)
        seconds = anyio.current_time() - began
        status = await client.status(meeting_id)
    assert (status["state"], status["error_reason"]) == ("error", "gateway_unreachable")
    assert 1.5 <= seconds < 1.5 + TURN_SECONDS
    assert "gateway_away" in warnings_in(received)
    # At once for both models, after half a second, and after another one.
    assert provider.calls.total() <= 4
