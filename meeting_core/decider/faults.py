"""What follows when a call fails, or is given up: another attempt, a wait, or the task's end."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from meeting_core.decider.fault_policy import FAULT_RULES, fault_charge, retry_at
from meeting_core.decider.summaries import draft_or_nothing, undigested
from meeting_core.decider.turns import attempt_of, kept_reason, min_attempt_seconds
from meeting_core.model.commands import ReportFault
from meeting_core.model.events import AttemptAbandoned, AttemptFailed, Fact, Failed, TurnSkipped
from meeting_core.model.meeting import Meeting, OpenAttempt, TaskState
from meeting_core.model.values import (
    AbandonCause,
    DigestTask,
    FaultClass,
    SkipReason,
    SynthesisTask,
    TurnTask,
    call_key,
)
from meeting_core.prompt.prompt_parts import min_brief_tokens
from meeting_core.prompt.tokens import TokenCounter

CONNECTED_SECONDS = 5.0


def report_fault(
    meeting: Meeting, command: ReportFault, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    task_state, attempt = attempt_of(meeting, command)
    command = _as_judged(meeting, task_state, command)
    is_unreachable = command.is_unreachable and _waits_for_gateway(
        meeting, task_state, attempt, command
    )
    give_up_at = _give_up_at(meeting, task_state, now) if is_unreachable else None
    again = None if is_unreachable else _again(meeting, task_state, command, now, count)
    usage, charged = fault_charge(
        command.fault,
        attempt.reserved,
        command.usage,
        tokens_seen=command.tokens_seen,
        reached=command.reached and not command.is_unreachable and not command.is_model_unavailable,
        prompt_beyond_tokens=meeting.prompt_beyond(attempt),
    )
    failed = AttemptFailed(
        command.task,
        command.number,
        attempt.agent_id,
        command.fault,
        kept_reason(command.detail),
        charged,
        usage,
        again,
        give_up_at if give_up_at is not None and now < give_up_at else None,
        command.timing,
        command.is_model_unavailable,
    )
    if is_unreachable:
        if failed.give_up_at is not None:
            return (failed,)
        return (failed, _lost_gateway(meeting, failed.detail))
    if again is not None:
        return (failed,)
    return (failed, *_given_up(meeting, command, failed.detail))


def _as_judged(meeting: Meeting, task_state: TaskState, command: ReportFault) -> ReportFault:
    """Return a fault as it is answered, whatever it was reported as.

    After a first word the gateway was reached, and the model served. A server that answered may
    serve another of the speaker's models: nothing waits before that is asked. A server that still
    does not know the request in its last form has rejected it.
    """
    if command.tokens_seen > 0:
        command = replace(command, reached=True, is_unreachable=False, is_model_unavailable=False)
    attempt = task_state.open
    if command.is_unreachable and command.reached and attempt is not None:
        is_last = not meeting.has_fallback(attempt.agent_id)
        command = replace(command, is_unreachable=is_last, is_model_unavailable=not is_last)
    if command.is_unreachable or command.fault is not FaultClass.UNAVAILABLE:
        command = replace(command, is_model_unavailable=False)
    rule = FAULT_RULES[command.fault]
    if rule.remedy == "adapted" and task_state.adaptations + 1 >= rule.max_in_a_row:
        command = replace(command, fault=FaultClass.REJECTED)
    return command


def _waits_for_gateway(
    meeting: Meeting, task_state: TaskState, attempt: OpenAttempt, command: ReportFault
) -> bool:
    """Return whether the meeting waits for an unreachable gateway.

    It does not wait for a digest, which it can do without, nor for the synthesis while another
    participant can write it through another gateway.
    """
    if command.fault is not FaultClass.UNAVAILABLE or isinstance(task_state.task, DigestTask):
        return False
    if isinstance(task_state.task, TurnTask) or meeting.draft is not None:
        return True
    gateway = meeting.participant(attempt.agent_id).gateway
    return not any(
        each.gateway != gateway and each.agent_id not in task_state.given_up
        for each in meeting.config.participants
    )


def _lost_gateway(meeting: Meeting, detail: str) -> Fact:
    """Return what follows when a gateway did not come back: the minutes are written without it."""
    if meeting.synthesis_clock_from is not None:
        return draft_or_nothing(meeting, detail)
    return Failed("gateway_unreachable", detail)


def _give_up_at(meeting: Meeting, task_state: TaskState, now: datetime) -> datetime:
    """Return when the wait for a gateway ends, counted from its first failure in a row."""
    timeout = timedelta(seconds=meeting.config.gateway_reconnect_timeout_seconds)
    began = task_state.open.started_at if task_state.open is not None else now
    # A call that went on for a while had reached a server: this is another outage.
    if task_state.give_up_at is None or now - began > timedelta(seconds=CONNECTED_SECONDS):
        return now + timeout
    return task_state.give_up_at


def _again(
    meeting: Meeting,
    task_state: TaskState,
    command: ReportFault,
    now: datetime,
    count: TokenCounter,
) -> datetime | None:
    """Return when the task may be tried again; None to give up."""
    attempt = task_state.open
    assert attempt is not None
    if command.is_unreachable and command.fault is FaultClass.UNAVAILABLE:
        return None
    if command.is_model_unavailable and meeting.has_fallback(attempt.agent_id):
        return now
    if command.is_model_unavailable and isinstance(task_state.task, DigestTask):
        return None
    if FAULT_RULES[command.fault].remedy == "next_model":
        return now if meeting.has_fallback(attempt.agent_id) else None
    if FAULT_RULES[command.fault].remedy == "adapted":
        return now if now < _latest_start(meeting, task_state) else None
    if FAULT_RULES[command.fault].remedy == "shorter":
        # Compared by the same counter as the manifest was counted by.
        min_tokens = min_brief_tokens(meeting, task_state.task, attempt.agent_id, count)
        if attempt.manifest.tokens <= min_tokens:
            return None
    again = retry_at(
        command.fault,
        task_state.tries + 1,
        task_state.repeats_with(command.fault),
        max_attempts=meeting.config.max_attempts,
        retry_after_seconds=command.retry_after_seconds,
        seed=call_key(meeting.id, task_state.task, attempt.number),
        now=now,
    )
    latest = _latest_start(meeting, task_state)
    return again if again is not None and again < latest else None


def _latest_start(meeting: Meeting, task_state: TaskState) -> datetime:
    """Return until when an attempt may begin: one without the time for it is not waited for."""
    needed = timedelta(seconds=min_attempt_seconds(meeting))
    return meeting.task_deadline_at(task_state.clock_from) - needed


def _given_up(meeting: Meeting, command: ReportFault, detail: str) -> tuple[Fact, ...]:
    """Return what follows from a speaker's last fault in a task."""
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
