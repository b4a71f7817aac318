"""Deciding about attempts: when one may start, and what its reply or its fault leads to."""

from datetime import datetime
from typing import Literal

from meeting_core import budget
from meeting_core.agenda import next_author, next_speaker, turn_deadline
from meeting_core.brief import build_brief
from meeting_core.commands import (
    AcceptReply,
    ReportFault,
    StartAttempt,
)
from meeting_core.errors import (
    AttemptStillOpen,
    NoSuchAttempt,
    OutOfTurn,
    WrongPhase,
)
from meeting_core.events import (
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    Fact,
    RoundClosed,
    SynthesisCompleted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.faults import retry_at
from meeting_core.meeting import Meeting, OpenAttempt, Slot, repeats_with
from meeting_core.minutes import parse_synthesis
from meeting_core.tokens import estimate_tokens
from meeting_core.vocabulary import (
    AbandonCause,
    FaultClass,
    Phase,
    Reservation,
    RoundEnding,
    SkipReason,
    SynthesisTask,
    TurnTask,
    Usage,
    clean_text,
)

LONGEST_REASON = 500


def kept_reason(text: str) -> str:
    """Keep of somebody else's words what a store takes, and not more than a reader needs."""
    return clean_text(text[:LONGEST_REASON])[0]


def start_attempt(meeting: Meeting, command: StartAttempt, now: datetime) -> tuple[Fact, ...]:
    slot = meeting.slot
    if slot is not None and slot.open is not None:
        raise AttemptStillOpen(f"attempt {slot.open.number} for {slot.task.key} is open")
    match command.task:
        case TurnTask():
            _check_turn(meeting, command.task)
            if now >= meeting.deadline_at:
                return _end_rounds(meeting, "deadline")
            if slot is not None and slot.fault and now >= turn_deadline(meeting, slot.clock_from):
                return (_skipped(command.task, slot.fault, slot.detail),)
            return _start_turn(meeting, command.task)
        case SynthesisTask():
            if meeting.phase is not Phase.SYNTHESIZING or meeting.synthesis is not None:
                raise WrongPhase(f"no synthesis can start while the meeting is {meeting.state}")
            if now >= meeting.deadline_at:
                return (unwritten("the time for it ran out"),)
            return _start_writing(meeting, command.task)


def _check_turn(meeting: Meeting, task: TurnTask) -> None:
    if meeting.phase is not Phase.IN_ROUND:
        raise WrongPhase(f"nobody may speak while the meeting is {meeting.state}")
    is_open = meeting.rounds[-1].ending is None
    if not is_open or (task.round_num, task.agent_id) != (meeting.round_num, next_speaker(meeting)):
        raise OutOfTurn(f"it is not the turn of {task.agent_id} in round {task.round_num}")


def _start_turn(meeting: Meeting, task: TurnTask) -> tuple[Fact, ...]:
    brief = build_brief(meeting, task, task.agent_id)
    prompt = brief.manifest.tokens
    cap = budget.turn_cap(meeting.config, meeting.ledger, prompt)
    if cap is None:
        return _end_rounds(meeting, "budget")
    number = meeting.slot.number + 1 if meeting.slot is not None else 1
    model = meeting.participant(task.agent_id).model
    reserved = Reservation(prompt, cap)
    return (
        AttemptStarted(task, number, task.agent_id, reserved, brief.manifest, brief.digest, model),
    )


def _start_writing(meeting: Meeting, task: SynthesisTask) -> tuple[Fact, ...]:
    author = next_author(meeting)
    if author is None:
        raise OutOfTurn("nobody is left who could write the minutes")
    brief = build_brief(meeting, task, author)
    prompt = brief.manifest.tokens
    cap = budget.synthesis_cap(meeting.config, meeting.ledger, prompt)
    if cap is None:
        return (unwritten("the token budget is spent"),)
    number = meeting.slot.number + 1 if meeting.slot is not None else 1
    model = meeting.participant(author).model
    reserved = Reservation(prompt, cap)
    return (AttemptStarted(task, number, author, reserved, brief.manifest, brief.digest, model),)


def _end_rounds(meeting: Meeting, cause: Literal["budget", "deadline"]) -> tuple[Fact, ...]:
    closed = RoundClosed(meeting.round_num, round_ending(meeting), cause)
    slot = meeting.slot
    if slot is None or not isinstance(slot.task, TurnTask):
        return (closed,)
    # A turn that has begun has an ending too.
    reason: SkipReason = slot.fault.value if slot.fault is not None else cause
    return (TurnSkipped(slot.task.round_num, slot.task.agent_id, reason, slot.detail), closed)


def round_ending(meeting: Meeting) -> RoundEnding:
    turns = [turn for turn in meeting.turns if turn.round_num == meeting.round_num]
    spoken = sum(turn.text is not None for turn in turns)
    if spoken == 0:
        return "silent"
    return "complete" if spoken == len(meeting.config.participants) else "partial"


def _open_attempt(meeting: Meeting, command: AcceptReply | ReportFault) -> tuple[Slot, OpenAttempt]:
    slot = meeting.slot
    if (
        slot is None
        or slot.open is None
        or (slot.task, slot.open.number) != (command.task, command.number)
    ):
        raise NoSuchAttempt(f"attempt {command.number} for {command.task.key} is not open")
    return slot, slot.open


def accept_reply(meeting: Meeting, command: AcceptReply, now: datetime) -> tuple[Fact, ...]:
    _, attempt = _open_attempt(meeting, command)
    text, cleaned = clean_text(command.text)
    text = text.strip()
    if not text:
        fault = ReportFault(
            command.task,
            command.number,
            FaultClass.EMPTY,
            "the reply has no text",
            usage=command.usage,
        )
        return report_fault(meeting, fault, now)
    text_tokens = estimate_tokens(text)
    prompt = attempt.reserved.prompt_tokens
    usage = command.usage or Usage(prompt, text_tokens, "estimated")
    match command.task:
        case TurnTask():
            return (
                TurnCompleted(
                    command.task.round_num,
                    attempt.agent_id,
                    command.number,
                    text,
                    text_tokens,
                    usage,
                    kept_reason(command.finish_reason),
                    kept_reason(command.model),
                    cleaned,
                ),
            )
        case SynthesisTask():
            missing = parse_synthesis(text).missing
            return (
                SynthesisCompleted(
                    text,
                    text_tokens,
                    attempt.agent_id,
                    command.number,
                    usage,
                    kept_reason(command.finish_reason),
                    kept_reason(command.model),
                    cleaned,
                    f"sections missing from the synthesis: {', '.join(missing)}" if missing else "",
                ),
            )


def report_fault(meeting: Meeting, command: ReportFault, now: datetime) -> tuple[Fact, ...]:
    slot, attempt = _open_attempt(meeting, command)
    again = retry_at(
        command.fault,
        slot.tries + 1,
        repeats_with(slot, command.fault),
        max_attempts=meeting.config.max_attempts,
        retry_after_seconds=command.retry_after_seconds,
        now=now,
    )
    if again is not None and again >= turn_deadline(meeting, slot.clock_from):
        again = None
    detail = kept_reason(command.detail)
    failed = AttemptFailed(
        command.task,
        command.number,
        attempt.agent_id,
        command.fault,
        detail,
        budget.fault_charge(
            command.fault, attempt.reserved, command.usage, reached=command.reached
        ),
        command.usage,
        again,
    )
    if again is None and isinstance(command.task, TurnTask):
        return (failed, _skipped(command.task, command.fault, detail))
    return (failed,)


def _skipped(task: TurnTask, fault: FaultClass, detail: str) -> TurnSkipped:
    reason: SkipReason = fault.value
    return TurnSkipped(task.round_num, task.agent_id, reason, detail)


def abandoned(meeting: Meeting, cause: AbandonCause) -> tuple[Fact, ...]:
    slot = meeting.slot
    if slot is None or slot.open is None:
        return ()
    attempt = slot.open
    return (
        AttemptAbandoned(
            slot.task, attempt.number, attempt.agent_id, cause, attempt.reserved.total
        ),
    )


def unwritten(cause: str) -> SynthesisCompleted:
    return SynthesisCompleted(degraded=f"no summary was written ({cause})")
