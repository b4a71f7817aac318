"""Each way a call can fail, in a whole meeting: the end of the turn, and the warnings."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Behavior, Fail, Match, Reply, SlowFirstToken, StreamFault

from meeting_core.model import FaultClass
from meeting_service.settings import AgentSettings, OpenAICompatibleGateway
from tests.meeting_service.http.service import Client, served, settings_for

pytestmark = pytest.mark.anyio

STALL_SECONDS = 60.0
"""Far longer than any test here may take."""

UNLUCKY = Match(model="unlucky")
"""The calls of one agent, whose model is the only one of this name."""

PASSING: list[tuple[FaultClass, tuple[Behavior, ...]]] = [
    (FaultClass.RATE_LIMITED, (Fail(429, retry_after=1.2, match=UNLUCKY),)),
    (FaultClass.UNAVAILABLE, (Fail(500, match=UNLUCKY),)),
    (FaultClass.TIMED_OUT, (SlowFirstToken(STALL_SECONDS, match=UNLUCKY),)),
    (FaultClass.TIMED_OUT, (StreamFault("stall", 3, STALL_SECONDS, match=UNLUCKY),)),
    (FaultClass.TRUNCATED, (StreamFault("truncate", 3, match=UNLUCKY),)),
    (FaultClass.TRUNCATED, (StreamFault("disconnect", 3, match=UNLUCKY),)),
    (FaultClass.TRUNCATED, (StreamFault("malformed", 3, match=UNLUCKY),)),
    (FaultClass.EMPTY, (Reply("", match=UNLUCKY),)),
]

LASTING: list[tuple[FaultClass, tuple[Behavior, ...]]] = [
    (
        FaultClass.CONTEXT_TOO_LONG,
        (Fail(400, code="context_length_exceeded", times=None, match=UNLUCKY),),
    ),
    (FaultClass.REFUSED, (Reply("Half", (), "content_filter", times=None, match=UNLUCKY),)),
    (FaultClass.REJECTED, (Fail(404, message="No such model", times=None, match=UNLUCKY),)),
    (FaultClass.EMPTY, (Reply(" \n", times=None, match=UNLUCKY),)),
    (FaultClass.RATE_LIMITED, (Fail(429, retry_after=3_600, times=None, match=UNLUCKY),)),
]


@pytest.fixture
async def client(database_url: str, tmp_path: Path, model: LLMock) -> AsyncIterator[Client]:
    gateway = OpenAICompatibleGateway(
        base_url=f"{model.url}/v1",
        model="lucky",
        first_token_timeout_seconds=1.0,
        idle_timeout_seconds=1.0,
    )
    agents = {"planner": AgentSettings(), "dev": AgentSettings(model="unlucky")}
    settings = settings_for(
        database_url, tmp_path, gateways={"llmock": gateway}, agents=agents, log_level="warning"
    )
    async with served(settings) as client:
        yield client


FAILED = ("attempt_failed", "gateway_away")


def warnings_in(received: list[tuple[str, str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [data for name, _, data in received if name == "meeting-warning"]


async def faults_of(client: Client, meeting_id: str) -> set[str]:
    """Say which faults the history holds."""
    facts = await client.facts(meeting_id)
    failed = [fact for fact in facts if fact["name"].startswith("meeting.attempt_failed.")]
    return {fact["data"]["fault"] for fact in failed}


@pytest.mark.parametrize(("kind", "behaviours"), PASSING)
async def test_a_fault_that_passes_is_told_and_the_turn_is_spoken(
    client: Client, model: LLMock, kind: FaultClass, behaviours: tuple[Behavior, ...]
) -> None:
    model.add(*behaviours)
    meeting_id = await client.start()
    received = await client.watched(meeting_id)
    warnings = [each for each in warnings_in(received) if each["code"] in FAILED]
    assert {(each["agent_id"], each["severity"]) for each in warnings} == {("dev", "warning")}
    status = await client.status(meeting_id)
    assert status["state"] == "complete"
    planner, dev = status["rounds"][0]["turns"]
    assert planner["response"]
    assert (planner["attempts"], planner["skipped_reason"]) == (1, None)
    assert dev["response"]
    assert (dev["attempts"], dev["skipped_reason"]) == (len(warnings) + 1, None)
    assert await faults_of(client, meeting_id) == {kind}
    model.assert_resilient()


async def test_an_unreachable_provider_is_waited_for(client: Client, model: LLMock) -> None:
    model.add(Fail(503, retry_after=0.1))
    meeting_id = await client.start()
    warnings = warnings_in(await client.watched(meeting_id))
    codes = [each["code"] for each in warnings if each["code"].startswith("gateway_")]
    assert codes == ["gateway_away", "gateway_back"]
    status = await client.status(meeting_id)
    assert (status["state"], status["waiting"]) == ("complete", None)
    assert status["rounds"][0]["turns"][0]["response"]
    assert await faults_of(client, meeting_id) == {FaultClass.UNAVAILABLE}


async def test_a_model_that_fails_while_another_answers_is_tried_again_and_not_waited_for(
    client: Client, model: LLMock
) -> None:
    model.add(Fail(503, retry_after=0.1, match=UNLUCKY))
    meeting_id = await client.start()
    warnings = warnings_in(await client.watched(meeting_id))
    codes = [each["code"] for each in warnings if not each["code"].startswith("synthesis_")]
    assert codes == ["attempt_failed"]
    status = await client.status(meeting_id)
    assert status["state"] == "complete"
    assert all(turn["response"] for turn in status["rounds"][0]["turns"])


@pytest.mark.parametrize(("kind", "behaviours"), LASTING)
async def test_a_fault_that_lasts_costs_one_agent_its_turn_and_the_meeting_goes_on(
    client: Client, model: LLMock, kind: FaultClass, behaviours: tuple[Behavior, ...]
) -> None:
    model.add(*behaviours)
    meeting_id = await client.start()
    received = await client.watched(meeting_id)
    warnings = [each for each in warnings_in(received) if each["code"] == "attempt_failed"]
    assert warnings
    assert all(f"({kind}: " in each["message"] for each in warnings)
    turns = {data["agent_id"]: data for name, _, data in received if name == "meeting-turn"}
    assert (turns["dev"]["response"], turns["dev"]["skipped_reason"]) == (None, kind)
    assert turns["planner"]["response"]
    status = await client.status(meeting_id)
    assert status["state"] == "complete"
    assert status["rounds"][0]["turns"][1]["skipped_reason"] == kind
    assert await faults_of(client, meeting_id) == {kind}
    model.assert_resilient()
