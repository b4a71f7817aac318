"""The decider: what a command leads to. One pure function per command; time is passed in."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import assert_never
from uuid import UUID

from meeting_core.decider.control import (
    adopt,
    cancel,
    fail,
    make_remark,
    pause,
    raise_budget,
    resume,
    wrap_up,
)
from meeting_core.decider.convening import convene
from meeting_core.decider.faults import abandoned, report_fault
from meeting_core.decider.round_endings import close_round
from meeting_core.decider.summaries import (
    complete,
    complete_digest,
    complete_synthesis,
    give_up_synthesis,
    start_digest,
    start_minutes,
    start_synthesis,
)
from meeting_core.decider.turns import (
    attempt_of,
    complete_turn,
    kept_reason,
    kept_reply,
    open_round,
    start_turn,
)
from meeting_core.errors import AttemptStillOpen, MeetingEnded, WrongPhase
from meeting_core.model.commands import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Cancel,
    CloseRound,
    Command,
    Complete,
    Convene,
    EndRounds,
    Fail,
    GiveUpSynthesis,
    MakeRemark,
    OpenRound,
    Pause,
    RaiseBudget,
    ReportFault,
    Resume,
    StartAttempt,
    StartSynthesis,
)
from meeting_core.model.events import EventMetadata, Fact, MeetingEvent
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import (
    DigestTask,
    FaultClass,
    MeetingId,
    Phase,
    SynthesisTask,
    TurnTask,
    Value,
)
from meeting_core.projector import evolve
from meeting_core.prompt.brief import Brief
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens

__all__ = ["Decision", "decide", "decide_events", "wrap_facts"]


class Decision(Value, frozen=True):
    """What a command led to: the events, the meeting after them, and a brief.

    `meetings` are the meeting after each of the events. `brief` is that of the attempt which the
    events start, if they start one: `next_step` takes it, so that it need not be built twice.
    """

    events: tuple[MeetingEvent, ...]
    meetings: tuple[Meeting, ...]
    meeting: Meeting
    brief: Brief | None = None


def decide_events(
    meeting: Meeting | None,
    command: Command,
    metadata: EventMetadata,
    new_id: Callable[[], UUID],
    count: TokenCounter = estimate_tokens,
) -> Decision:
    """Decide a command, and make events of the facts.

    Raises: a `Refusal` when the command breaks a rule; `ValueError` for a time without a zone.
    """
    _check_zone(metadata.at)
    facts, brief = _decided(meeting, command, metadata.at, count)
    if meeting is not None:
        meeting_id, after = meeting.id, int(meeting.version)
    else:
        assert isinstance(command, Convene)
        meeting_id, after = command.meeting_id, 0
    events = wrap_facts(facts, metadata, meeting_id=meeting_id, after=after, new_id=new_id)
    meetings = []
    for event in events:
        meeting = evolve(meeting, event)
        meetings.append(meeting)
    assert meeting is not None
    return Decision(events, tuple(meetings), meeting, brief)


def decide(
    meeting: Meeting | None,
    command: Command,
    now: datetime,
    count: TokenCounter = estimate_tokens,
) -> tuple[Fact, ...]:
    """Return the facts that a command leads to; an empty tuple if there is nothing to do.

    Raises: a `Refusal` when the command breaks a rule.
    """
    return _decided(meeting, command, now, count)[0]


def wrap_facts(
    facts: Iterable[Fact],
    metadata: EventMetadata,
    *,
    meeting_id: MeetingId,
    after: int,
    new_id: Callable[[], UUID],
) -> tuple[MeetingEvent, ...]:
    """Make events of facts: give them their places after version `after`, and their metadata.

    Raises: `ValueError` for a time without a zone.
    """
    _check_zone(metadata.at)
    at, command_id, actor = metadata.at, metadata.command_id, metadata.actor
    return tuple(
        [
            MeetingEvent(meeting_id, version, at, new_id(), command_id, actor, fact)
            for version, fact in enumerate(facts, after + 1)
        ]
    )


def _check_zone(at: datetime) -> None:
    if at.tzinfo is None:
        raise ValueError(
            f"the time {at.isoformat()} has no time zone, and no reader could place it: "
            "use datetime.now(UTC)"
        )


def _decided(
    meeting: Meeting | None, command: Command, now: datetime, count: TokenCounter
) -> tuple[tuple[Fact, ...], Brief | None]:
    if isinstance(command, Convene):
        return convene(meeting, command, count), None
    if meeting is None:
        raise WrongPhase("the meeting has not been convened")
    if isinstance(command, Cancel) and meeting.phase is Phase.CANCELLED:
        return (), None
    if meeting.has_ended:
        raise MeetingEnded(f"the meeting has ended: {meeting.phase}")
    if isinstance(command, StartAttempt):
        return _start_attempt(meeting, command, now, count)
    return _facts(meeting, command, now, count), None


def _start_attempt(
    meeting: Meeting, command: StartAttempt, now: datetime, count: TokenCounter
) -> tuple[tuple[Fact, ...], Brief | None]:
    task, attempt = command.task, meeting.open_attempt
    if attempt is not None:
        raise AttemptStillOpen(f"attempt {attempt.number} of {attempt.agent_id} is open")
    match task:
        case TurnTask():
            return start_turn(meeting, task, now, count)
        case DigestTask():
            return start_digest(meeting, task, now, count)
        case SynthesisTask():
            return start_minutes(meeting, task, now, count)


def _accept_reply(
    meeting: Meeting, command: AcceptReply, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    task, number = command.task, command.number
    _, attempt = attempt_of(meeting, command)
    reply = kept_reply(meeting, attempt, command, count)
    if not reply.text:
        fault = ReportFault(
            task,
            number,
            FaultClass.EMPTY,
            "the reply has no text",
            usage=command.usage,
            timing=command.timing,
            tokens_seen=command.thought_tokens,
        )
        return report_fault(meeting, fault, now, count)
    match task:
        case TurnTask():
            return complete_turn(task, number, reply)
        case DigestTask():
            return complete_digest(task, attempt.agent_id, number, reply)
        case SynthesisTask():
            return complete_synthesis(meeting, attempt, reply)


def _facts(
    meeting: Meeting,
    command: AcceptReply
    | ReportFault
    | AbandonAttempt
    | OpenRound
    | CloseRound
    | EndRounds
    | StartSynthesis
    | GiveUpSynthesis
    | Complete
    | Cancel
    | Fail
    | Pause
    | Resume
    | RaiseBudget
    | Adopt
    | MakeRemark,
    now: datetime,
    count: TokenCounter,
) -> tuple[Fact, ...]:
    match command:
        case AcceptReply():
            return _accept_reply(meeting, command, now, count)
        case ReportFault():
            return report_fault(meeting, command, now, count)
        case AbandonAttempt():
            return abandoned(meeting, command.cause)
        case OpenRound():
            return open_round(meeting, command)
        case CloseRound():
            return close_round(meeting, command)
        case EndRounds():
            return wrap_up(meeting)
        case StartSynthesis():
            return start_synthesis(meeting)
        case GiveUpSynthesis():
            return give_up_synthesis(meeting)
        case Complete():
            return complete(meeting, command, kept_reason(command.output_error))
        case Cancel():
            return cancel(meeting, command)
        case Fail():
            return fail(meeting, command)
        case Pause():
            return pause(meeting, command)
        case Resume():
            return resume(meeting)
        case RaiseBudget():
            return raise_budget(meeting, command)
        case Adopt():
            return adopt(meeting, command)
        case MakeRemark():
            return make_remark(meeting, command, count)
        case _:
            assert_never(command)
