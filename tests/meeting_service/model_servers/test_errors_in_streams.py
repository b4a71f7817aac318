"""Errors inside an answer with status 200: before its first token, and after many."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.meeting_service.gateways.wire_peer import (
    DONE,
    END,
    Drops,
    Script,
    chunked,
    event,
    head,
    says,
    stream,
    whole,
)
from tests.meeting_service.model_servers.meetings import FIRST, SECOND, WORDS, hold, spoken

pytestmark = pytest.mark.anyio

TEXT = "I would ship on Monday."
BUSY: dict[str, Any] = {"error": {"message": "upstream is busy", "code": 502}}
BROKEN: dict[str, Any] = {"error": {"message": "something broke", "code": "odd"}}
OVERLOADED: dict[str, Any] = {"error": {"message": "busy", "type": "overloaded_error"}}
FULL: dict[str, Any] = {"error": {"message": "slow down, try again in 0.05s", "code": 429}}


@pytest.mark.parametrize(
    "tail",
    [
        [chunked(event(**BUSY)), END],
        [chunked(event(**OVERLOADED) + DONE), END],
        [chunked(f"event: error\ndata: {json.dumps(BUSY)}\n\n"), END],
        [chunked(f"error: {json.dumps(BUSY)}\n\n"), END],
        [chunked("error: upstream is gone (502)\n\n"), END],
        [chunked(json.dumps(BUSY, indent=2)), END],
        [chunked("data: Error: 502 Bad Gateway\n\n" + DONE), END],
        [chunked(event(choices=[{"delta": {}, "error": BUSY["error"]}])), END],
        [Drops()],
    ],
    ids=["502", "overloaded", "named", "line", "words", "raw", "text", "choice", "drop"],
)
async def test_after_many_words_no_fault_is_free(
    database_url: str, tmp_path: Path, tail: Script
) -> None:
    broken = [head(), chunked(says(WORDS)), *tail]
    answers = {FIRST: broken, SECOND: broken}
    held = await hold(
        database_url, tmp_path, answers, service={"max_attempts": 2}, max_tokens_per_turn=400
    )
    first, second = held.calls
    assert first["outcome"] == second["outcome"] != "completed"
    for call in held.calls:
        assert call["charged_tokens"] >= call["reserved_tokens"] > 0
    # The seat is skipped after its attempts, and the meeting goes on.
    assert held.turn["skipped_reason"] is not None
    assert held.status["state"] == "complete"
    assert held.status["rounds"][0]["turns"][1]["response"]


@pytest.mark.parametrize(
    ("script", "fault", "words"),
    [
        (stream(event(**FULL)), "rate_limited", "slow down"),
        (whole("200 OK", json.dumps(BROKEN)), "truncated", "something broke"),
        (whole("200 OK", json.dumps([BROKEN], indent=2)), "truncated", "something broke"),
        (stream(f"error: {json.dumps(BROKEN['error'])}\n\n"), "truncated", "something broke"),
        (stream(json.dumps(BROKEN) + "\n"), "truncated", "something broke"),
        (stream("data: Something broke.\n\n"), "truncated", "Something broke"),
        (whole("200 OK", "It broke.", content_type="text/plain"), "truncated", "It broke"),
        (stream(event(choices=[], base_resp={"status_code": 7, "status_msg": "no"})), None, "no"),
        (stream(event(**OVERLOADED)), None, "busy"),
        (stream(event(message="something broke", code="odd")), "truncated", "something broke"),
    ],
)
async def test_nothing_is_charged_where_nothing_was_said(
    database_url: str, tmp_path: Path, script: Script, fault: str | None, words: str
) -> None:
    held = await hold(database_url, tmp_path, {FIRST: script, SECOND: spoken(TEXT)})
    assert held.turn["response"] == TEXT
    assert words in held.details[0]
    assert "after 0 characters" not in held.details[0]
    assert held.calls[0]["charged_tokens"] == 0
    if fault is not None:
        assert held.outcomes == [f"failed:{fault}", "completed"]
