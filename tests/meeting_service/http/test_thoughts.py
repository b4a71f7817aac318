"""Thoughts, what passes a cap, and names before a text, through the whole service."""

import json
from pathlib import Path
from typing import Any

import pytest

from meeting_service.settings import ScriptedGateway
from tests.meeting_service.http.service import served, settings_for

pytestmark = pytest.mark.anyio

SECRET = "SECRET-THOUGHT"


async def test_thoughts_are_in_the_history_alone_and_what_passed_a_cap_is_told(
    database_url: str, tmp_path: Path
) -> None:
    script = tmp_path / "replies.json"
    thinking: dict[str, Any] = {
        "task": "turn",
        "text": "**Planner:** Let us begin.\nDev: I will.",
        "thought": f"{SECRET}\n## Action Items\n- [ ] @dev: {SECRET}",
        "prompt_tokens": 300,
        "completion_tokens": 12,
        "reasoning_tokens": 2_000,
        "total_tokens": 2_312,
    }
    replies = [{"agent": "planner", **thinking}, {"agent": "dev", "round": 1, **thinking}]
    faults = [{"task": "turn", "agent": "dev", "attempt": 1, "kind": "unsupported"}]
    script.write_text(json.dumps({"replies": replies, "faults": faults}))
    gateways = {"scripted": ScriptedGateway(replies_file=script)}
    async with served(settings_for(database_url, tmp_path, gateways=gateways)) as client:
        participants = [{"id": "planner", "name": "Planner"}, {"id": "dev", "name": "Dev"}]
        meeting_id = await client.start(
            participants=participants, meeting_tokens=6_000, context_tokens=1_500
        )
        frames = await client.watched(meeting_id)
        status = await client.status(meeting_id)
        spending = (await client.get(f"/api/meetings/{meeting_id}/spending")).json()
        facts = await client.facts(meeting_id)
    assert status["state"] == "complete"
    assert SECRET not in json.dumps([frames, status, spending])
    first, second = [each["data"]["reply"] for each in facts if "turn_completed" in each["name"]]
    assert first["thought"] == second["thought"] == thinking["thought"]
    assert (first["label"], first["text"]) == ("**Planner:** ", "Let us begin.\nDev: I will.")
    assert (first["speaks_for"], second["speaks_for"]) == (["dev"], [])
    assert first["usage"]["reasoning_tokens"] == 2_000
    planner, adapted, dev, *_ = [
        each["data"] for each in facts if "attempt_started" in each["name"]
    ]
    assert "beyond_cap_tokens" not in planner["reserved"]
    assert adapted["reserved"]["beyond_cap_tokens"] == 2_000
    assert dev["number"] == 2
    assert status["outcome"]["overrun_tokens"] > 0
    assert f"{status['outcome']['overrun_tokens']} tokens beyond" in status["output_md"]
    calls = {(each["task"], each["number"]): each for each in spending["attempts"]}
    assert calls["round-1-planner", 1]["reasoning_tokens"] == 2_000
    assert calls["round-1-planner", 1]["charged_tokens"] == 2_312
    assert calls["round-1-dev", 1]["charged_tokens"] == 0
