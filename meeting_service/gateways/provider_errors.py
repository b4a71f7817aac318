"""Reads what went wrong out of the envelopes in which providers, and servers before them, say it.

The shapes are those that servers which speak OpenAI's or Anthropic's API really send: an object
with an `error`, a list of such objects, a `detail` with the fields that were not taken, a bare
text, or any of them one level deeper, also as a text that holds JSON.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

MAX_DEPTH = 10
MAX_PARTS = 50
MAX_READ_CHARACTERS = 4_000
"""So much of a message is read: an error of a few words, not a page that stands in its place."""

MAX_WAIT_SECONDS = 31_536_000.0
"""Longer waits, such as numbers of hundreds of digits, are as good as a year."""

_TEXT_NAMES = (
    *("message", "msg", "error_message", "error_msg", "status_msg", "errorMessage", "Message"),
    *("detail", "error", "errors", "base_resp", "title", "raw"),
)
_BELOW = (*_TEXT_NAMES, "details", "metadata", "headers", "choices")
"""The fields of an error in which more of it may stand: a bridge quotes its provider there."""

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
        # Of a model that is being loaded.
        "estimated_time": 1.0,
    }
)
_UNITS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("ms", "毫秒"), 0.001),
        **dict.fromkeys(("s", "秒"), 1.0),
        **dict.fromkeys(("m", "min", "分"), 60.0),
        **dict.fromkeys(("h", "小时"), 3_600.0),
        "d": 86_400.0,
    }
)
_NUMBER = r"(?<![\d.])(?:\d{1,12}(?:\.\d{1,12})?|\.\d{1,12})"
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_CHINESE_UNIT = r"(?:毫秒|秒|分|小时)"
_SPAN = re.compile(rf"({_NUMBER})\s*({_UNIT}|{_CHINESE_UNIT})", re.IGNORECASE)
_CLOCK = r"\d{1,2}:\d\d:\d\d"
_WAIT_IN_TEXT = re.compile(
    r"(?:(?:again|retry|retried|request|wait|back|resets?|replenished|available)\b"
    r"(?:\s+\w+){0,3}?\s+(?:in|after|for|within)|\bwait|retry[-_ ]?(?:after|delay)[\"']?\s*[:=]?)"
    rf"\s*[\"']?(?P<span>{_CLOCK}|(?:{_NUMBER}\s*{_UNIT}[\s,]*(?:and\s+)?)+)"
    # A header that is quoted has no unit.
    rf"|retry[-_ ]after[\"']?\s*[:=]?\s*[\"']?(?P<seconds>{_NUMBER})(?![\w:/%-]|\.\d|\s*[a-z])"
    rf"|(?P<chinese>(?:{_NUMBER}\s*{_CHINESE_UNIT}钟?)+)[之以]?后",
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
    except (ValueError, OverflowError):
        return None
    # A date without a zone is naive; HTTP dates are always GMT.
    at = at.replace(tzinfo=now.tzinfo) if at.tzinfo is None else at
    return _bounded((at - now).total_seconds())


def wait_in_text(text: str) -> float | None:
    """Return how long a text asks to wait: "try again in 1m30.5s"; None if it does not say."""
    found = _WAIT_IN_TEXT.search(text[:MAX_READ_CHARACTERS])
    if found is None:
        return None
    if found["seconds"]:
        return _bounded(float(found["seconds"]))
    return _span(found["span"] or found["chinese"])


def _parts(body: object, depth: int = 0) -> Iterator[object]:
    """Yield the texts and objects of a body that may say something, outermost first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(body, str):
        held = _held_in(body)
        if held is None:
            yield body
        else:
            yield from _parts(held, depth + 1)
    elif isinstance(body, list):
        for each in body:
            yield from _parts(each, depth + 1)
    elif isinstance(body, dict):
        yield body
        for name in _BELOW:
            value = body.get(name)
            is_more = isinstance(value, str) and (name in {"error", "raw"} or _held_in(value))
            if is_more or isinstance(value, dict | list):
                yield from _parts(value, depth + 1)


def _held_in(text: str) -> dict[str, Any] | list[Any] | None:
    """Return the JSON that a text holds; None if it is no more than a text."""
    text = text.strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        held = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict | list) and held else None


def _text(part: object) -> str:
    if isinstance(part, str):
        return part.strip()
    assert isinstance(part, dict)
    for name in _TEXT_NAMES:
        value = part.get(name)
        if name in {"error", "raw"} or not isinstance(value, str) or not value.strip():
            continue
        if _held_in(value):
            return ""
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
        wait = _seconds(value.get("seconds") if isinstance(value, dict) else value, per_second)
        if wait is None and isinstance(value, str):
            wait = _span(value[:MAX_READ_CHARACTERS])
        if wait is not None:
            return wait
    return None


def _seconds(value: Any, per_second: float) -> float | None:
    try:
        wait = float(value) / per_second
    except (TypeError, ValueError):
        return None
    except OverflowError:
        # An integer may have more digits than a float holds.
        return MAX_WAIT_SECONDS if value > 0 else 0.0
    return _bounded(wait) if isfinite(wait) else None


def _bounded(wait: float) -> float:
    return min(max(wait, 0.0), MAX_WAIT_SECONDS)


def _span(text: str) -> float | None:
    """Add up a span of time such as `8s`, `1m30.5s`, `2 minutes and 5 seconds` or `00:02:05`."""
    if re.fullmatch(_CLOCK, text):
        hours, minutes, seconds = map(int, text.split(":"))
        return float(3_600 * hours + 60 * minutes + seconds)
    found = _SPAN.findall(text)
    if not found:
        return None
    return _bounded(sum(float(count) * _UNITS[_unit(unit.lower())] for count, unit in found))


def _unit(word: str) -> str:
    if word in _UNITS:
        return word
    if word.startswith("milli"):
        return "ms"
    return "min" if word.startswith("min") else word[0]
