"""Turns what a provider's HTTP API said went wrong into exactly one fault, with a detail to act on.

The codes and phrases are those that servers which speak OpenAI's or Anthropic's API really send.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from meeting_core.model import ReportedUsage
from meeting_service.ports import (
    ContextTooLong,
    GatewayFault,
    RateLimited,
    Refused,
    Rejected,
    Truncated,
    Unavailable,
)

if TYPE_CHECKING:
    import httpx2

MAX_DETAIL_CHARACTERS = 500
MAX_PLACE_CHARACTERS = 200
MIN_SECRET_CHARACTERS = 6

_QUOTA_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error"}
)
_CONTEXT_CODES = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
)
_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "data_inspection_failed",
        "moderation_blocked",
        "responsibleaipolicyviolation",
    }
)
_CONTEXT = re.compile(
    r"maximum context length|context (?:length|window|size)|prompt is too long"
    r"|input (?:is|was) too long|input length and `?max_tokens|request too large",
    re.IGNORECASE,
)
_STATUS_OF_CODE = {
    "api_error": 500,
    "authentication_error": 401,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded": 529,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "server_error": 500,
    "service_unavailable": 503,
    "timeout_error": 408,
}
_COME_BACK = frozenset({408, 409, 425})
# What gateways in front of a provider answer in its place, and what it answers when overloaded; a
# plain 500 may be about this one request, and a 504 may have cost something.
_UNREACHABLE = frozenset({502, 503, 529})
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s'\",;]{4,}")
_HINTS = (
    (re.compile(r"\bmax_completion_tokens\b|\bmax_tokens\b"), "check max_tokens_field"),
    (re.compile(r"\bstream_options\b|\binclude_usage\b"), "try stream_options = false"),
)
_HINT_OF_STATUS = {
    401: "check the gateway's API key",
    402: "check the account's quota and billing",
    403: "check the gateway's API key and what it may use",
    404: "check base_url and the model's name",
}


class ProviderError(Struct, frozen=True):
    """What a provider said went wrong, out of its envelope.

    Shape: `status` is None for an error inside a stream that began well; `codes` are the error's
    code and type; `headers` are those of the answer, names in lower case.
    """

    status: int | None
    message: str
    codes: Sequence[str] = ()
    headers: Mapping[str, str] = _NO_HEADERS


def error_in(body: object, response: "httpx2.Response | None" = None) -> ProviderError:
    """Return the error in a body: an object, a bare text, or either one level deeper.

    Shape: without a `response`, or with one that began well, it came inside a stream.
    """
    found = body.get("error", body) if isinstance(body, dict) else body
    fields = found if isinstance(found, dict) else {"message": found}
    message = fields.get("message") or fields.get("detail")
    message = message if isinstance(message, str) else ""
    codes = [str(fields[name]) for name in ("code", "type") if fields.get(name) is not None]
    if response is None or response.status_code < 300:
        return ProviderError(None, message, codes)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return ProviderError(response.status_code, message or response.reason_phrase, codes, headers)


def fault_of(
    error: ProviderError,
    *,
    source: str,
    secrets: Sequence[str],
    now: datetime,
    usage: ReportedUsage | None = None,
) -> GatewayFault:
    """Return the fault that an error of a provider means."""
    status = error.status or _status_in(error.codes)
    kind = _kind_of(error, status)
    answered = f"answered {error.status}" if error.status else "broke off with an error"
    detail = f"{source} {answered}: {error.message or 'no message'}"
    if hint := _hint(kind, status, error.message):
        detail = f"{detail.rstrip('.')}; {hint}"
    may_come_back = kind in {RateLimited, Unavailable}
    wait = retry_after_seconds(error.headers, now) if may_come_back else None
    return kind(
        one_line(detail, secrets),
        retry_after_seconds=wait,
        usage=usage,
        is_unreachable=kind is Unavailable and status in _UNREACHABLE,
    )


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long a provider asks to wait; None if it does not say.

    Units: seconds, never negative. Source: RFC 9110, 10.2.3; `retry-after-ms` is OpenAI's.
    """
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait = float(headers.get(name, "")) / per_second
        except ValueError:
            continue
        if isfinite(wait):
            return max(wait, 0.0)
    try:
        at = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    # A date without a zone is naive; HTTP dates are always GMT.
    at = at.replace(tzinfo=now.tzinfo) if at.tzinfo is None else at
    return max((at - now).total_seconds(), 0.0)


def one_line(text: str, secrets: Sequence[str] = ()) -> str:
    """Make a text fit for an event, a log and a terminal: one bounded line without secrets."""
    # Secrets go first: a cut through the middle of one would leave its half unrecognised.
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    text = _BEARER.sub(r"\1 [secret]", text[: 8 * MAX_DETAIL_CHARACTERS])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) <= MAX_DETAIL_CHARACTERS:
        return text
    return text[: MAX_DETAIL_CHARACTERS - 3].rstrip() + "..."


def secrets_in(api_key: str, headers: Mapping[str, str], base_url: str) -> tuple[str, ...]:
    """Return what may never be shown of a gateway's settings, longest first."""
    parts = urlsplit(base_url)
    found = {api_key, *headers.values(), parts.password or ""}
    return tuple(
        sorted((s for s in found if len(s) >= MIN_SECRET_CHARACTERS), key=len, reverse=True)
    )


def checked_header(name: str, value: str) -> None:
    """Refuse a header that cannot be sent.

    Raises: `ValueError`, without the value, which may be a secret.
    """
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError(f"{name} holds a character that cannot stand in an HTTP header")


def place_of(base_url: str) -> str:
    """Return the address of a gateway without the credentials it may hold.

    Raises: `ValueError` if it is not an HTTP address.
    """
    parts = urlsplit(base_url)
    is_http = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    if not is_http or not base_url.isprintable() or " " in base_url:
        raise ValueError("base_url must be an address such as http://127.0.0.1:8000/v1")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return place[:MAX_PLACE_CHARACTERS]


def _status_in(codes: Sequence[str]) -> int | None:
    for code in codes:
        if code.isdecimal() and 400 <= int(code) <= 599:
            return int(code)
        if code.lower() in _STATUS_OF_CODE:
            return _STATUS_OF_CODE[code.lower()]
    return None


def _kind_of(error: ProviderError, status: int | None) -> type[GatewayFault]:
    codes = {code.lower() for code in error.codes}
    if codes & _QUOTA_CODES:
        return Rejected
    if codes & _FILTER_CODES:
        return Refused
    if codes & _CONTEXT_CODES or status == 413:
        return ContextTooLong
    if status not in {401, 403} and _CONTEXT.search(error.message):
        return ContextTooLong
    if status is None:
        return Truncated
    if status == 429:
        return RateLimited
    if status >= 500 or status in _COME_BACK:
        return Unavailable
    return Rejected


def _hint(kind: type[GatewayFault], status: int | None, message: str) -> str:
    if kind is not Rejected:
        return ""
    if status == 429:
        return _HINT_OF_STATUS[402]
    if status is not None and 300 <= status < 400:
        return "base_url leads elsewhere; set it to the final address"
    for words, hint in _HINTS:
        if words.search(message):
            return hint
    return _HINT_OF_STATUS.get(status or 0, "")
