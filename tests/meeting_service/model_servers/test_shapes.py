"""One text in many shapes: lists of parts, whole messages, cumulative pieces, no ending."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.meeting_service.gateways.wire_peer import (
    DONE,
    Script,
    counts,
    ends,
    event,
    says,
    stream,
    whole,
)
from tests.meeting_service.model_servers.meetings import FIRST, hold

pytestmark = pytest.mark.anyio

TEXT = "I would ship on Monday, with a day of slack."


def message(content: Any, **more: Any) -> str:
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 300, "completion_tokens": 12}
    return json.dumps({"choices": [choice], "usage": usage, **more})


STATES = [TEXT[:n] for n in (3, 12, 20, 31, len(TEXT))]
END = (ends(), counts(300, 12), DONE)
PARTS = [{"type": "text", "text": TEXT[:20]}, {"type": "text", "text": TEXT[20:]}]
SHAPES: dict[str, Script] = {
    "parts": stream(*(says([part]) for part in PARTS), *END),
    "parts without a type": stream(says([{"text": TEXT}]), *END),
    "one part": stream(says({"type": "output_text", "text": {"value": TEXT}}), *END),
    "a whole message": whole("200 OK", message(TEXT)),
    "a whole message of parts": whole("200 OK", message(PARTS)),
    "a whole message as an event": stream(f"data: {message(TEXT)}\n\n", DONE),
    "a whole message over many lines": whole(
        "200 OK", json.dumps(json.loads(message(TEXT)), indent=2)
    ),
    "cumulative": stream(*map(says, STATES), *END),
    "cumulative, and the whole at the end": stream(*map(says, STATES), says(TEXT), *END),
    "pieces, and the whole at the end": stream(
        says(TEXT[:12]), says(TEXT[12:30]), says(TEXT[30:]), says(TEXT), *END
    ),
    "pieces, and the whole as a message": stream(
        says(TEXT[:12]),
        says(TEXT[12:]),
        event(
            choices=[{"index": 0, "delta": {}, "message": {"content": TEXT}}],
            usage={"prompt_tokens": 300, "completion_tokens": 12},
        ),
        DONE,
    ),
    "PHP's empty lists": stream(
        says(TEXT),
        event(choices=[{"index": 0, "delta": [], "finish_reason": "stop"}]),
        counts(300, 12),
        DONE,
    ),
    "no reason": stream(says(TEXT), counts(300, 12), DONE),
    "no reason, and an end in quotes": stream(says(TEXT), counts(300, 12), 'data: "[DONE]"\n\n'),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_turn_is_the_text_once(database_url: str, tmp_path: Path, shape: str) -> None:
    held = await hold(database_url, tmp_path, {FIRST: SHAPES[shape]})
    held.assert_whole(TEXT)
    assert TEXT.startswith(held.deltas)
    assert held.calls[0]["charged_tokens"] == 312
    assert held.turn["usage_source"] == "reported"
