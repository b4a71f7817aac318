"""A model that sends ten megabytes for a cap of 200 tokens does not fill the store."""

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from meeting_service.settings import ScriptedGateway
from tests.meeting_service.http.service import served, settings_for

pytestmark = pytest.mark.anyio

SENTENCE = "A word or two. "
TEN_MEGABYTES = SENTENCE * 700_000


@pytest.mark.parametrize(("changes", "bound"), [({}, 65_536), ({"max_reply_bytes": 4_096}, 4_096)])
async def test_a_reply_far_beyond_its_cap_is_kept_up_to_the_bound_and_flagged(
    database_url: str, tmp_path: Path, changes: dict[str, Any], bound: int
) -> None:
    script = tmp_path / "replies.json"
    reply = {"task": "turn", "agent": "planner", "text": TEN_MEGABYTES, "ignores_cap": True}
    script.write_text(json.dumps({"replies": [reply]}))
    gateways = {"scripted": ScriptedGateway(replies_file=script, words_per_delta=200)}
    settings = settings_for(database_url, tmp_path, gateways=gateways, **changes)
    async with served(settings) as client:
        meeting_id = await client.start(max_tokens_per_turn=200)
        status = await client.ended(meeting_id)
        facts = await client.facts(meeting_id)
    assert status["state"] == "complete"
    first, second = status["rounds"][0]["turns"]
    assert (first["is_cut"], second["is_cut"]) == (True, False)
    assert TEN_MEGABYTES.startswith(first["response"].partition("\n[")[0])
    stored = [each["data"]["reply"] for each in facts if "turn_completed" in each["name"]]
    assert len(stored[0]["text"]) <= bound
    assert await largest_event_bytes(database_url) < bound + 10_000


async def largest_event_bytes(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval("SELECT max(length(state)) FROM meetings_events"))
    finally:
        await connection.close()
