"""Turns what a provider said went wrong into exactly one fault, with a detail to act on.

The codes and phrases are those that servers which speak OpenAI's or Anthropic's API really send.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from meeting_core.model import ReportedUsage
from meeting_service.gateways.asked_waits import wait_in_header
from meeting_service.gateways.provider_errors import ProviderError
from meeting_service.gateways.provider_phrases import (
    says_one_model,
    says_out_of_quota,
    says_too_long,
)
from meeting_service.gateways.redaction import one_line
from meeting_service.gateways.request_forms import is_about_value
from meeting_service.ports import (
    ContextTooLong,
    GatewayFault,
    RateLimited,
    Refused,
    Rejected,
    Truncated,
    Unavailable,
)

_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "exceeded_current_quota_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_funds",
        "arrearage",
        "account_deactivated",
        "credit_limit",
        "credit_limit_reached",
        "insufficient_user_quota",
        "pre_consume_token_quota_failed",
        "budget_exceeded",
        "allocationquota.freetieronly",
    }
)
_CONTEXT_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "contextwindowexceedederror",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "request_too_large",
    }
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
# Without signs and a closing "error": `BadRequestError`, `bad_request_error`, `BAD_REQUEST`.
_STATUS_OF_CODE = {
    "api": 500,
    "authentication": 401,
    "badrequest": 400,
    "badgateway": 502,
    "engineoverloaded": 503,
    "internal": 500,
    "internalserver": 500,
    "invalidapikey": 401,
    "invalidargument": 400,
    "invalidrequest": 400,
    "modelnotfound": 404,
    "notfound": 404,
    "overloaded": 529,
    "permissiondenied": 403,
    "permission": 403,
    "ratelimit": 429,
    "ratelimitexceeded": 429,
    "ratelimitreached": 429,
    "requesttoolarge": 413,
    "resourceexhausted": 429,
    "server": 500,
    "serviceunavailable": 503,
    "timeout": 408,
    "toomanyrequests": 429,
    "unauthenticated": 401,
    "unauthorized": 401,
    "unavailable": 503,
    "unprocessableentity": 422,
}
_STATUS_IN_WORDS = re.compile(
    r"\b(?:error|status|code|http(?:/[\d.]+)?)\b\W{0,3}(?:(?:code|status)\W{0,3})?([45]\d\d)\b"
    r"|^\W*([45]\d\d)\b",
    re.IGNORECASE,
)
_STATUS_OF_WORDS = tuple(
    (re.compile(words, re.IGNORECASE), status)
    for words, status in (
        (r"\brate[ -]?limit|\btoo many requests\b", 429),
        (r"\boverloaded\b|\bat capacity\b", 529),
        (r"\bbad gateway\b", 502),
        (r"\bservice (?:is )?(?:temporarily )?unavailable\b|\bno healthy upstream\b", 503),
        (r"\bupstream connect error\b|\bconnection refused\b", 503),
        (r"\bgateway time-?out\b", 504),
        (r"\binternal server error\b", 500),
        (r"\bunauthori[sz]ed\b|\b(?:invalid|incorrect) api[ _-]?key\b", 401),
    )
)
_COME_BACK = frozenset({408, 409, 425})
_NEVER_TOO_LONG = frozenset({401, 403, 404, 408, 429, 502, 503, 504, 524, 529})
# What gateways in front of a provider answer in its place, and what it answers when overloaded; a
# plain 500 may be about this one request, and a 504 may have cost something.
_UNREACHABLE = frozenset({502, 503, 529})
_CAP_FIELDS = re.compile(r"\bmax_completion_tokens\b|\bmax_tokens\b")
_HINTS = (
    (_CAP_FIELDS, "check max_tokens_field"),
    (re.compile(r"\bstream_options\b|\binclude_usage\b"), "try stream_options = false"),
)
_HINT_OF_STATUS = {
    401: "check the gateway's API key",
    402: "check the account's quota and billing",
    403: "check the gateway's API key and what it may use",
    404: "check base_url and the model's name",
}


def fault_of(
    error: ProviderError,
    *,
    source: str,
    secrets: Sequence[str],
    now: datetime,
    model: str = "",
    usage: ReportedUsage | None = None,
    tokens_seen: int = 0,
) -> GatewayFault:
    """Return the fault that an error of a provider means for a call to `model`.

    Once anything of the answer had come, the provider was reached, whatever it says.
    """
    status = error.status or _status_in(error.codes) or _status_in_words(error.message)
    # A wait of nothing says less than the one that the body may ask for.
    wait = wait_in_header(error.headers, now) or error.wait_seconds
    wait = wait_in_header(error.headers, now) if wait is None else wait
    kind = _kind_of(error, status, model, may_come_back=wait is not None)
    answered = f"answered {error.status}" if error.status else "broke off with an error"
    detail = f"{source} {answered}: {error.message or 'no message'}"
    if hint := _hint(kind, status, error):
        detail = f"{detail.rstrip('.')}; {hint}"
    is_unreachable = kind is Unavailable and status in _UNREACHABLE and not tokens_seen
    return kind(
        one_line(detail, secrets),
        retry_after_seconds=wait if kind in {RateLimited, Unavailable} else None,
        usage=usage,
        # In the stream of an answer, an error in the place of the first token means that none ran.
        reached=error.status is not None or tokens_seen > 0,
        is_unreachable=is_unreachable,
        names_model=is_unreachable and _is_about_model(error, model),
        tokens_seen=tokens_seen,
    )


def _status_in(codes: Sequence[str]) -> int | None:
    for code in codes:
        # A code may be a number of any length, more than an integer is read from.
        if re.fullmatch(r"[45]\d\d", code):
            return int(code)
        plain = re.sub(r"[^a-z]", "", code.lower()).removesuffix("error")
        if plain in _STATUS_OF_CODE:
            return _STATUS_OF_CODE[plain]
    return None


def _status_in_words(message: str) -> int | None:
    """Return the status that a text without a code of any kind speaks of."""
    if found := _STATUS_IN_WORDS.search(message):
        return int(found.group(1) or found.group(2))
    return next((status for words, status in _STATUS_OF_WORDS if words.search(message)), None)


def _kind_of(
    error: ProviderError, status: int | None, model: str, *, may_come_back: bool
) -> type[GatewayFault]:
    codes = {code.lower() for code in error.codes}
    # Some say the same of an empty account and of a limit a minute; only the second has a wait.
    may_be_empty = not may_come_back and (status is None or (status < 500 and status != 401))
    if codes & _QUOTA_CODES or status == 402 or (may_be_empty and says_out_of_quota(error.message)):
        return Rejected
    if codes & _FILTER_CODES:
        return Refused
    # A request too large for what a minute may take never gets through either, said with 429.
    if codes & _CONTEXT_CODES or status == 413 or "request too large" in error.message.lower():
        return ContextTooLong
    if status not in _NEVER_TOO_LONG and says_too_long(error.message, model):
        return ContextTooLong
    if status is None:
        return RateLimited if may_come_back else Truncated
    if status == 429:
        return RateLimited
    if status >= 500 or status in _COME_BACK:
        return Unavailable
    return Rejected


def _is_about_model(error: ProviderError, model: str) -> bool:
    has_code = any("model" in code.lower() for code in error.codes)
    return has_code or says_one_model(error.message, model)


def _hint(kind: type[GatewayFault], status: int | None, error: ProviderError) -> str:
    if kind is not Rejected:
        return ""
    codes = {code.lower() for code in error.codes}
    if status == 429 or codes & _QUOTA_CODES or says_out_of_quota(error.message):
        return _HINT_OF_STATUS[402]
    if status is not None and 300 <= status < 400:
        return "base_url leads elsewhere; set it to the final address"
    if _CAP_FIELDS.search(error.message) and is_about_value(error.message):
        return "check max_tokens_per_turn and synthesis_max_tokens"
    for words, hint in _HINTS:
        if words.search(error.message):
            return hint
    return _HINT_OF_STATUS.get(status or 0, "")
