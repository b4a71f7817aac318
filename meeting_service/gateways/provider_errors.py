"""Reads what went wrong out of the envelopes in which providers, and servers before them, say it.

The shapes are those that servers which speak OpenAI's or Anthropic's API really send: an object
with an `error`, a list of such objects, a `detail` with the fields that were not taken, a bare
text, or any of them one level deeper.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from types import MappingProxyType
from typing import Any

from msgspec import Struct

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

MAX_DEPTH = 6
MAX_PARTS = 50

_TEXT_NAMES = (
    *("message", "msg", "error_message", "error_msg", "status_msg", "errorMessage", "Message"),
    *("detail", "error", "errors", "base_resp", "title"),
)
_FAILED = ("error", "failed", "fail")
_ERROR_NAMES = ("detail", "message", "Message", "msg", "error_msg", "error_message", "errorMessage")
_CODE_NAMES = ("code", "type", "status", "error_code", "error_type", "errorCode", "status_code")
_WAIT_NAMES: Mapping[str, float] = MappingProxyType(
    {
        "retry_after_ms": 1_000.0,
        "retryafterms": 1_000.0,
        "retry-after-ms": 1_000.0,
        "retry_after": 1.0,
        "retry-after": 1.0,
        "retryafter": 1.0,
        "retry_after_seconds": 1.0,
        "retrydelay": 1.0,
        "retry_delay": 1.0,
        "estimated_time": 1.0,
    }
)
_UNITS: Mapping[str, float] = MappingProxyType(
    {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
)
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
_SPAN = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})(?![a-z])", re.IGNORECASE)
_WAIT_IN_TEXT = re.compile(
    r"(?:(?:again|retry|retried|request|wait|back|resets?|available)\b(?:\s+\w+){0,3}?"
    r"\s+(?:in|after|for|within)|\bwait|retry[-_ ]?(?:after|delay)[\"']?\s*[:=]?)"
    rf"\s*[\"']?((?:\d+(?:\.\d+)?\s*{_UNIT}(?![a-z])[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)


class ProviderError(Struct, frozen=True):
    """What a provider said went wrong, out of its envelope.

    Shape: `status` is None for an error inside a stream that began well; `codes` are the error's
    codes and types. Units: `wait_seconds` is what the body asks to wait.
    """

    status: int | None
    message: str
    codes: Sequence[str] = ()
    headers: Mapping[str, str] = NO_HEADERS
    wait_seconds: float | None = None


def is_error(body: object) -> bool:
    """Return whether a piece of a stream, or an answer in its place, says that something failed."""
    match body:
        case list():
            return any(is_error(each) for each in body if isinstance(each, dict))
        case {"error": error} if error:
            return True
        case {"object": "error"} | {"type": "error"} | {"errors": [_, *_]}:
            return True
        case {"base_resp": {"status_code": int(code)}} if code:
            return True
        case {"choices": [_, *_]} | {"content": _}:
            return False
        case dict():
            has_failed = body.get("success") is False or body.get("status") in _FAILED
            has_words = "choices" not in body and any(map(body.get, _ERROR_NAMES))
            return has_failed or has_words
        case _:
            return False


def error_in(
    body: object, status: int | None = None, headers: Mapping[str, str] = NO_HEADERS
) -> ProviderError:
    """Return the error in a body: an object, a list, a bare text, or either one level deeper.

    Shape: without a status it came inside a stream.
    """
    parts = list(_parts(body))[:MAX_PARTS]
    message = "; ".join(dict.fromkeys(text for text in map(_text, parts) if text))
    codes = dict.fromkeys(code for part in parts for code in _codes(part))
    waits = [wait for part in parts if (wait := _wait_field(part)) is not None]
    wait = max(waits, default=wait_in_text(message))
    return ProviderError(status, message, tuple(codes), headers, wait)


def wait_in_header(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long the headers of an answer ask to wait; None if they do not say.

    Units: seconds, never negative. Source: RFC 9110, 10.2.3; `retry-after-ms` is OpenAI's.
    """
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        wait = _seconds(headers.get(name, ""), per_second)
        if wait is not None:
            return wait
    try:
        at = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    # A date without a zone is naive; HTTP dates are always GMT.
    at = at.replace(tzinfo=now.tzinfo) if at.tzinfo is None else at
    return max((at - now).total_seconds(), 0.0)


def wait_in_text(text: str) -> float | None:
    """Return how long a text asks to wait: "try again in 1m30.5s"; None if it does not say."""
    found = _WAIT_IN_TEXT.search(text)
    return None if found is None else _span(found.group(1))


def _parts(body: object, depth: int = 0) -> Iterator[object]:
    """Yield the texts and objects of a body that may say something, outermost first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for each in body:
            yield from _parts(each, depth + 1)
    elif isinstance(body, dict):
        yield body
        for name in (*_TEXT_NAMES, "details", "metadata", "choices"):
            value = body.get(name)
            if isinstance(value, dict | list) or (isinstance(value, str) and name == "error"):
                yield from _parts(value, depth + 1)


def _text(part: object) -> str:
    if isinstance(part, str):
        return part.strip()
    assert isinstance(part, dict)
    for name in _TEXT_NAMES:
        value = part.get(name)
        if isinstance(value, str) and value.strip() and name != "error":
            place = part.get("loc")
            at = ".".join(map(str, place)) if isinstance(place, list) else part.get("param")
            text = value.strip()
            return f"{at}: {text}" if isinstance(at, str) and at and at not in text else text
    return ""


def _codes(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name in _CODE_NAMES:
            value = part.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool):
                yield str(value)


def _wait_field(part: object) -> float | None:
    if not isinstance(part, dict):
        return None
    for name, value in part.items():
        per_second = _WAIT_NAMES.get(str(name).lower())
        if per_second is None:
            continue
        wait = _seconds(value, per_second)
        if wait is None and isinstance(value, str):
            wait = _span(value)
        if wait is not None:
            return wait
    return None


def _seconds(value: Any, per_second: float) -> float | None:
    try:
        wait = float(value) / per_second
    except (TypeError, ValueError):
        return None
    return max(wait, 0.0) if isfinite(wait) else None


def _span(text: str) -> float | None:
    """Add up a span of time such as `8s`, `1m30.5s` or `2 minutes and 5 seconds`."""
    found = _SPAN.findall(text)
    if not found:
        return None
    return sum(float(count) * _UNITS[_unit(unit.lower())] for count, unit in found)


def _unit(word: str) -> str:
    if word.startswith(("ms", "milli")):
        return "ms"
    return "min" if word.startswith("min") else word[0]
