"""The projector: facts in, meeting out. It decides nothing; it refuses what cannot have happened.

Here is what every round and turn consists of; `faults`, `closing` and `control` have the rest.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, assert_never

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.model.accounting import ModelProfile, amount_of
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
from meeting_core.model.meeting import Meeting, OpenAttempt, TaskState
from meeting_core.model.phases import TRANSITIONS, TRIGGERS
from meeting_core.model.transcript import Round, Turn
from meeting_core.model.values import AgentId, Phase, TurnTask, Version
from meeting_core.projector.control import adopted, budget_raised, remark_made, resumed
from meeting_core.projector.faults import attempt_abandoned, attempt_failed, turn_skipped
from meeting_core.projector.summaries import round_digested, synthesis_completed, synthesis_drafted

__all__ = ["evolve", "fold", "project"]

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
    """Return the meeting that a whole history adds up to.

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
    versions, in a phase that has no such edge, for another attempt than the open one, for a turn
    that is not the next, or by an agent that takes no part.
    """
    if meeting is None:
        return _convened(event)
    fact = event.fact
    is_next = event.originator_version == meeting.version + 1
    if not is_next or event.originator_id.int != meeting.id.int:
        raise CorruptHistory(
            f"event {event.originator_id} version {event.originator_version} "
            f"cannot follow {meeting.id} version {meeting.version}"
        )
    task_state = meeting.task_state
    if task_state is not None and task_state.open is not None and type(fact) not in _WHILE_OPEN:
        raise CorruptHistory(
            f"{fact.TOPIC} cannot happen while attempt {task_state.open.number} is open"
        )
    trigger = f"resumed_to_{fact.to}" if isinstance(fact, Resumed) else TRIGGERS[type(fact)]
    phase = TRANSITIONS.get((meeting.phase, trigger))
    if phase is None:
        raise CorruptHistory(f"{trigger!r} cannot happen in phase {meeting.phase}")
    return replace(
        meeting,
        version=Version(event.originator_version),
        phase=phase,
        updated_at=event.timestamp,
        **_changes(meeting, event),
    )


def _changes(meeting: Meeting, event: MeetingEvent) -> dict[str, Any]:
    """Return what a fact changes, besides version, phase and time."""
    fact, at = event.fact, event.timestamp
    match fact:
        case AttemptStarted():
            return _attempt_started(meeting, fact, event)
        case TurnCompleted():
            return _turn_completed(meeting, fact, event)
        case AttemptFailed():
            return attempt_failed(meeting, fact, at)
        case AttemptAbandoned():
            return attempt_abandoned(meeting, fact, at)
        case TurnSkipped():
            _check_turn(meeting, fact.round_num, fact.agent_id)
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
            return synthesis_completed(meeting, fact, at)
        case Completed():
            return {"outcome": fact.outcome, "output_path": fact.output_path, "ended_at": at}
        case Cancelled():
            return {"ended_at": at}
        case Failed():
            return {"failure": fact.reason, "failure_detail": fact.detail, "ended_at": at}
        case Adopted():
            return adopted(meeting, fact, at)
        case RemarkMade():
            return remark_made(meeting, fact, event)
        case BudgetRaised():
            return budget_raised(meeting, fact)
        case Paused():
            return {"paused_from": meeting.phase, "pause_cause": fact.cause}
        case Resumed():
            return resumed(meeting, fact, at)
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
        document_tokens=fact.document_tokens,
        document_scripts=fact.document_scripts,
        model_profiles=tuple(
            [ModelProfile(each.model, token_factors=each.factors) for each in fact.token_factors]
        ),
        convened_at=event.timestamp,
        updated_at=event.timestamp,
    )


def _round_opened(meeting: Meeting, fact: RoundOpened, at: datetime) -> dict[str, Any]:
    if meeting.has_open_round or fact.round_num != meeting.round_num + 1:
        raise CorruptHistory(f"round {fact.round_num} cannot follow round {meeting.round_num}")
    if sorted(fact.order) != sorted([each.agent_id for each in meeting.config.participants]):
        order = ", ".join(fact.order)
        raise CorruptHistory(f"round {fact.round_num} is not spoken once by each: {order}")
    opened = Round(fact.round_num, at, fact.order, len(meeting.turns))
    return {"rounds": (*meeting.rounds, opened)}


def _round_closed(meeting: Meeting, fact: RoundClosed) -> dict[str, Any]:
    if fact.round_num != meeting.round_num or not meeting.has_open_round:
        raise CorruptHistory(f"round {fact.round_num} is not open")
    closed = replace(meeting.rounds[-1], ending=fact.ending, cause=fact.cause)
    return {"rounds": (*meeting.rounds[:-1], closed), "task_state": None}


def _attempt_started(meeting: Meeting, fact: AttemptStarted, event: MeetingEvent) -> dict[str, Any]:
    """Open an attempt and reserve its tokens."""
    _check_participant(meeting, fact.agent_id)
    if isinstance(fact.task, TurnTask):
        _check_participant(meeting, fact.task.agent_id)
    task_state, at = meeting.task_state, event.timestamp
    if task_state is None or task_state.task != fact.task:
        task_state = TaskState(fact.task, started_at=at, clock_from=at, ready_at=at)
    if fact.number != task_state.number + 1:
        raise CorruptHistory(f"attempt {fact.number} cannot follow attempt {task_state.number}")
    opened = OpenAttempt(
        Version(event.originator_version),
        fact.number,
        fact.agent_id,
        fact.model,
        fact.reserved,
        fact.manifest,
        fact.digest,
        at,
    )
    clock_from = task_state.clock_at(at)
    changes: dict[str, Any] = {
        "ledger": meeting.ledger.reserve(amount_of(meeting.config, fact.model, fact.reserved)),
        "task_state": replace(
            task_state, number=fact.number, open=opened, retry_at=None, clock_from=clock_from
        ),
    }
    if meeting.synthesis_clock_from is not None:
        changes["synthesis_clock_from"] = clock_from
    return changes


def _turn_completed(meeting: Meeting, fact: TurnCompleted, event: MeetingEvent) -> dict[str, Any]:
    """End a turn with a text; of one beyond its cap, only what the cap allows is quoted."""
    task, reply = TurnTask(fact.round_num, fact.agent_id), fact.reply
    attempt = meeting.require_open(task, fact.number, fact.agent_id)
    _check_turn(meeting, fact.round_num, fact.agent_id)
    changes = meeting.after_call(reply.usage, event.timestamp)
    ended: TaskState = changes["task_state"]
    turn = Turn(
        Version(event.originator_version),
        fact.round_num,
        fact.agent_id,
        reply.quotable,
        reply.text_tokens if reply.cut_to is None else attempt.reserved.output_tokens,
        None,
        "",
        ended.prompt_tokens,
        ended.response_tokens,
        ended.usage_source,
        ended.number,
        ended.started_at,
        event.timestamp,
        reply.is_cut,
        reply.speaks_for,
    )
    return {**changes, "turns": (*meeting.turns, turn), "task_state": None}


def _check_turn(meeting: Meeting, round_num: int, agent_id: AgentId) -> None:
    """Raise `CorruptHistory` unless this turn can end now: its round is open, and it is next."""
    if not meeting.has_open_round or round_num != meeting.round_num:
        raise CorruptHistory(f"round {round_num} is not open")
    if agent_id != meeting.next_speaker:
        raise CorruptHistory(f"it is not the turn of {agent_id} in round {round_num}")


def _check_participant(meeting: Meeting, agent_id: AgentId) -> None:
    """Raise `CorruptHistory` unless the agent takes part."""
    if not any(each.agent_id == agent_id for each in meeting.config.participants):
        raise CorruptHistory(f"agent {agent_id} takes no part in meeting {meeting.id}")
