"""Which parts of a message are speech, which are thoughts, and which are neither."""

from typing import Any

import pytest

from meeting_service.gateways.message_content import parts_in

SAID = [{"type": "text", "text": "Yes."}]


@pytest.mark.parametrize("kind", [None, "", "text", "output_text", "Text"])
def test_texts_are_speech(kind: str | None) -> None:
    assert parts_in([{"type": kind, "text": "Yes."}]) == ("Yes.", "")


@pytest.mark.parametrize(
    "kind",
    [
        *("reasoning_summary", "analysis", "analysis_text", "reasoning", "reasoning.text"),
        *("redacted_thinking", "thinking_delta", "inner_thought", "summary_text", "THINKING"),
    ],
)
def test_what_is_called_a_thought_is_one(kind: str) -> None:
    assert parts_in([{"type": kind, "text": "Hm."}, *SAID]) == ("Yes.", "Hm.")
    assert parts_in([{"type": kind, "content": SAID}]) == ("", "Yes.")


@pytest.mark.parametrize("kind", ["tool_use", "image_url", "citation", "search_results", "json"])
def test_what_is_not_known_is_not_spoken(kind: str) -> None:
    assert parts_in([{"type": kind, "text": "{}"}, *SAID]) == ("Yes.", "")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"text": "Yes."}, ("Yes.", "")),
        ({"type": "message", "content": [{"type": "output_text", "text": "Yes."}]}, ("Yes.", "")),
        ({"thinking": "Hm."}, ("", "Hm.")),
        ({"text": "Hm.", "thought": True}, ("", "Hm.")),
        ({"type": 7, "text": "Yes."}, ("Yes.", "")),
        ([7, None, "Yes."], ("Yes.", "")),
    ],
)
def test_odd_parts(content: Any, parts: tuple[str, str]) -> None:
    assert parts_in(content) == parts
