"""Whole meetings against an independent model server, watched by an independent SSE client."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Fail, StreamFault

from meeting_service.settings import OpenAICompatibleGateway
from tests.meeting_service.http import contract
from tests.meeting_service.http.service import Client, served, settings_for

pytestmark = pytest.mark.anyio

EVERY = {"meeting_id", "version", "at"}
EVENTS: dict[str, set[str]] = {
    "meeting-started": {
        "title",
        "state",
        "participants",
        "num_rounds",
        "total_rounds",
        "project_id",
    },
    "meeting-state": {
        "state",
        "previous_state",
        "current_round",
        "total_rounds",
        "round_topic",
        "progress_pct",
    },
    "meeting-turn-start": {
        "round",
        "agent_id",
        "agent_name",
        "turn_index",
        "total_turns",
        "attempt",
    },
    "meeting-turn-delta": {"round", "agent_id", "text"},
    "meeting-turn": {
        "round",
        "agent_id",
        "agent_name",
        "response",
        "skipped_reason",
        "turn_index",
        "total_turns",
        "progress_pct",
        "prompt_tokens",
        "response_tokens",
    },
    "meeting-synthesis": {"state", "progress_pct"},
    "meeting-complete": {
        "state",
        "output_path",
        "progress_pct",
        "duration_seconds",
        "total_tokens",
        "outcome",
    },
    "meeting-warning": {"message", "severity"},
}


@pytest.fixture
async def client(database_url: str, tmp_path: Path, model: LLMock) -> AsyncIterator[Client]:
    gateway = OpenAICompatibleGateway(
        base_url=f"{model.url}/v1", model="gpt-4o-mini", max_tokens_field="max_tokens"
    )
    settings = settings_for(database_url, tmp_path, gateways={"llmock": gateway})
    async with served(settings) as client:
        yield client


async def test_a_meeting_is_started_watched_read_and_listed(
    client: Client, model: LLMock, tmp_path: Path
) -> None:
    meeting_id = await client.start(participants=["planner", "dev", "design", "qa"], num_rounds=2)
    received = await client.watched(meeting_id)
    for name, _, data in received:
        assert EVENTS[name] | EVERY <= data.keys(), name
    names = [name for name, _, _ in received if name != "meeting-turn-delta"]
    round_ = ["meeting-state", *["meeting-turn-start", "meeting-turn"] * 4]
    end = ["meeting-synthesis", "meeting-complete"]
    assert [name for name in names if name != "meeting-warning"] == [
        "meeting-started",
        *round_,
        *round_,
        *end,
    ]
    status = await client.status(meeting_id)
    assert status.keys() >= contract.STATUS
    assert status["state"] == "complete"
    assert all(turn.keys() >= contract.TURN for r in status["rounds"] for turn in r["turns"])
    assert {turn["usage_source"] for r in status["rounds"] for turn in r["turns"]} == {"reported"}
    output = (await client.get(f"/api/meetings/{meeting_id}/output")).json()
    assert await anyio.Path(output["output_path"]).read_text("utf-8") == output["output_md"]
    assert Path(output["output_path"]).parent == tmp_path / "minutes"
    page = (await client.get("/api/meetings")).json()
    assert [row["id"] for row in page["meetings"]] == [meeting_id]
    # The model's minutes have no sections, so that they are asked for once more.
    assert len(model.requests) == 10
    assert {request.body["max_tokens"] for request in model.requests} == {200, 500}
    model.assert_resilient()


async def test_a_meeting_gets_over_faults_and_says_so(client: Client, model: LLMock) -> None:
    model.add(Fail(429, retry_after=1), StreamFault("truncate", after_chunks=2))
    meeting_id = await client.start()
    received = await client.watched(meeting_id)
    warnings = [data["message"] for name, _, data in received if name == "meeting-warning"]
    assert [("rate_limited" in text, "truncated" in text) for text in warnings[:2]] == [
        (True, False),
        (False, True),
    ]
    status = await client.status(meeting_id)
    assert status["state"] == "complete"
    assert all(turn["response"] for turn in status["rounds"][0]["turns"])
    model.assert_resilient()


async def test_a_meeting_whose_model_rejects_everything_fails_with_the_cause(
    client: Client, model: LLMock
) -> None:
    model.add(Fail(401, times=None))
    status = await client.ended(await client.start())
    assert status["state"] == "error"
    assert "rejected" in status["error_message"]
    assert len(model.requests) == 2
