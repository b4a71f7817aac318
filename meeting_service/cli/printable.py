"""Texts from agents and services, made safe for a terminal."""

import json
import re
from typing import Any

# Besides control characters: marks that reorder text, so that it reads as something else, and
# lone surrogates, which no output can encode.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ud800-\udfff]"
)
_LINE_BREAKS = re.compile(r"\s*[\n\u2028\u2029]\s*")
_RAW_IN_JSON = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return a text without the characters that control a terminal; tabs and newlines stay."""
    return _UNSAFE.sub("", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Return a text printable and on a single line."""
    return _LINE_BREAKS.sub(" ", printable(text)).replace("\t", " ").strip()


def json_line(data: Any) -> str:
    """Return data as JSON on one line, with everything escaped that controls a terminal."""
    encoded = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _RAW_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded)
