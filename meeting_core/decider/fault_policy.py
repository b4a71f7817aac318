"""What to do about a gateway's fault: how often to try, how long to wait. A pure table."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Literal, TypeAlias

from meeting_core.model.reported_usage import believed_usage
from meeting_core.model.values import FaultClass, ReportedUsage, Reservation, Usage, Value

Remedy: TypeAlias = Literal["again", "shorter", "next_model", "skip", "adapted"]


class FaultRule(Value, frozen=True):
    """How one class of fault is answered.

    Units: seconds. `remedy` is what the next attempt does: the same `again`, with a brief half as
    long (`shorter`), through the participant's `next_model`, in another form that the adapter has
    learnt (`adapted`), or nothing: the turn is skipped. `max_in_a_row` bounds how often a
    participant may meet the fault in a row in one task, besides the meeting's `max_attempts` for
    all faults together; what was `adapted` counts by itself, in a row or not, and is at last
    `rejected`. The wait doubles from `first_wait_seconds` each time in a row, and up to half of it
    is added by chance. `is_charged` says whether a call that failed so before a first word came
    may have cost tokens.
    """

    remedy: Remedy
    max_in_a_row: int
    first_wait_seconds: float
    is_charged: bool


MAX_WAIT_SECONDS = 30.0
"""The longest wait of our own; one that a provider asks for is bounded by the task's time."""

MAX_ASKED_SECONDS = 86_400.0
"""No task has so much time."""

JITTER = 0.5

FAULT_RULES: Mapping[FaultClass, FaultRule] = MappingProxyType(
    {
        FaultClass.RATE_LIMITED: FaultRule("again", 10, 1.0, is_charged=False),
        FaultClass.UNAVAILABLE: FaultRule("again", 10, 0.5, is_charged=True),
        FaultClass.TIMED_OUT: FaultRule("again", 10, 0.5, is_charged=True),
        FaultClass.CONTEXT_TOO_LONG: FaultRule("shorter", 3, 0.0, is_charged=False),
        FaultClass.REFUSED: FaultRule("skip", 1, 0.0, is_charged=True),
        FaultClass.REJECTED: FaultRule("next_model", 1, 0.0, is_charged=False),
        FaultClass.TRUNCATED: FaultRule("again", 2, 0.0, is_charged=True),
        FaultClass.EMPTY: FaultRule("again", 2, 0.0, is_charged=True),
        FaultClass.UNSUPPORTED: FaultRule("adapted", 5, 0.0, is_charged=False),
    }
)


def retry_at(
    fault: FaultClass,
    attempts: int,
    repeats: int,
    *,
    max_attempts: int,
    retry_after_seconds: float | None,
    seed: str,
    now: datetime,
) -> datetime | None:
    """Return when to try again after `attempts` attempts, `repeats` of them in a row with this
    fault; None to give up.

    Units: `retry_after_seconds` is the provider's wish; it is honoured, so that whether the task
    has the time is for the caller to say. `seed` names the attempt, so that its share of chance
    is the same in every replay.
    """
    rule = FAULT_RULES[fault]
    if attempts >= max_attempts or repeats >= rule.max_in_a_row:
        return None
    wait = rule.first_wait_seconds * 2.0 ** (repeats - 1) * (1.0 + JITTER * _share(seed))
    wait = min(wait, MAX_WAIT_SECONDS)
    if retry_after_seconds is not None:
        if not retry_after_seconds <= MAX_ASKED_SECONDS:
            return None
        wait = max(wait, retry_after_seconds)
    return now + timedelta(seconds=wait)


def _share(seed: str) -> float:
    """Return a number from 0 to below 1 that depends on the seed only."""
    return int.from_bytes(sha256(seed.encode()).digest()[:4]) / 2**32


def fault_charge(
    fault: FaultClass,
    reserved: Reservation,
    reported: ReportedUsage | None,
    *,
    tokens_seen: int,
    reached: bool,
    prompt_beyond_tokens: int = 0,
) -> tuple[Usage | None, int]:
    """Return what a failed call took, if that can be told, and what it is charged.

    That is what was reported and can be true, else nothing if it never ran, else the whole
    reservation, or what came if that is more. Units: tokens; once some were seen it did run.
    `prompt_beyond_tokens` are those of the reserved prompt that were not sent by us.
    """
    ran = tokens_seen > 0 or (reached and FAULT_RULES[fault].is_charged)
    came = reserved.prompt_tokens + tokens_seen
    if reported is not None:
        usage = believed_usage(
            reported,
            prompt_tokens=reserved.prompt_tokens,
            text_tokens=0,
            thought_tokens=tokens_seen,
            uncounted_tokens=reserved.written_tokens if ran else 0,
            prompt_beyond_tokens=prompt_beyond_tokens,
        )
        if usage.source != "estimated":
            return usage, usage.total
    if not ran:
        return None, 0
    if came > reserved.total:
        return Usage(reserved.prompt_tokens, tokens_seen, "estimated"), came
    return None, reserved.total
