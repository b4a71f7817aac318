"""The names of the limits that a simulated meeting can hit, in the order of a report."""

from collections.abc import Iterable
from typing import get_args

from meeting_core.model import EndCause, SkipReason

CAP_REACHED = "output cap reached"
CUT = "output cap exceeded, reply cut"
BRIEF_SHORTENED = "entries of a brief shortened"
BRIEF_DROPPED = "entries of a brief dropped"
BRIEF_REDUCED = 'budget reduction "brief"'
CAP_LOWERED = 'budget reduction "cap"'
RETRIED = "call retried"
DIGEST_LEFT_OUT = "digest left out"
SYNTHESIS_DEGRADED = "synthesis degraded"
REPAIRED = "synthesis repaired"
TOKENS_OVERRUN = "meeting_tokens overrun"
COST_OVERRUN = "meeting_cost overrun"

TIMEOUTS = (
    "attempt_timeout_seconds",
    "turn_timeout_seconds",
    "meeting_timeout_seconds",
    "synthesis_timeout_seconds",
)


def ended_early(cause: EndCause) -> str:
    """Return the name for rounds that a cause other than the agenda ended."""
    return f"rounds ended by {cause}"


def skipped_for(reason: SkipReason) -> str:
    """Return the name for a skipped turn."""
    return f"turn skipped: {reason}"


def timed_out_by(limit: str) -> str:
    """Return the name for a call that a time limit ended before its reply was complete."""
    return f"reply lost to {limit}"


ALWAYS_LISTED = (
    CAP_REACHED,
    CUT,
    BRIEF_SHORTENED,
    BRIEF_DROPPED,
    BRIEF_REDUCED,
    CAP_LOWERED,
    ended_early("budget"),
    ended_early("deadline"),
    RETRIED,
    SYNTHESIS_DEGRADED,
    REPAIRED,
    TOKENS_OVERRUN,
    COST_OVERRUN,
)

SHORT_OF_BUDGET = frozenset({BRIEF_REDUCED, CAP_LOWERED, ended_early("budget")})
SHORT_OF_CONTEXT = frozenset({BRIEF_SHORTENED, BRIEF_DROPPED})
SHORT_OF_TIME = frozenset({ended_early("deadline"), timed_out_by("meeting_timeout_seconds")})

_IN_ORDER = (
    *ALWAYS_LISTED,
    *(timed_out_by(limit) for limit in TIMEOUTS),
    DIGEST_LEFT_OUT,
    *(skipped_for(reason) for reason in get_args(SkipReason)),
)


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in a report's order, with those that are always listed."""
    found = {*names, *ALWAYS_LISTED}
    return [name for name in _IN_ORDER if name in found]
