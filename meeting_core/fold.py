"""The fold: facts in, meeting out. It decides nothing; it refuses what cannot have happened.

Longer than most modules: one function for each fact, in one place.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, assert_never

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.events import (
    Adopted,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    Cancelled,
    Completed,
    Convened,
    Failed,
    MeetingEvent,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
    RoundOpened,
    SynthesisCompleted,
    SynthesisStarted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.meeting import (
    Meeting,
    OpenAttempt,
    Remark,
    Round,
    Slot,
    Synthesis,
    Turn,
    repeats_with,
)
from meeting_core.phases import phase_after
from meeting_core.vocabulary import (
    AgentId,
    Phase,
    Reservation,
    SkipReason,
    SynthesisTask,
    Task,
    TurnTask,
    Usage,
    UsageSource,
    Version,
)

_WHILE_OPEN = frozenset(
    {
        AttemptFailed,
        AttemptAbandoned,
        TurnCompleted,
        SynthesisCompleted,
        Paused,
        Resumed,
        RemarkMade,
    }
)
"""What may happen while an attempt is open: its end, and what does not touch it."""


def fold(events: Iterable[MeetingEvent]) -> Meeting:
    """Add a whole history up.

    Raises: `CorruptHistory` when there is nothing, or something that cannot have happened.
    """
    meeting = project(None, events)
    if meeting is None:
        raise CorruptHistory("a history has at least one event")
    return meeting


def project(meeting: Meeting | None, events: Iterable[MeetingEvent]) -> Meeting | None:
    """Bring a meeting forward: the projector function the eventsourcing library takes."""
    for event in events:
        meeting = evolve(meeting, event)
    return meeting


def evolve(meeting: Meeting | None, event: MeetingEvent) -> Meeting:
    """Add one fact.

    Raises: `CorruptHistory` for a fact out of place: of another meeting, with a gap in the
    versions, in a phase that has no such edge, for another attempt than the open one, or for a
    turn that has ended.
    """
    if meeting is None:
        return _convened(event)
    if event.originator_id != meeting.id or event.originator_version != meeting.version + 1:
        raise CorruptHistory(
            f"event {event.originator_id} version {event.originator_version} "
            f"cannot follow {meeting.id} version {meeting.version}"
        )
    slot = meeting.slot
    if slot is not None and slot.open is not None and type(event.fact) not in _WHILE_OPEN:
        raise CorruptHistory(
            f"{event.fact.TOPIC} cannot happen while attempt {slot.open.number} is open"
        )
    return replace(
        meeting,
        version=Version(event.originator_version),
        phase=phase_after(meeting.phase, event.fact),
        updated_at=event.timestamp,
        **_changes(meeting, event),
    )


def _changes(meeting: Meeting, event: MeetingEvent) -> dict[str, Any]:
    """Say what a fact changes, besides version, phase and time."""
    fact, at = event.fact, event.timestamp
    match fact:
        case AttemptStarted():
            return _attempt_started(meeting, fact, event)
        case TurnCompleted():
            return _turn_completed(meeting, fact, event)
        case AttemptFailed():
            return _attempt_failed(meeting, fact)
        case AttemptAbandoned():
            return _attempt_abandoned(meeting, fact)
        case TurnSkipped():
            return _turn_skipped(meeting, fact, event)
        case RoundOpened():
            return _round_opened(meeting, fact, at)
        case RoundClosed():
            return _round_closed(meeting, fact)
        case SynthesisStarted():
            return {"synthesis_clock_from": at, "slot": None}
        case SynthesisCompleted():
            return _synthesis_completed(meeting, fact)
        case Completed():
            return {"outcome": fact.outcome, "output_path": fact.output_path, "ended_at": at}
        case Cancelled():
            return {"ended_at": at}
        case Failed():
            return {"failure": fact.reason, "failure_detail": fact.detail, "ended_at": at}
        case Adopted():
            return _adopted(meeting, fact, at)
        case RemarkMade():
            return _remark_made(meeting, fact, event)
        case Paused():
            return {"paused_from": meeting.phase}
        case Resumed():
            if fact.to is not meeting.paused_from:
                raise CorruptHistory(f"resumed to {fact.to}, paused from {meeting.paused_from}")
            return {"paused_from": None}
        case Convened():
            raise CorruptHistory(f"meeting {meeting.id} is convened twice")
        case _:
            assert_never(fact)


def _convened(event: MeetingEvent) -> Meeting:
    fact = event.fact
    if not isinstance(fact, Convened) or event.originator_version != 1:
        raise CorruptHistory(
            f"a history begins with Convened at version 1, not {fact.TOPIC} at version "
            f"{event.originator_version}"
        )
    return Meeting(
        id=event.originator_id,
        version=Version(1),
        phase=Phase.GATHERING,
        config=fact.configuration,
        request_digest=fact.request_digest,
        convened_at=event.timestamp,
        updated_at=event.timestamp,
    )


def _attempt_started(meeting: Meeting, fact: AttemptStarted, event: MeetingEvent) -> dict[str, Any]:
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


def _attempt_failed(meeting: Meeting, fact: AttemptFailed) -> dict[str, Any]:
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


def _attempt_abandoned(meeting: Meeting, fact: AttemptAbandoned) -> dict[str, Any]:
    slot = _open_slot(meeting, fact.task, fact.number, fact.agent_id)
    reserved = _reservation(slot)
    slot = _spent(slot, _charged_usage(reserved, fact.charged))
    return {"slot": slot, "ledger": meeting.ledger.settle(reserved, fact.charged)}


def _turn_completed(meeting: Meeting, fact: TurnCompleted, event: MeetingEvent) -> dict[str, Any]:
    task = TurnTask(fact.round_num, fact.agent_id)
    slot = _open_slot(meeting, task, fact.number, fact.agent_id)
    ledger = meeting.ledger.settle(_reservation(slot), fact.usage.total)
    _check_turn(meeting, task)
    turn = _turn(
        _spent(slot, fact.usage), task, event, text=fact.text, text_tokens=fact.text_tokens
    )
    return {"turns": (*meeting.turns, turn), "slot": None, "ledger": ledger}


def _turn_skipped(meeting: Meeting, fact: TurnSkipped, event: MeetingEvent) -> dict[str, Any]:
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


def _remark_made(meeting: Meeting, fact: RemarkMade, event: MeetingEvent) -> dict[str, Any]:
    version = Version(event.originator_version)
    remark = Remark(version, meeting.round_num, fact.author, fact.text, fact.text_tokens)
    return {"remarks": (*meeting.remarks, remark)}


def _round_opened(meeting: Meeting, fact: RoundOpened, at: datetime) -> dict[str, Any]:
    is_open = meeting.rounds and meeting.rounds[-1].ending is None
    if is_open or fact.round_num != meeting.round_num + 1:
        raise CorruptHistory(f"round {fact.round_num} cannot follow round {meeting.round_num}")
    return {"rounds": (*meeting.rounds, Round(fact.round_num, at, len(meeting.turns)))}


def _round_closed(meeting: Meeting, fact: RoundClosed) -> dict[str, Any]:
    if fact.round_num != meeting.round_num or meeting.rounds[-1].ending is not None:
        raise CorruptHistory(f"round {fact.round_num} is not open")
    closed = replace(meeting.rounds[-1], ending=fact.ending, cause=fact.cause)
    return {"rounds": (*meeting.rounds[:-1], closed), "slot": None}


def _synthesis_completed(meeting: Meeting, fact: SynthesisCompleted) -> dict[str, Any]:
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


def _adopted(meeting: Meeting, fact: Adopted, at: datetime) -> dict[str, Any]:
    if fact.epoch <= meeting.epoch:
        raise CorruptHistory(f"epoch {fact.epoch} does not follow epoch {meeting.epoch}")
    slot = meeting.slot
    return {
        "epoch": fact.epoch,
        "adoptions": meeting.adoptions + 1,
        "slot": slot and replace(slot, clock_from=at),
        "synthesis_clock_from": None if meeting.synthesis_clock_from is None else at,
    }
