"""What random walks came by, counted by fact, command and refusal."""

from typing import get_args

from meeting_core import Fact, Refusal, errors
from meeting_core.model import (
    Adopted,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    Command,
    Failed,
    FaultClass,
    Paused,
    RoundClosed,
    RoundDigested,
    SynthesisCompleted,
    TurnSkipped,
)

REACHED = {
    *(fact.__name__ for fact in get_args(Fact)),
    *(command.__name__ for command in get_args(Command)),
    *(
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Refusal) and value is not Refusal
    ),
    *(f"AttemptFailed {fault}" for fault in FaultClass),
    *(f"TurnSkipped {reason}" for reason in (*FaultClass, "budget", "deadline", "operator")),
    *(f"RoundClosed {cause}" for cause in ("agenda", "budget", "deadline", "operator")),
    *(f"AttemptStarted {budget_reduction}" for budget_reduction in ("whole", "brief", "cap")),
    *("AttemptFailed waiting", "AttemptFailed without its model", "AttemptAbandoned operator"),
    *("Paused budget", "Paused operator"),
    *("RoundDigested written", "RoundDigested unwritten", "SynthesisCompleted drafted"),
    *("Failed budget", "Failed gateway_unreachable"),
    *(f"RoundClosed {ending}" for ending in ("complete", "partial", "silent")),
    *(f"AttemptAbandoned {cause}" for cause in ("restart", "takeover", "cancel", "failure")),
    *("AttemptAbandoned shutdown", "SynthesisCompleted written", "SynthesisCompleted unwritten"),
    *("Failed nobody_spoke", "Failed crash_loop", "Adopted restart", "Adopted takeover"),
}
"""What every shard must have come by: each fact, command and refusal, and the ways they come."""


def kinds_of(fact: Fact) -> tuple[str, ...]:
    """Name a fact for the coverage: by its type, and by how or why it happened."""
    name = type(fact).__name__
    match fact:
        case AttemptStarted():
            return name, *(f"{name} {each}" for each in fact.budget_reductions or ("whole",))
        case AttemptFailed():
            waiting = [f"{name} waiting"] if fact.give_up_at is not None else []
            unserved = [f"{name} without its model"] if fact.is_model_unavailable else []
            return name, f"{name} {fact.fault}", *waiting, *unserved
        case TurnSkipped() | Failed():
            return name, f"{name} {fact.reason}"
        case AttemptAbandoned() | Adopted() | Paused():
            return name, f"{name} {fact.cause}"
        case RoundClosed():
            return name, f"{name} {fact.cause}", f"{name} {fact.ending}"
        case SynthesisCompleted() if fact.agent_id and fact.reply is None:
            return name, f"{name} drafted"
        case SynthesisCompleted() | RoundDigested():
            return name, f"{name} {'written' if fact.agent_id else 'unwritten'}"
    return (name,)
