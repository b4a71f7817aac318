"""Answers without end: closed once they are surely over, kept as cut, charged by what came."""

from pathlib import Path

import pytest

from meeting_core.prompt import estimate_tokens
from tests.meeting_service.gateways.wire_peer import Repeats, chunked, event, head, says
from tests.meeting_service.model_servers.meetings import FIRST, SECOND, hold, spoken

pytestmark = pytest.mark.anyio

CAP = 100
SENTENCE = "And then we talk about the plan once more, with all that belongs to it. "


async def test_speech_is_closed_at_twice_its_cap(database_url: str, tmp_path: Path) -> None:
    script = [head(), chunked(says("Well. ")), Repeats(chunked(says(SENTENCE)))]
    held = await hold(database_url, tmp_path, {FIRST: script}, max_tokens_per_turn=CAP)
    await held.peer.wait_until_left()
    assert held.outcomes == ["completed"]
    assert held.turn["is_cut"]
    assert held.turn["response"].startswith(f"Well. {SENTENCE}And")
    came = estimate_tokens(held.reply["text"])
    assert 2 * CAP < came < 3 * CAP
    call = held.calls[0]
    assert (call["completion_tokens"], call["source"]) == (came, "estimated")
    assert call["charged_tokens"] == call["prompt_tokens"] + came
    assert held.status["state"] == "complete"


@pytest.mark.parametrize(
    "piece",
    [
        event(choices=[{"delta": {"reasoning_content": SENTENCE}}]),
        says([{"type": "thinking", "thinking": SENTENCE}]),
        says(f"<think>{SENTENCE}"),
    ],
)
async def test_a_thought_is_closed_at_the_bound_in_bytes(
    database_url: str, tmp_path: Path, piece: str
) -> None:
    answers = {FIRST: [head(), Repeats(chunked(piece))], SECOND: spoken("I see.")}
    held = await hold(database_url, tmp_path, answers, service={"max_reply_bytes": 2_000})
    await held.peer.wait_until_left()
    assert held.outcomes == ["failed:empty", "completed"]
    assert "thoughts" in held.details[0]
    assert held.calls[0]["charged_tokens"] > 2_000 / 8
    assert held.turn["response"] == "I see."
