"""Thoughts are not speech: in no turn, no delta, no brief, no action item, by whatever shape."""

import json
from pathlib import Path
from typing import Any

import pytest

from meeting_service.settings import AnthropicGateway
from tests.meeting_service.gateways import test_anthropic as anthropic
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    Asked,
    Script,
    counts,
    ends,
    event,
    says,
    stream,
    whole,
)
from tests.meeting_service.model_servers import meetings
from tests.meeting_service.model_servers.meetings import FIRST, SECOND, Held, hold, spoken

pytestmark = pytest.mark.anyio

SECRET = "I must not say SECRET aloud.\n## Action Items\n- [ ] @dev: keep the SECRET\n"
TEXT = "I would ship on Monday."


def adds(**delta: Any) -> str:
    return event(choices=[{"index": 0, "delta": delta}])


def letters(text: str) -> list[str]:
    return [says(letter) for letter in text]


END = (ends(), counts(300, 60), DONE)
SHAPES = {
    "a tag": stream(says(f"<think>{SECRET}</think>\n\n"), says(TEXT), *END),
    "a tag in letters": stream(*letters(f"<think>{SECRET}</think>\n\n{TEXT}"), *END),
    "another tag": stream(says(f"<Thinking>\n{SECRET}"), says(f"</Thinking>\n{TEXT}"), *END),
    "Mistral's tag": stream(says("[THI"), says(f"NK]{SECRET}[/TH"), says(f"INK]{TEXT}"), *END),
    "only the end of it": stream(says(f"{SECRET}</think>{TEXT}"), *END),
    "a field": stream(adds(reasoning_content=SECRET), says(TEXT), *END),
    "another field": stream(adds(reasoning=SECRET, content=""), says(TEXT), *END),
    "details": stream(
        adds(reasoning_details=[{"type": "reasoning.text", "text": SECRET}]), says(TEXT), *END
    ),
    "parts": stream(
        says([{"type": "thinking", "thinking": [{"type": "text", "text": SECRET}]}]),
        says([{"type": "text", "text": TEXT}]),
        *END,
    ),
    "a whole message": whole(
        "200 OK",
        json.dumps(
            {
                "choices": [
                    {
                        "message": {"content": TEXT, "reasoning_content": SECRET},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 300, "completion_tokens": 60},
            }
        ),
    ),
}


def assert_unsaid(held: Held) -> None:
    """Check that the thought is nowhere but, if at all, in the history."""
    assert held.turn["response"] == TEXT
    assert TEXT.startswith(held.deltas)
    briefs = [asked.body.get("messages") for asked in held.peer.asked]
    assert "SECRET" not in json.dumps([held.status, held.frames, held.spending, briefs])


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_thought_is_dropped_and_its_tokens_are_charged(tmp_path: Path, shape: str) -> None:
    held = await hold(tmp_path, {FIRST: SHAPES[shape]})
    assert_unsaid(held)
    held.assert_whole(TEXT)
    assert "SECRET" not in json.dumps(held.facts)
    assert held.calls[0]["charged_tokens"] == 360


@pytest.mark.parametrize("shape", ["a tag in letters", "a field", "parts"])
async def test_a_thought_is_kept_apart_if_that_is_set(tmp_path: Path, shape: str) -> None:
    held = await hold(tmp_path, {FIRST: SHAPES[shape]}, reasoning="keep")
    assert_unsaid(held)
    assert held.reply["thought"] == SECRET.strip()
    assert held.reply["text"] == TEXT


async def test_a_thought_that_the_prompt_opens_is_in_no_delta_if_that_is_set(
    tmp_path: Path,
) -> None:
    script = stream(*letters(f"{SECRET}</think>\n{TEXT}"), *END)
    held = await hold(tmp_path, {FIRST: script}, prompt_opens_thought=True)
    assert_unsaid(held)
    held.assert_whole(TEXT)


async def test_blocks_of_anthropic_are_kept_apart(tmp_path: Path) -> None:
    def answer(text: str, thought: str = "") -> Script:
        thinking = {"type": "thinking_delta", "thinking": thought}
        return stream(
            anthropic.starts(input_tokens=300),
            *([anthropic.event("content_block_delta", index=0, delta=thinking)] if thought else []),
            anthropic.says(text),
            anthropic.ends(output_tokens=60),
            anthropic.STOP,
        )

    def other_answer(asked: Asked) -> Script:
        is_synthesis = "/synthesis/" in asked.headers["idempotency-key"]
        return answer(meetings.SYNTHESIS if is_synthesis else meetings.OTHER_TEXT)

    held = await hold(
        tmp_path,
        {FIRST: answer(TEXT, SECRET)},
        other_answer=other_answer,
        kind=AnthropicGateway,
        reasoning="keep",
    )
    assert_unsaid(held)
    assert held.reply["thought"] == SECRET.strip()
    assert held.calls[0]["charged_tokens"] == 360


@pytest.mark.parametrize(
    "script",
    [
        stream(says(f"<think>{SECRET}"), ends("length"), counts(300, 200), DONE),
        stream(adds(reasoning=SECRET), ends(), counts(300, 200), DONE),
        stream(says([{"type": "thinking", "thinking": SECRET}]), counts(300, 200), DONE),
    ],
)
async def test_an_answer_that_is_all_thought_is_empty_with_a_hint(
    tmp_path: Path, script: Script
) -> None:
    held = await hold(tmp_path, {FIRST: script, SECOND: spoken(TEXT)})
    assert_unsaid(held)
    assert held.outcomes == ["failed:empty", "completed"]
    assert "raise max_tokens_per_turn" in held.details[0]
    assert held.calls[0]["charged_tokens"] == 500
