"""The fold: facts in, meeting out. It decides nothing; it refuses what cannot have happened."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, assert_never

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.model.events import (
    Adopted,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetRaised,
    Cancelled,
    Completed,
    Convened,
    Failed,
    MeetingEvent,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
    RoundDigested,
    RoundOpened,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.model.meeting import (
    Meeting,
    Remark,
    Round,
)
from meeting_core.model.phases import phase_after
from meeting_core.model.values import (
    Phase,
    Version,
)
from meeting_core.projector.attempts import (
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    round_digested,
    synthesis_completed,
    synthesis_drafted,
    turn_completed,
    turn_skipped,
)

_WHILE_OPEN = frozenset(
    {
        AttemptFailed,
        AttemptAbandoned,
        TurnCompleted,
        RoundDigested,
        SynthesisDrafted,
        SynthesisCompleted,
        Paused,
        Resumed,
        RemarkMade,
        BudgetRaised,
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
    is_next = event.originator_version == meeting.version + 1
    if not is_next or event.originator_id.int != meeting.id.int:
        raise CorruptHistory(
            f"event {event.originator_id} version {event.originator_version} "
            f"cannot follow {meeting.id} version {meeting.version}"
        )
    task_state = meeting.task_state
    if (
        task_state is not None
        and task_state.open is not None
        and type(event.fact) not in _WHILE_OPEN
    ):
        raise CorruptHistory(
            f"{event.fact.TOPIC} cannot happen while attempt {task_state.open.number} is open"
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
            return attempt_started(meeting, fact, event)
        case TurnCompleted():
            return turn_completed(meeting, fact, event)
        case AttemptFailed():
            return attempt_failed(meeting, fact)
        case AttemptAbandoned():
            return attempt_abandoned(meeting, fact)
        case TurnSkipped():
            return turn_skipped(meeting, fact, event)
        case RoundOpened():
            return _round_opened(meeting, fact, at)
        case RoundClosed():
            return _round_closed(meeting, fact)
        case RoundDigested():
            return round_digested(meeting, fact, event)
        case SynthesisStarted():
            return {"synthesis_clock_from": at, "task_state": None}
        case SynthesisDrafted():
            return synthesis_drafted(meeting, fact, event)
        case SynthesisCompleted():
            return synthesis_completed(meeting, fact)
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
        case BudgetRaised():
            return _budget_raised(meeting, fact)
        case Paused():
            return {"paused_from": meeting.phase, "pause_cause": fact.cause}
        case Resumed():
            return _resumed(meeting, fact, at)
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
    return {"rounds": (*meeting.rounds[:-1], closed), "task_state": None}


def _budget_raised(meeting: Meeting, fact: BudgetRaised) -> dict[str, Any]:
    raised = {}
    for field in ("meeting_tokens", "meeting_cost"):
        ceiling, wanted = getattr(meeting.config, field), getattr(fact, field)
        if wanted is not None:
            if ceiling is None or wanted <= ceiling:
                raise CorruptHistory(f"a ceiling of {ceiling} is raised to {wanted}")
            raised[field] = wanted
    return {"config": replace(meeting.config, **raised)}


def _resumed(meeting: Meeting, fact: Resumed, at: datetime) -> dict[str, Any]:
    if fact.to is not meeting.paused_from:
        raise CorruptHistory(f"resumed to {fact.to}, paused from {meeting.paused_from}")
    return {"paused_from": None, "pause_cause": None, **_patient_again(meeting, at)}


def _patient_again(meeting: Meeting, at: datetime) -> dict[str, Any]:
    """Have a gateway tried again that nobody tried for so long that it would be given up."""
    task_state = meeting.task_state
    if task_state is None or task_state.give_up_at is None or at < task_state.give_up_at:
        return {}
    changes: dict[str, Any] = {"task_state": replace(task_state, give_up_at=None, clock_from=at)}
    if meeting.synthesis_clock_from is not None:
        changes["synthesis_clock_from"] = at
    return changes


def _adopted(meeting: Meeting, fact: Adopted, at: datetime) -> dict[str, Any]:
    if fact.epoch <= meeting.epoch:
        raise CorruptHistory(f"epoch {fact.epoch} does not follow epoch {meeting.epoch}")
    task_state = meeting.task_state
    return {
        "epoch": fact.epoch,
        "adoptions": meeting.adoptions + 1,
        "task_state": task_state and replace(task_state, clock_from=at),
        "synthesis_clock_from": None if meeting.synthesis_clock_from is None else at,
        **_patient_again(meeting, at),
    }
