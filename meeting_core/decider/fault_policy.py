"""What to do about a gateway's fault: how often to try, how long to wait. A pure table."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Literal, TypeAlias

from meeting_core.model.values import FaultClass, Reservation, Usage, Value

Remedy: TypeAlias = Literal["again", "shorter", "next_model", "skip"]


class FaultRule(Value, frozen=True):
    """How one class of fault is answered.

    Units: seconds. `remedy` is what the next attempt does: the same `again`, with a brief half as
    long (`shorter`), through the participant's `next_model`, or nothing: the turn is skipped.
    `max_in_a_row` bounds how often a participant may meet the fault in a row in one task, besides
    the meeting's `max_attempts` for all faults together; the wait doubles from
    `first_wait_seconds` each time in a row, and up to half of it is added by chance.
    `is_charged` says whether a call that failed so may have cost tokens.
    """

    remedy: Remedy
    max_in_a_row: int
    first_wait_seconds: float
    is_charged: bool


MAX_WAIT_SECONDS = 30.0
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
        FaultClass.UNSUPPORTED: FaultRule("again", 5, 0.0, is_charged=False),
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

    Units: `retry_after_seconds` is the provider's wish; it is honoured up to
    `MAX_WAIT_SECONDS`, and a longer one means giving up. `seed` names the attempt, so that
    its share of chance is the same in every replay.
    """
    rule = FAULT_RULES[fault]
    if attempts >= max_attempts or repeats >= rule.max_in_a_row:
        return None
    wait = rule.first_wait_seconds * 2.0 ** (repeats - 1) * (1.0 + JITTER * _share(seed))
    if retry_after_seconds is not None:
        if retry_after_seconds > MAX_WAIT_SECONDS:
            return None
        wait = max(wait, retry_after_seconds)
    return now + timedelta(seconds=min(wait, MAX_WAIT_SECONDS))


def _share(seed: str) -> float:
    """Return a number from 0 to below 1 that depends on the seed only."""
    return int.from_bytes(sha256(seed.encode()).digest()[:4]) / 2**32


def fault_charge(
    fault: FaultClass, reservation: Reservation, usage: Usage | None, *, reached: bool
) -> int:
    """Return what a failed call is charged: what was reported, nothing if it never ran, else all.

    Units: tokens.
    """
    if usage is not None:
        return usage.total
    if not reached or not FAULT_RULES[fault].is_charged:
        return 0
    return reservation.total
