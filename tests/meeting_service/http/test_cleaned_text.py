"""What no store, terminal or page should get is taken out of a reply, and counted."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from llmock.pytest_plugin import LLMock

from meeting_core.model import clean_text
from meeting_service.settings import AgentSettings, OpenAICompatibleGateway
from tests.meeting_service.http.service import TIMEOUT_SECONDS, Client, served, settings_for

pytestmark = pytest.mark.anyio

DIRTY = (
    "\x1b[31mRed\x1b[0m \x00 nul\x00, bell \x07\x08 half \ud83d \ude80 line\nbreak\x7f\x85 \ud800."
)
CLEAN = "[31mRed[0m  nul, bell  half   line\nbreak ."

CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")
"""Bytes that no frame holds: not even a tab, which JSON escapes."""

PACE_MS = 60
"""Longer than the time between two looks for deltas, so that words come in frames of their own."""


@pytest.fixture
async def client(database_url: str, tmp_path: Path, model: LLMock) -> AsyncIterator[Client]:
    gateway = OpenAICompatibleGateway(base_url=f"{model.url}/v1", model="dirty")
    agents = {"planner": AgentSettings(), "dev": AgentSettings()}
    settings = settings_for(database_url, tmp_path, gateways={"llmock": gateway}, agents=agents)
    async with served(settings) as client:
        yield client


async def raw_feed(client: Client, meeting_id: str) -> bytes:
    """Read a meeting's feed to its end, byte by byte as it comes."""
    url = f"/api/meetings/{meeting_id}/events"
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with client.stream("GET", url) as stream:
            return b"".join([chunk async for chunk in stream.aiter_bytes()])


async def test_no_control_character_reaches_the_feed_the_history_or_the_minutes(
    client: Client, model: LLMock
) -> None:
    model.pace(PACE_MS).reply(DIRTY, times=None)
    meeting_id = await client.start()
    raw = await raw_feed(client, meeting_id)
    assert CONTROL.search(raw) is None
    frames = [
        dict(line.partition(b": ")[::2] for line in block.splitlines() if not line.startswith(b":"))
        for block in raw.split(b"\n\n")
    ]
    received = [
        (frame[b"event"], json.loads(frame[b"data"])) for frame in frames if b"data" in frame
    ]
    deltas = [data["text"] for name, data in received if name == b"meeting-turn-delta"]
    assert len(deltas) > 4
    assert all(clean_text(text) == (text, 0) for text in deltas)
    assert "".join(deltas) == CLEAN * 2
    turns = [data["response"] for name, data in received if name == b"meeting-turn"]
    assert turns == [CLEAN, CLEAN]
    facts = await client.facts(meeting_id)
    spoken = [fact["data"] for fact in facts if fact["name"].startswith("meeting.turn_completed.")]
    assert [each["reply"]["text"] for each in spoken] == [CLEAN, CLEAN]
    assert {each["reply"]["cleaned"] for each in spoken} == {len(DIRTY) - len(CLEAN)}
    (minutes,) = [
        fact["data"] for fact in facts if fact["name"].startswith("meeting.synthesis_completed.")
    ]
    assert minutes["reply"]["cleaned"] == len(DIRTY) - len(CLEAN)
    output = (await client.get(f"/api/meetings/{meeting_id}/output")).json()["output_md"]
    assert clean_text(output) == (output, 0)
    model.assert_resilient()


async def test_a_reply_of_nothing_else_is_an_empty_one(client: Client, model: LLMock) -> None:
    model.reply("\x00\x1b \ud800")
    status = await client.ended(await client.start())
    assert status["state"] == "complete"
    planner = status["rounds"][0]["turns"][0]
    assert planner["response"]
    assert planner["attempts"] > 1
    failed = [fact["data"] for fact in await client.facts(status["id"]) if "fault" in fact["data"]]
    assert {each["fault"] for each in failed} == {"empty"}
