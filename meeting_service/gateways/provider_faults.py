"""Turns what a provider said went wrong into exactly one fault, with a detail to act on.

The codes and phrases are those that servers which speak OpenAI's or Anthropic's API really send.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from meeting_core.model import ReportedUsage
from meeting_service.gateways.provider_errors import ProviderError, wait_in_header
from meeting_service.gateways.redaction import one_line
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
        "credit_limit_reached",
    }
)
_QUOTA = re.compile(
    r"insufficient[ _](?:account )?(?:balance|quota|credits?|funds)"
    r"|(?:balance|credits?)\b[^.]{0,30}\b(?:too low|exhausted|depleted|used up|run out|negative)"
    r"|(?:exceeded|exhausted|used up|out of)\b[^.]{0,30}\b(?:quota|credits?|balance)"
    r"|not enough (?:balance|credits?|quota)|requires more credits|account (?:is )?(?:suspended|"
    r"in arrears|overdue)|billing (?:details|hard limit)|payment required|欠费|余额不足",
    re.IGNORECASE,
)
_CONTEXT_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "contextwindowexceedederror",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "request_too_large",
        "string_above_max_length",
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
# Too long a brief is said in many words; all of them name what is long, its measure, and a bound.
_CONTEXT_SUBJECT = re.compile(
    r"\b(?:context|prompt|inputs?|sequence|messages?|conversation|request)\b|`inputs`",
    re.IGNORECASE,
)
_CONTEXT_MEASURE = re.compile(
    r"tokens?\b|\blength\b|\blong|\bcontext\b|\bwindow\b|\bsize\b|\blarge\b", re.IGNORECASE
)
_CONTEXT_BOUND = re.compile(
    r"\bexceed|\btoo (?:long|large|many)\b|\b(?:longer|greater|larger|more) than\b|\bmaximum\b"
    r"|\bat most\b|\blimit\b|<=|\bmust be (?:less|fewer|below)|\bfit\b|\bover\b|\bonly supports\b"
    r"|\bmax_model_len\b|\breduce\b",
    re.IGNORECASE,
)
_NOT_CONTEXT = re.compile(
    r"\bper[ -](?:minute|hour|day|second|month)\b|\brate[ _-]?limit|\bquota\b|\bTPM\b|\bRPM\b"
    r"|\bnumber of messages\b",
    re.IGNORECASE,
)
_ABOUT_CAP = re.compile(
    r"\bmax(?:imum)?_(?:completion_|output_|new_)?tokens\b|\b(?:completion|output) tokens\b",
    re.IGNORECASE,
)
_ABOUT_BRIEF = re.compile(
    r"\b(?:context|prompt|inputs?|messages|conversation|sequence)\b", re.IGNORECASE
)
_STATUS_OF_CODE = {
    "api_error": 500,
    "authentication_error": 401,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_argument": 400,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded": 529,
    "overloaded_error": 529,
    "permission_denied": 403,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "resource_exhausted": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "timeout_error": 408,
    "too_many_requests": 429,
    "unauthenticated": 401,
    "unavailable": 503,
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
# What gateways in front of a provider answer in its place, and what it answers when overloaded; a
# plain 500 may be about this one request, and a 504 may have cost something.
_UNREACHABLE = frozenset({502, 503, 529})
_ONE_MODEL = re.compile(
    r"\bmodels?\b[^.;]{0,80}\b(?:overloaded|not found|unavailable|not available|loading|busy"
    r"|not loaded|does not exist|at capacity|no capacity|not ready|not running|not deployed)\b"
    r"|\bno (?:available |healthy |active |live )?(?:channels?|instances?|deployments?|endpoints?"
    r"|providers?|backends?|workers?|replicas?|servers?|nodes?)\b[^.;]{0,60}\b(?:for|of|found)\b",
    re.IGNORECASE,
)
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
    wait = wait_in_header(error.headers, now)
    wait = error.wait_seconds if wait is None else wait
    kind = _kind_of(error, status, may_come_back=wait is not None)
    answered = f"answered {error.status}" if error.status else "broke off with an error"
    detail = f"{source} {answered}: {error.message or 'no message'}"
    if hint := _hint(kind, status, error.message):
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
        if code.isdecimal() and 400 <= int(code) <= 599:
            return int(code)
        if code.lower() in _STATUS_OF_CODE:
            return _STATUS_OF_CODE[code.lower()]
    return None


def _status_in_words(message: str) -> int | None:
    """Return the status that a text without a code of any kind speaks of."""
    if found := _STATUS_IN_WORDS.search(message):
        return int(found.group(1) or found.group(2))
    return next((status for words, status in _STATUS_OF_WORDS if words.search(message)), None)


def _kind_of(
    error: ProviderError, status: int | None, *, may_come_back: bool
) -> type[GatewayFault]:
    codes = {code.lower() for code in error.codes}
    # Some say the same of an empty account and of a limit a minute; only the second has a wait.
    is_out_of_quota = _QUOTA.search(error.message) is not None and not may_come_back
    if codes & _QUOTA_CODES or status == 402 or (is_out_of_quota and status != 401):
        return Rejected
    if codes & _FILTER_CODES:
        return Refused
    # A request too large for what a minute may take never gets through either, said with 429.
    if codes & _CONTEXT_CODES or status == 413 or "request too large" in error.message.lower():
        return ContextTooLong
    if status not in {401, 403, 404, 429} and _says_too_long(error.message):
        return ContextTooLong
    if status is None:
        return Truncated
    if status == 429:
        return RateLimited
    if status >= 500 or status in _COME_BACK:
        return Unavailable
    return Rejected


def _says_too_long(message: str) -> bool:
    if _NOT_CONTEXT.search(message):
        return False
    if _ABOUT_CAP.search(message) and not _ABOUT_BRIEF.search(message):
        return False
    return bool(
        _CONTEXT_SUBJECT.search(message)
        and _CONTEXT_MEASURE.search(message)
        and _CONTEXT_BOUND.search(message)
    )


def _is_about_model(error: ProviderError, model: str) -> bool:
    return (
        any("model" in code.lower() for code in error.codes)
        or (len(model) > 1 and model.lower() in error.message.lower())
        or _ONE_MODEL.search(error.message) is not None
    )


def _hint(kind: type[GatewayFault], status: int | None, message: str) -> str:
    if kind is not Rejected:
        return ""
    if status == 429 or _QUOTA.search(message):
        return _HINT_OF_STATUS[402]
    if status is not None and 300 <= status < 400:
        return "base_url leads elsewhere; set it to the final address"
    for words, hint in _HINTS:
        if words.search(message):
            return hint
    return _HINT_OF_STATUS.get(status or 0, "")
