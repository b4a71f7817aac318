"""Reads what OpenAI's API, and the servers that speak it, put into a message: text and thoughts."""

import re
from typing import Any

from msgspec import Struct

_THOUGHT_TYPES = re.compile(r"reason|think|thought|analysis|summary|reflect", re.IGNORECASE)
_SPEECH_TYPES = frozenset({"", "text", "output_text", "text_delta", "output_text_delta", "message"})
_PART_NAMES = ("text", "thinking", "reasoning", "summary", "reasoning_text", "content", "value")
_FINISH_REASONS = {
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "incomplete": "length",
    "max_tokens": "length",
    "model_length": "length",
    "stop_sequence": "stop",
}
_NO_REASONS = frozenset(
    {
        *("", "null", "none", "undefined", "nil", "false", "unspecified"),
        *("finish_reason_unspecified", "in_progress", "not_finished", "continue"),
    }
)


class Delta(Struct, gc=False):
    """A message, or a piece of one. Any value may stand anywhere: servers differ."""

    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    thought: Any = None
    reasoning_text: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    thinking_content: Any = None
    tool_calls: Any = None
    function_call: Any = None

    @property
    def thoughts(self) -> Any:
        """What servers that know the model have taken out of its answer, by any name."""
        return (
            self.reasoning_content
            or self.reasoning
            or self.thinking
            or self.thought
            or self.reasoning_text
            or self.reasoning_details
            or self.thinking_blocks
            or self.thinking_content
        )


def finish_reason_in(value: object) -> str:
    """Return why an answer ended, in OpenAI's words; empty if that is no reason."""
    if not isinstance(value, str):
        return ""
    reason = value.strip().lower()
    return "" if reason in _NO_REASONS else _FINISH_REASONS.get(reason, reason)


def parts_in(content: object) -> tuple[str, str]:
    """Return the text and the thoughts in a content that is a list of parts, or a part.

    A part of a type that is not known, such as an image or a call of a tool, is neither.
    """
    if isinstance(content, str):
        return content, ""
    if isinstance(content, list):
        parts = [parts_in(each) for each in content]
        return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)
    if not isinstance(content, dict):
        return "", ""
    kind = content.get("type") or ""
    named = (content.get(name) for name in _PART_NAMES)
    text, thought = parts_in(next(filter(_is_content, named), ""))
    is_thought = isinstance(kind, str) and _THOUGHT_TYPES.search(kind)
    if is_thought or "thinking" in content or content.get("thought") is True:
        return "", text + thought
    is_speech = not isinstance(kind, str) or kind.lower() in _SPEECH_TYPES
    return (text, thought) if is_speech else ("", thought)


def _is_content(value: object) -> bool:
    return bool(value) and isinstance(value, str | list | dict)
