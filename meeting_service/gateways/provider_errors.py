"""Reads what went wrong out of the envelopes in which providers, and servers before them, say it.

The shapes are those that servers which speak OpenAI's or Anthropic's API really send: an object
with an `error`, a list of such objects, a `detail` with the fields that were not taken, a bare
text, or any of them one level deeper, also as a text that holds JSON.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from meeting_service.gateways.asked_waits import (
    MAX_READ_CHARACTERS,
    seconds_of,
    span_in,
    wait_in_text,
)

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

MAX_DEPTH = 10
MAX_PARTS = 50
_TEXT_NAMES = (
    *("message", "msg", "error_message", "error_msg", "status_msg", "errorMessage", "Message"),
    *("detail", "error", "errors", "base_resp", "title", "raw"),
)
_BELOW = (*_TEXT_NAMES, "details", "metadata", "headers", "choices")
"""The fields of an error in which more of it may stand: a bridge quotes its provider there."""

_FAILED = ("error", "failed", "fail")
_WELL = frozenset(
    {
        *("", "0", "200", "ok", "success", "succeeded", "successful", "none", "null", "no error"),
        *("false", "no errors"),
    }
)
_NOTICES = _WELL | {
    *("ping", "keepalive", "keep-alive", "keep_alive", "heartbeat", "status", "info", "progress"),
    *("queue", "queued", "pending", "processing", "in_progress", "running", "waiting", "loading"),
    *("notice", "started", "starting", "done", "completed", "debug", "log", "metadata"),
}
"""What servers call what they send so that a connection does not look dead."""

_FAILURE_WORDS = re.compile(
    r"fail|error|exception|invalid|n.t\b"
    r"|\bno (?:\w+ )?(?:channel|instance|deployment|endpoint|provider|backend|server"
    r"|model|such|access|permission)|\bnot\b|\bnon|cannot|unable|denied|forbidden"
    r"|authori[sz]|exceed|limit|quota|overload|capacity|unavailable|time[d -]*out|brok|crash|abort"
    r"|refus|reject|\bun(?:known|supported|expected|recogni[sz]ed)|missing|required|expired"
    r"|\btoo\b|insufficient|\bmust\b|again|wrong|\bdown\b|exhaust|disabled|suspend|\bbad\b"
    r"|closed|\blost\b|\bout of\b|\bfull\b|violat|blocked|filtered|cancel|terminated|killed"
    r"|interrupt|upstream|payment|balance|credits?\b"
    r"|失败|错误|异常|超|不|无|欠费|繁忙|稍后",
    re.IGNORECASE,
)
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
    """Return whether a piece of a stream, or an answer in its place, says that something failed.

    Servers also send what is none beside an answer: an empty error, or a word on their queue.
    """
    match body:
        case list():
            return any(is_error(each) for each in body if isinstance(each, dict))
        case {"error": error} if not _is_no_error(error):
            return True
        case {"object": "error"} | {"type": "error"}:
            return True
        case {"errors": [_, *_] as errors} if not _is_no_error(errors):
            return True
        case {"base_resp": {"status_code": int(code)}} if code:
            return True
        case {"choices": [_, *_]} | {"content": _}:
            return False
        case dict():
            has_failed = body.get("success") is False or body.get("status") in _FAILED
            return has_failed or ("choices" not in body and _reports_failure(body))
        case _:
            return False


def _is_no_error(error: object) -> bool:
    """Return whether an error is empty, or says in its place that all is well."""
    if isinstance(error, dict | list):
        values = error.values() if isinstance(error, dict) else error
        return all(map(_is_no_error, values))
    if isinstance(error, str):
        return error.strip(" .!").lower() in _WELL
    return not error or (error == 200 and not isinstance(error, bool))


def _reports_failure(body: dict[str, Any]) -> bool:
    """Return whether words stand in an object without an `error`, and are about a failure."""
    said = [value for name in _ERROR_NAMES if (value := body.get(name))]
    if not said:
        return False
    kinds = [value for name in _CODE_NAMES if (value := body.get(name)) is not None]
    if any(_is_failure_code(kind) for kind in kinds):
        return True
    if any(isinstance(kind, str) and kind.strip().lower() in _NOTICES for kind in kinds):
        return False
    return any(
        _FAILURE_WORDS.search(each[:MAX_READ_CHARACTERS])
        if isinstance(each, str)
        else any(map(_is_complaint, each if isinstance(each, list) else [each]))
        for each in said
    ) or not all(_is_no_error(body.get(name)) for name in ("code", "error_code", "errorCode"))


def _is_complaint(part: object) -> bool:
    """Return whether a part says what is wrong; a message of a model has a role."""
    return isinstance(part, dict) and "role" not in part and any(map(part.get, _ERROR_NAMES))


def _is_failure_code(code: object) -> bool:
    if isinstance(code, str):
        return "error" in code.lower() or re.fullmatch(r"[45]\d\d", code.strip()) is not None
    return isinstance(code, int) and code >= 400


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
        wait = seconds_of(value.get("seconds") if isinstance(value, dict) else value, per_second)
        if wait is None and isinstance(value, str):
            wait = span_in(value[:MAX_READ_CHARACTERS])
        if wait is not None:
            return wait
    return None
