"""How long a provider asks to wait: in a header, in a field of a body, or in words."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from types import MappingProxyType
from typing import Any

MAX_READ_CHARACTERS = 4_000
"""So much of a message is read: an error of a few words, not a page that stands in its place."""

MAX_WAIT_SECONDS = 31_536_000.0
"""Longer waits, such as numbers of hundreds of digits, are as good as a year."""

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


def wait_in_header(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long the headers of an answer ask to wait; None if they do not say.

    Units: seconds, never negative. Source: RFC 9110, 10.2.3; `retry-after-ms` is OpenAI's.
    """
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        wait = seconds_of(headers.get(name, ""), per_second)
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
    return span_in(found["span"] or found["chinese"])


def seconds_of(value: Any, per_second: float) -> float | None:
    """Return the seconds that a value of a field or a header means; None if it is no number."""
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


def span_in(text: str) -> float | None:
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
