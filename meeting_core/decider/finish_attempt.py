"""Deciding what the reply to an attempt, its fault or its loss leads to."""

from datetime import datetime, timedelta

from meeting_core.decider.fault_policy import FAULT_RULES, fault_charge, retry_at
from meeting_core.decider.start_attempt import draft_or_nothing, shortcomings, undigested
from meeting_core.errors import NoSuchAttempt
from meeting_core.model.commands import AcceptReply, ReportFault
from meeting_core.model.events import (
    AttemptAbandoned,
    AttemptFailed,
    Fact,
    Failed,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.model.meeting import Meeting, OpenAttempt, TaskState, repeats_with
from meeting_core.model.values import (
    CUT_MARK,
    AbandonCause,
    DigestTask,
    FaultClass,
    SkipReason,
    SynthesisTask,
    TurnTask,
    Usage,
    Value,
    call_key,
    clean_text,
    cut_to_characters,
)
from meeting_core.prompt.brief import least_tokens
from meeting_core.prompt.minutes import parse_synthesis
from meeting_core.prompt.tokens import TokenCounter, cut_to_tokens
from meeting_core.steps.agenda import turn_deadline

MAX_REASON = 500
CONNECTED_SECONDS = 5.0
SURELY_OVER = 2
"""An estimate this many times the cap means that the cap was passed, whatever was reported."""


class _Said(Value, frozen=True):
    """A reply as it is kept.

    Units: tokens; `cut_to` in characters.
    """

    text: str
    text_tokens: int
    usage: Usage
    cleaned: int
    cut_to: int | None

    @property
    def quotable(self) -> str:
        return self.text if self.cut_to is None else cut_to_characters(self.text, self.cut_to)


def kept_reason(text: str) -> str:
    """Keep of somebody else's words what a store takes, and not more than a reader needs."""
    return clean_text(text[:MAX_REASON])[0] if text else ""


def _open_attempt(
    meeting: Meeting, command: AcceptReply | ReportFault
) -> tuple[TaskState, OpenAttempt]:
    task_state = meeting.task_state
    if (
        task_state is None
        or task_state.open is None
        or (task_state.task, task_state.open.number) != (command.task, command.number)
    ):
        raise NoSuchAttempt(f"attempt {command.number} for {command.task.key} is not open")
    return task_state, task_state.open


def accept_reply(
    meeting: Meeting, command: AcceptReply, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    _, attempt = _open_attempt(meeting, command)
    said = _heard(attempt, command, count)
    if not said.text:
        fault = ReportFault(
            command.task,
            command.number,
            FaultClass.EMPTY,
            "the reply has no text",
            usage=command.usage,
            timing=command.timing,
        )
        return report_fault(meeting, fault, now, count)
    finish_reason, model = kept_reason(command.finish_reason), kept_reason(command.model)
    match command.task:
        case TurnTask():
            return (
                TurnCompleted(
                    command.task.round_num,
                    attempt.agent_id,
                    command.number,
                    said.text,
                    said.text_tokens,
                    said.usage,
                    finish_reason,
                    model,
                    said.cleaned,
                    said.cut_to,
                    command.timing,
                ),
            )
        case DigestTask():
            return (
                RoundDigested(
                    command.task.round_num,
                    said.text,
                    said.text_tokens,
                    attempt.agent_id,
                    command.number,
                    said.usage,
                    finish_reason,
                    model,
                    said.cleaned,
                    cut_to=said.cut_to,
                    timing=command.timing,
                ),
            )
        case SynthesisTask():
            return (_synthesised(meeting, attempt, command, said),)


def _heard(attempt: OpenAttempt, command: AcceptReply, count: TokenCounter) -> _Said:
    """Clean a reply, count it, and see whether it kept within its cap."""
    text, cleaned = clean_text(command.text)
    text = text.strip()
    text_tokens, cap = count(text), attempt.reserved.output_tokens
    usage = command.usage or Usage(attempt.reserved.prompt_tokens, text_tokens, "estimated")
    # The estimate is rather too high: a report that the cap was kept is believed, within reason.
    is_over = text_tokens > cap and (
        usage.completion_tokens > cap or text_tokens > SURELY_OVER * cap
    )
    cut_to = len(cut_to_tokens(text, cap, count).removesuffix(CUT_MARK)) if is_over else None
    return _Said(text, text_tokens, usage, cleaned, cut_to)


def _synthesised(
    meeting: Meeting, attempt: OpenAttempt, command: AcceptReply, said: _Said
) -> SynthesisDrafted | SynthesisCompleted:
    """Complete the synthesis, or keep it as a draft when its author can still be asked for more."""
    missing = parse_synthesis(said.quotable).missing
    finish_reason, model = kept_reason(command.finish_reason), kept_reason(command.model)
    if missing and meeting.draft is None:
        return SynthesisDrafted(
            said.text,
            said.text_tokens,
            attempt.agent_id,
            command.number,
            said.usage,
            missing,
            finish_reason,
            model,
            said.cleaned,
            said.cut_to,
            command.timing,
        )
    return SynthesisCompleted(
        said.text,
        said.text_tokens,
        attempt.agent_id,
        command.number,
        said.usage,
        finish_reason,
        model,
        said.cleaned,
        shortcomings(missing, is_cut=said.cut_to is not None),
        said.cut_to,
        command.timing,
    )


def report_fault(
    meeting: Meeting, command: ReportFault, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    task_state, attempt = _open_attempt(meeting, command)
    is_unreachable = command.is_unreachable and _waits_for_gateway(
        meeting, task_state, attempt, command
    )
    give_up_at = _give_up_at(meeting, task_state, now) if is_unreachable else None
    again = None if is_unreachable else _again(meeting, task_state, command, now, count)
    failed = AttemptFailed(
        command.task,
        command.number,
        attempt.agent_id,
        command.fault,
        kept_reason(command.detail),
        fault_charge(
            command.fault,
            attempt.reserved,
            command.usage,
            reached=command.reached and not command.is_unreachable,
        ),
        command.usage,
        again,
        give_up_at if give_up_at is not None and now < give_up_at else None,
        command.timing,
    )
    if is_unreachable:
        if failed.give_up_at is not None:
            return (failed,)
        return (failed, lost_gateway(meeting, failed.detail))
    if again is not None:
        return (failed,)
    return (failed, *_given_up(meeting, command, failed.detail))


def _waits_for_gateway(
    meeting: Meeting, task_state: TaskState, attempt: OpenAttempt, command: ReportFault
) -> bool:
    """Say whether a gateway that is away is waited for: not for a digest, which can be done
    without, and not for the synthesis while somebody can write it through another gateway.
    """
    if command.fault is not FaultClass.UNAVAILABLE or isinstance(task_state.task, DigestTask):
        return False
    if isinstance(task_state.task, TurnTask) or meeting.draft is not None:
        return True
    gateway = meeting.participant(attempt.agent_id).gateway
    return not any(
        seat.gateway != gateway and seat.agent_id not in task_state.given_up
        for seat in meeting.config.participants
    )


def lost_gateway(meeting: Meeting, detail: str) -> Fact:
    """Say what follows when a gateway did not come back: the minutes are written without it."""
    if meeting.synthesis_clock_from is not None:
        return draft_or_nothing(meeting, detail)
    return Failed("gateway_unreachable", detail)


def _give_up_at(meeting: Meeting, task_state: TaskState, now: datetime) -> datetime:
    """Say until when the meeting waits for a gateway that is away: counted from the first time."""
    patience = timedelta(seconds=meeting.config.gateway_reconnect_timeout_seconds)
    began = task_state.open.started_at if task_state.open is not None else now
    # A call that went on for a while was taken by somebody: this is another outage.
    if task_state.give_up_at is None or now - began > timedelta(seconds=CONNECTED_SECONDS):
        return now + patience
    return task_state.give_up_at


def _again(
    meeting: Meeting,
    task_state: TaskState,
    command: ReportFault,
    now: datetime,
    count: TokenCounter,
) -> datetime | None:
    """Say when the task may be tried again; none to give up."""
    attempt = task_state.open
    assert attempt is not None
    if command.is_unreachable and command.fault is FaultClass.UNAVAILABLE:
        return None
    if FAULT_RULES[command.fault].remedy == "next_model":
        return now if meeting.has_fallback(attempt.agent_id) else None
    if FAULT_RULES[command.fault].remedy == "shorter":
        # Compared by the same counter as the manifest was counted by.
        least = least_tokens(meeting, task_state.task, attempt.agent_id, count)
        if attempt.manifest.tokens <= least:
            return None
    again = retry_at(
        command.fault,
        task_state.tries + 1,
        repeats_with(task_state, command.fault),
        max_attempts=meeting.config.max_attempts,
        retry_after_seconds=command.retry_after_seconds,
        seed=call_key(meeting.id, task_state.task, attempt.number),
        now=now,
    )
    deadline = turn_deadline(meeting, task_state.clock_from)
    return again if again is not None and again < deadline else None


def _given_up(meeting: Meeting, command: ReportFault, detail: str) -> tuple[Fact, ...]:
    """Say what follows from a speaker's last fault in a task."""
    match command.task:
        case TurnTask():
            reason: SkipReason = command.fault.value
            return (TurnSkipped(command.task.round_num, command.task.agent_id, reason, detail),)
        case DigestTask():
            return (undigested(command.task, f"{command.fault}: {detail}"),)
        case SynthesisTask():
            if meeting.draft is None:
                return ()
            return (draft_or_nothing(meeting, detail),)


def abandoned(meeting: Meeting, cause: AbandonCause) -> tuple[Fact, ...]:
    task_state = meeting.task_state
    if task_state is None or task_state.open is None:
        return ()
    attempt = task_state.open
    return (
        AttemptAbandoned(
            task_state.task, attempt.number, attempt.agent_id, cause, attempt.reserved.total
        ),
    )
