"""Control of a live meeting over HTTP: pause, resume, wrap up, budget; and what it waits for."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from meeting_core.model import FaultClass
from meeting_service.settings import (
    AgentSettings,
    ModelPriceSettings,
    PriceList,
    ScriptedGateway,
)
from tests.meeting_service.http.service import (
    TIMEOUT_SECONDS,
    Client,
    assert_problem,
    served,
    settings_for,
)

pytestmark = pytest.mark.anyio

TIGHT = {"meeting_tokens": 5_000, "num_rounds": 3}
"""Pays for the minutes and for some of the turns."""


async def until(read: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again and again, until there is an answer."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        while not (found := await read()):
            await anyio.lowlevel.checkpoint()
    return found


async def waiting(client: Client, meeting_id: str) -> dict[str, Any]:
    """Return what a meeting waits for, once it waits."""

    async def read() -> Any:
        return (await client.status(meeting_id))["waiting"]

    return dict(await until(read))


async def control(client: Client, meeting_id: str, what: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/meetings/{meeting_id}/{what}", json=body or None)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# --- pause and resume --------------------------------------------------------------------------


async def test_a_meeting_is_paused_and_resumed_and_repeating_it_answers_the_same(stalled):
    meeting_id = await stalled.start()
    paused = {"id": meeting_id, "state": "paused"}
    assert await control(stalled, meeting_id, "pause", reason="lunch") == paused
    assert await control(stalled, meeting_id, "pause") == paused
    status = await stalled.status(meeting_id)
    assert (status["state"], status["waiting"]) == ("paused", None)
    resumed = {"id": meeting_id, "state": "round_1"}
    assert await control(stalled, meeting_id, "resume", reason="back") == resumed
    assert await control(stalled, meeting_id, "resume") == resumed
    data = [fact["data"] for fact in await stalled.facts(meeting_id)]
    assert {"reason": "lunch"} in data


async def test_a_paused_meeting_starts_nothing_new_and_goes_on_when_resumed(
    database_url: str, tmp_path: Path
) -> None:
    gateways = {"scripted": ScriptedGateway(delay_seconds=0.05, words_per_delta=0)}
    async with served(settings_for(database_url, tmp_path, gateways=gateways)) as client:
        meeting_id = await client.start()
        await control(client, meeting_id, "pause")
        await client.wait_for(meeting_id, "meeting-turn")
        status = await client.status(meeting_id)
        assert status["state"] == "paused"
        assert len(status["rounds"][0]["turns"]) == 1
        await control(client, meeting_id, "resume")
        assert (await client.ended(meeting_id))["state"] == "complete"


# --- wrap up -----------------------------------------------------------------------------------


async def test_wrapping_up_aborts_the_call_under_way_and_writes_the_minutes(
    database_url: str, tmp_path: Path
) -> None:
    gateways = {
        "fast": ScriptedGateway(words_per_delta=0),
        "stalled": ScriptedGateway(delay_seconds=3_600),
    }
    agents = {"planner": AgentSettings(), "dev": AgentSettings(gateway="stalled")}
    settings = settings_for(
        database_url, tmp_path, gateways=gateways, default_gateway="fast", agents=agents
    )
    async with served(settings) as client:
        meeting_id = await client.start(num_rounds=3)
        await client.wait_for(meeting_id, "meeting-turn")
        await control(client, meeting_id, "wrap-up")
        status = await client.ended(meeting_id)
        assert status["state"] == "complete"
        outcome = status["outcome"]
        assert (outcome["ended_by"], outcome["author"]) == ("operator", "planner")
        assert (outcome["silent"], outcome["partial_rounds"]) == (["dev"], [1])
        turns = status["rounds"][0]["turns"]
        assert [turn["skipped_reason"] for turn in turns] == [None, "operator"]
        assert [held["status"] for held in status["rounds"]] == ["complete", "skipped", "skipped"]
        spent = (await client.get(f"/api/meetings/{meeting_id}/spending")).json()
        outcomes = [attempt["outcome"] for attempt in spent["attempts"]]
        assert outcomes == ["completed", "abandoned:operator", "completed"]


async def test_a_wrap_up_needs_an_open_round(stalled):
    meeting_id = await stalled.start()
    await control(stalled, meeting_id, "pause")
    assert (await control(stalled, meeting_id, "wrap-up"))["state"] == "round_1"
    again = await stalled.post(f"/api/meetings/{meeting_id}/wrap-up")
    assert_problem(again, 409)


# --- the budget --------------------------------------------------------------------------------


async def test_a_meeting_that_waits_for_a_budget_goes_on_when_it_is_raised(client):
    meeting_id = await client.start(**TIGHT, on_budget="pause")
    wait = await waiting(client, meeting_id)
    assert (wait["for"], wait["gateway"], wait["until"]) == ("budget", None, None)
    before = await client.status(meeting_id)
    assert before["state"] == "paused"
    assert wait["since"] >= before["created_at"]
    answer = await control(client, meeting_id, "budget", meeting_tokens=90_000)
    assert (answer["id"], answer["state"]) == (meeting_id, f"round_{before['current_round']}")
    assert answer["tokens"] == {
        **before["tokens"],
        "left": 90_000 - before["tokens"]["spent"],
    }
    status = await client.ended(meeting_id)
    assert (status["state"], status["outcome"]["ended_by"]) == ("complete", "agenda")
    assert status["config"]["meeting_tokens"] == 90_000
    assert status["waiting"] is None


async def test_a_meeting_that_waits_for_a_budget_may_be_wrapped_up(client):
    meeting_id = await client.start(**TIGHT, on_budget="pause")
    await waiting(client, meeting_id)
    await control(client, meeting_id, "wrap-up")
    status = await client.ended(meeting_id)
    assert (status["state"], status["outcome"]["ended_by"]) == ("complete", "operator")


@pytest.mark.parametrize(("on_budget", "state"), [("wrap_up", "complete"), ("fail", "error")])
async def test_what_happens_out_of_budget_is_asked_for(client, on_budget, state):
    status = await client.ended(await client.start(**TIGHT, on_budget=on_budget))
    assert status["state"] == state
    assert (status["error_reason"] == "budget") == (state == "error")


BAD_BUDGETS: list[tuple[str, Any]] = [
    ("body", None),
    ("meeting_tokens", {}),
    ("meeting_tokens", {"meeting_tokens": None}),
    ("meeting_tokens", {"meeting_tokens": "90000"}),
    ("meeting_tokens", {"meeting_tokens": 90_000.0}),
    ("meeting_tokens", {"meeting_tokens": 50_000}),
    ("meeting_tokens", {"meeting_tokens": 1}),
    ("meeting_tokens", {"meeting_tokens": -90_000}),
    ("meeting_tokens", {"meeting_tokens": 1_000_000_001}),
    ("meeting_tokens", {"meeting_tokens": 10**30}),
    ("meeting_cost", {"meeting_cost": 5}),
    ("meeting_cost", {"meeting_cost": "5"}),
    ("meeting_cost", {"meeting_cost": 1e7}),
    ("meeting_cost", {"meeting_tokens": 90_000, "meeting_cost": 5}),
    ("tokens", {"tokens": 90_000}),
]


async def test_a_bad_budget_is_refused_by_its_field_and_changes_nothing(stalled, subtests):
    meeting_id = await stalled.start(meeting_tokens=50_000)
    for field, body in BAD_BUDGETS:
        with subtests.test(body=str(body)):
            content = b"" if body is None else None
            answer = await stalled.post(
                f"/api/meetings/{meeting_id}/budget",
                json=body,
                content=content,
                headers={"content-type": "application/json"},
            )
            problem = assert_problem(answer, 400, f"{field}:")
            assert field in [each["field"] for each in problem["errors"]]
    assert (await stalled.status(meeting_id))["config"]["meeting_tokens"] == 50_000


async def test_a_budget_that_is_not_there_cannot_be_raised(stalled):
    meeting_id = await stalled.start()
    answer = await stalled.post(
        f"/api/meetings/{meeting_id}/budget", json={"meeting_tokens": 90_000}
    )
    assert_problem(answer, 400, "no such ceiling")
    answer = await stalled.post(f"/api/meetings/{uuid4()}/budget", json={"meeting_tokens": 90_000})
    assert_problem(answer, 404)


async def test_a_budget_in_money_ends_the_rounds_and_can_be_raised(
    database_url: str, tmp_path: Path
) -> None:
    prices = PriceList(
        version="2026-11",
        currency="EUR",
        models={"big": ModelPriceSettings(prompt=1_000, completion=4_000)},
    )
    agents = {name: AgentSettings(model="big") for name in ("planner", "dev")}
    async with served(settings_for(database_url, tmp_path, prices=prices, agents=agents)) as client:
        meeting_id = await client.start(meeting_cost=7, num_rounds=3, on_budget="pause")
        await waiting(client, meeting_id)
        cost = (await client.status(meeting_id))["tokens"]["cost"]
        assert cost["currency"] == "EUR"
        assert 0 < cost["spent"] < 7
        assert cost["left"] == pytest.approx(7 - cost["spent"])
        answer = await control(client, meeting_id, "budget", meeting_cost=1_000)
        assert answer["tokens"]["cost"]["left"] == pytest.approx(1_000 - cost["spent"])
        status = await client.ended(meeting_id)
        spent = (await client.get(f"/api/meetings/{meeting_id}/spending")).json()
        total = spent["total"]
        assert total["useful_cost"] == pytest.approx(status["tokens"]["cost"]["spent"])
        assert (total["wasted_cost"], spent["currency"]) == (0, "EUR")
        assert spent["prices_version"] == "2026-11"
        prices_paid = sum(attempt["cost"] for attempt in spent["attempts"])
        assert prices_paid == pytest.approx(total["useful_cost"])


async def test_after_the_end_every_control_is_refused(client, subtests):
    meeting_id = await client.start(meeting_tokens=50_000)
    await client.ended(meeting_id)
    for what, body in (
        ("pause", None),
        ("resume", None),
        ("wrap-up", None),
        ("budget", {"meeting_tokens": 90_000}),
    ):
        with subtests.test(what=what):
            answer = await client.post(f"/api/meetings/{meeting_id}/{what}", json=body)
            assert_problem(answer, 409, "ended")


async def test_wrong_bodies_control_nothing(stalled, subtests):
    meeting_id = await stalled.start()
    for what in ("pause", "resume", "wrap-up"):
        with subtests.test(what=what):
            path = f"/api/meetings/{meeting_id}/{what}"
            assert_problem(await stalled.post(path, json={"why": "x"}), 400, "why:")
            assert_problem(await stalled.post(path, json=[]), 400, "body:")
            assert_problem(await stalled.post(path, content=b"reason=x"), 415)
    assert (await stalled.status(meeting_id))["state"] == "round_1"


# --- waiting -----------------------------------------------------------------------------------


async def test_a_meeting_that_waits_for_a_call_slot_shows_how_many_are_ahead(
    database_url: str, tmp_path: Path
) -> None:
    gateways = {"scripted": ScriptedGateway(delay_seconds=3_600, max_calls_at_once=1)}
    async with served(settings_for(database_url, tmp_path, gateways=gateways)) as client:
        first, second, third = [await client.start() for _ in range(3)]
        assert (await client.status(first))["waiting"] is None
        one, two = await waiting(client, second), await waiting(client, third)
        assert (one["for"], one["gateway"], one["calls_ahead"]) == ("call_slot", "scripted", 0)
        assert (two["calls_ahead"], two["until"]) == (1, None)
        await client.post(f"/api/meetings/{second}/cancel")

        async def moved_up() -> bool:
            return (await client.status(third))["waiting"]["calls_ahead"] == 0

        await until(moved_up)


async def test_a_meeting_that_waits_for_an_unreachable_gateway_shows_until_when(
    database_url: str, tmp_path: Path
) -> None:
    unreachable = tmp_path / "outage"
    unreachable.touch()
    gateways = {"scripted": ScriptedGateway(unreachable_file=unreachable)}
    settings = settings_for(
        database_url, tmp_path, gateways=gateways, gateway_reconnect_timeout_seconds=600
    )
    async with served(settings) as client:
        meeting_id = await client.start()
        wait = await waiting(client, meeting_id)
        assert (wait["for"], wait["gateway"], wait["calls_ahead"]) == ("gateway", "scripted", None)
        assert wait["since"] < wait["until"]
        unreachable.unlink()
        assert (await client.ended(meeting_id))["state"] == "complete"


async def test_a_meeting_that_waits_for_its_next_attempt_shows_when_it_comes(
    database_url: str, tmp_path: Path
) -> None:
    gateways = {"scripted": ScriptedGateway(faults={"round-1-planner": FaultClass.RATE_LIMITED})}
    async with served(settings_for(database_url, tmp_path, gateways=gateways)) as client:
        wait = await waiting(client, await client.start())
        assert (wait["for"], wait["gateway"]) == ("retry", "scripted")
        assert wait["since"] < wait["until"]


# --- spending ----------------------------------------------------------------------------------


async def test_the_spending_of_a_meeting_adds_up(database_url: str, tmp_path: Path) -> None:
    faults = {"round-1-planner/1": FaultClass.EMPTY, "round-1-dev": FaultClass.REFUSED}
    gateways = {"scripted": ScriptedGateway(faults=faults, words_per_delta=0)}
    settings = settings_for(database_url, tmp_path, gateways=gateways, digest_rounds=True)
    async with served(settings) as client:
        status = await client.ended(await client.start(num_rounds=2))
        answer = await client.get(f"/api/meetings/{status['id']}/spending")
        assert answer.status_code == 200
        spent = answer.json()
        total, tokens = spent["total"], status["tokens"]["spent"]
        assert total["useful_tokens"] + total["wasted_tokens"] == tokens
        assert total["wasted_tokens"] > 0
        assert sum(spent["by_source"].values()) == tokens
        assert sum(attempt["charged_tokens"] for attempt in spent["attempts"]) == tokens
        assert sum(_tokens(each) for each in spent["by_participant"]) == tokens
        assert sum(_tokens(each) for each in spent["by_model"]) == tokens
        others = [{"spent": spent[name]} for name in ("digests", "synthesis")]
        assert sum(_tokens(each) for each in [*spent["by_round"], *others]) == tokens
        assert spent["digests"]["calls"] == 1
        assert status["rounds"][0]["digest"]
        assert status["spending"] == {
            "useful_tokens": total["useful_tokens"],
            "wasted_tokens": total["wasted_tokens"],
            "by_source": spent["by_source"],
        }
        outcomes = [attempt["outcome"] for attempt in spent["attempts"][:3]]
        assert outcomes == ["failed:empty", "completed", "failed:refused"]
        assert (spent["currency"], total["useful_cost"]) == (None, None)
        assert status["outcome"]["partial_rounds"] == [1]


async def test_an_open_call_is_reserved_and_costs_nothing_yet(stalled):
    meeting_id = await stalled.start()
    spent = (await stalled.get(f"/api/meetings/{meeting_id}/spending")).json()
    (attempt,) = spent["attempts"]
    assert (attempt["outcome"], attempt["charged_tokens"]) == ("open", 0)
    assert attempt["reserved_tokens"] == spent["tokens"]["reserved"] > 0
    assert spent["total"]["calls"] == 0


def _tokens(part: dict[str, Any]) -> int:
    return int(part["spent"]["useful_tokens"] + part["spent"]["wasted_tokens"])


# --- remarks -----------------------------------------------------------------------------------


async def test_who_speaks_after_a_remark_is_shown_it(stalled):
    meeting_id = await stalled.start()
    said = {"author": "Eve", "text": "Mind the cost."}
    assert (await control(stalled, meeting_id, "remarks", **said))["state"] == "round_1"
    facts = [fact["data"] for fact in await stalled.facts(meeting_id)]
    assert {"author": "Eve", "text": "Mind the cost."}.items() <= facts[-1].items()


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"author": "Eve"}, "text"),
        ({"author": " ", "text": "x"}, "author"),
        ({"author": "Eve", "text": "x" * 4_001}, "text"),
        ({"author": "Eve", "text": "x", "to": "ann"}, "to"),
    ],
)
async def test_a_wrong_remark_is_refused_and_not_stored(stalled, body, detail):
    meeting_id = await stalled.start()
    known = await stalled.facts(meeting_id)
    answer = await stalled.post(f"/api/meetings/{meeting_id}/remarks", json=body)
    assert_problem(answer, 400, detail)
    assert await stalled.facts(meeting_id) == known
