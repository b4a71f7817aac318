"""What the facts of attempts and turns change: the task in hand, the turns, the ledger.

Raises everywhere: `CorruptHistory` for a fact that cannot have happened then.
"""

from typing import Any

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.events import (
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    MeetingEvent,
    SynthesisCompleted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.meeting import (
    Meeting,
    OpenAttempt,
    Slot,
    Synthesis,
    Turn,
    repeats_with,
)
from meeting_core.vocabulary import (
    AgentId,
    Reservation,
    SkipReason,
    SynthesisTask,
    Task,
    TurnTask,
    Usage,
    UsageSource,
    Version,
)


def attempt_started(meeting: Meeting, fact: AttemptStarted, event: MeetingEvent) -> dict[str, Any]:
    """Open an attempt and reserve its tokens."""
    slot = meeting.slot
    if slot is None or slot.task != fact.task:
        slot = Slot(task=fact.task, started_at=event.timestamp, clock_from=event.timestamp)
    if fact.number != slot.number + 1:
        raise CorruptHistory(f"attempt {fact.number} cannot follow attempt {slot.number}")
    opened = OpenAttempt(
        Version(event.originator_version),
        fact.number,
        fact.agent_id,
        fact.model,
        fact.reserved,
        fact.manifest,
    )
    slot = replace(slot, number=fact.number, open=opened, retry_at=None)
    return {"slot": slot, "ledger": meeting.ledger.reserve(fact.reserved)}


def _open_slot(meeting: Meeting, task: Task, number: int, agent_id: AgentId) -> Slot:
    """Find the slot whose open attempt this is.

    Raises: `CorruptHistory` when it is not.
    """
    slot = meeting.slot
    if (
        slot is None
        or slot.open is None
        or slot.task != task
        or (slot.open.number, slot.open.agent_id) != (number, agent_id)
    ):
        raise CorruptHistory(f"attempt {number} of {agent_id} for {task.key} is not open")
    return slot


def _spent(slot: Slot, usage: Usage) -> Slot:
    """Add an ended attempt's tokens to the slot and close the attempt."""
    order: tuple[UsageSource, ...] = ("reported", "estimated", "unknown")
    return replace(
        slot,
        open=None,
        prompt_tokens=slot.prompt_tokens + usage.prompt_tokens,
        response_tokens=slot.response_tokens + usage.completion_tokens,
        usage_source=max(slot.usage_source, usage.source, key=order.index),
    )


def _reservation(slot: Slot) -> Reservation:
    assert slot.open is not None
    return slot.open.reserved


def attempt_failed(meeting: Meeting, fact: AttemptFailed) -> dict[str, Any]:
    """Close the attempt with a fault, and settle what it took."""
    slot = _open_slot(meeting, fact.task, fact.number, fact.agent_id)
    reserved = _reservation(slot)
    usage = fact.usage or _charged_usage(reserved, fact.charged)
    gave_up = fact.retry_at is None
    slot = replace(
        _spent(slot, usage),
        tries=0 if gave_up else slot.tries + 1,
        repeats=0 if gave_up else repeats_with(slot, fact.fault),
        retry_at=fact.retry_at,
        given_up=(*slot.given_up, fact.agent_id) if gave_up else slot.given_up,
        fault=fact.fault,
        detail=fact.detail,
    )
    return {"slot": slot, "ledger": meeting.ledger.settle(reserved, fact.charged)}


def _charged_usage(reserved: Reservation, charged: int) -> Usage:
    if charged == 0:
        return Usage(0, 0, "reported")
    prompt = min(reserved.prompt_tokens, charged)
    return Usage(prompt, charged - prompt, "unknown")


def attempt_abandoned(meeting: Meeting, fact: AttemptAbandoned) -> dict[str, Any]:
    """Close the attempt without knowing its outcome; it stays charged."""
    slot = _open_slot(meeting, fact.task, fact.number, fact.agent_id)
    reserved = _reservation(slot)
    slot = _spent(slot, _charged_usage(reserved, fact.charged))
    return {"slot": slot, "ledger": meeting.ledger.settle(reserved, fact.charged)}


def turn_completed(meeting: Meeting, fact: TurnCompleted, event: MeetingEvent) -> dict[str, Any]:
    """End a turn with a text."""
    task = TurnTask(fact.round_num, fact.agent_id)
    slot = _open_slot(meeting, task, fact.number, fact.agent_id)
    ledger = meeting.ledger.settle(_reservation(slot), fact.usage.total)
    _check_turn(meeting, task)
    turn = _turn(
        _spent(slot, fact.usage), task, event, text=fact.text, text_tokens=fact.text_tokens
    )
    return {"turns": (*meeting.turns, turn), "slot": None, "ledger": ledger}


def turn_skipped(meeting: Meeting, fact: TurnSkipped, event: MeetingEvent) -> dict[str, Any]:
    """End a turn without one."""
    slot = meeting.slot
    task = TurnTask(fact.round_num, fact.agent_id)
    _check_turn(meeting, task)
    if slot is None or slot.task != task:
        slot = Slot(task=task, started_at=event.timestamp, clock_from=event.timestamp)
    turn = _turn(slot, task, event, skipped_reason=fact.reason, skipped_detail=fact.detail)
    return {"turns": (*meeting.turns, turn), "slot": None}


def _check_turn(meeting: Meeting, task: TurnTask) -> None:
    """Make sure that this turn can end now.

    Raises: `CorruptHistory` when its round is not open, or when it has ended before.
    """
    is_open = bool(meeting.rounds) and meeting.rounds[-1].ending is None
    if not is_open or task.round_num != meeting.round_num:
        raise CorruptHistory(f"round {task.round_num} is not open")
    ended = meeting.turns[meeting.rounds[-1].first_turn :]
    if any(turn.agent_id == task.agent_id for turn in ended):
        raise CorruptHistory(f"{task.agent_id} has had a turn in round {task.round_num}")


def _turn(
    slot: Slot,
    task: TurnTask,
    event: MeetingEvent,
    *,
    text: str | None = None,
    text_tokens: int = 0,
    skipped_reason: SkipReason | None = None,
    skipped_detail: str = "",
) -> Turn:
    return Turn(
        Version(event.originator_version),
        task.round_num,
        task.agent_id,
        text,
        text_tokens,
        skipped_reason,
        skipped_detail,
        slot.prompt_tokens,
        slot.response_tokens,
        slot.usage_source,
        slot.number,
        slot.started_at,
        event.timestamp,
    )


def synthesis_completed(meeting: Meeting, fact: SynthesisCompleted) -> dict[str, Any]:
    """Keep the closing text, or the reason why there is none."""
    synthesis = Synthesis(fact.text, fact.agent_id, fact.degraded)
    if meeting.synthesis is not None:
        raise CorruptHistory("the closing text is written twice")
    if fact.agent_id is None:
        if meeting.slot is not None and meeting.slot.open is not None:
            raise CorruptHistory("the closing text is given up while an attempt is open")
        return {"synthesis": synthesis, "slot": None}
    slot = _open_slot(meeting, SynthesisTask(), fact.number, fact.agent_id)
    if fact.usage is None:
        raise CorruptHistory("a written synthesis has a usage")
    ledger = meeting.ledger.settle(_reservation(slot), fact.usage.total)
    return {"synthesis": synthesis, "slot": None, "ledger": ledger}
