"""The agenda: what the shell must do next, as data."""

from datetime import datetime, timedelta
from typing import assert_never

from msgspec.structs import replace

from meeting_core.minutes import outcome_of, render_minutes
from meeting_core.model.commands import (
    CloseRound,
    Fail,
    GiveUpSynthesis,
    OpenRound,
    StartAttempt,
    StartSynthesis,
)
from meeting_core.model.meeting import Meeting, OpenAttempt, TaskState
from meeting_core.model.values import (
    AgentId,
    DigestTask,
    Phase,
    SynthesisTask,
    Task,
    TurnTask,
    call_key,
)
from meeting_core.prompt.brief import Brief
from meeting_core.prompt.brief_replay import shown_brief
from meeting_core.steps.speaking_order import awaits_digest, digest_author, next_author
from meeting_core.steps.step import (
    Ask,
    BeginAttempt,
    Ended,
    GiveCommand,
    Idle,
    SaveMinutes,
    Step,
    WaitForGateway,
    WaitUntil,
)


def next_step(meeting: Meeting, brief: Brief | None = None) -> Step:
    """Return what the shell must do next, and nothing else.

    `brief` is what `decide_events` returned for the attempt that is open now; without it the brief
    is built again. Raises: `CorruptHistory` when it was written by another template.
    """
    attempt = meeting.open_attempt
    if attempt is not None and not meeting.has_ended:
        return _ask(meeting, attempt, brief)
    match meeting.phase:
        case Phase.COMPLETE | Phase.CANCELLED | Phase.ERROR:
            return Ended()
        case Phase.PAUSED:
            return Idle()
        case Phase.GATHERING:
            return GiveCommand(OpenRound(1))
        case Phase.IN_ROUND:
            return _in_round(meeting)
        case Phase.SYNTHESIZING:
            return _synthesizing(meeting)
        case _:
            assert_never(meeting.phase)


def _in_round(meeting: Meeting) -> Step:
    current = meeting.rounds[-1]
    if current.ending is None:
        speaker = meeting.next_speaker
        if speaker is None:
            return GiveCommand(CloseRound(current.round_num))
        return _attempt(meeting, TurnTask(current.round_num, speaker), speaker)
    if current.cause == "agenda" and current.round_num < meeting.config.num_rounds:
        if awaits_digest(meeting):
            return _attempt(meeting, DigestTask(current.round_num), digest_author(meeting))
        return GiveCommand(OpenRound(current.round_num + 1))
    if all(turn.text is None for turn in meeting.turns):
        return GiveCommand(Fail("nobody_spoke", _first_cause(meeting)))
    return GiveCommand(StartSynthesis())


def _synthesizing(meeting: Meeting) -> Step:
    if meeting.synthesis is not None:
        return SaveMinutes(render_minutes(meeting, outcome_of(meeting)))
    author = next_author(meeting)
    if author is None:
        return GiveCommand(GiveUpSynthesis())
    return _attempt(meeting, SynthesisTask(), author)


def _attempt(meeting: Meeting, task: Task, agent_id: AgentId) -> Step:
    task_state = meeting.task_state
    begin = BeginAttempt(meeting.participant(agent_id).gateway, StartAttempt(task))
    if task_state is not None and task_state.task == task:
        if task_state.retry_at is not None:
            return WaitUntil(task_state.retry_at, begin)
        if task_state.give_up_at is not None:
            return _wait_for_gateway(meeting, task_state, task_state.give_up_at, begin)
    return begin


def _wait_for_gateway(
    meeting: Meeting, task_state: TaskState, give_up_at: datetime, begin: BeginAttempt
) -> WaitForGateway:
    # The minutes are written without it, and the time for the rounds may run out first.
    if meeting.synthesis_clock_from is not None:
        return WaitForGateway(begin.gateway, give_up_at, begin, begin)
    if meeting.deadline_at < give_up_at:
        return WaitForGateway(begin.gateway, meeting.deadline_at, begin, begin)
    seconds = meeting.config.gateway_reconnect_timeout_seconds
    detail = f"gateway {begin.gateway!r} was unreachable for {seconds:g} s: {task_state.detail}"
    gone = GiveCommand(Fail("gateway_unreachable", detail))
    return WaitForGateway(begin.gateway, give_up_at, begin, gone)


def _ask(meeting: Meeting, attempt: OpenAttempt, brief: Brief | None) -> Ask:
    task_state = meeting.task_state
    assert task_state is not None
    task = task_state.task
    # The manifest is the very one of the attempt's start, or the brief is another attempt's.
    if brief is None or brief.manifest is not attempt.manifest:
        brief = shown_brief(meeting, task, attempt.agent_id, attempt.manifest)
    participant = meeting.participant(attempt.agent_id)
    if attempt.model != participant.model:
        participant = replace(participant, model=attempt.model)
    deadline_at = meeting.task_deadline_at(task_state.clock_from)
    seconds = meeting.config.attempt_timeout_seconds
    if seconds is not None and not isinstance(task, SynthesisTask):
        deadline_at = min(deadline_at, attempt.started_at + timedelta(seconds=seconds))
    output_tokens = attempt.reserved.output_tokens
    return Ask(
        task,
        attempt.number,
        participant,
        brief.messages,
        output_tokens,
        meeting.max_reply_bytes(output_tokens),
        deadline_at,
        call_key(meeting.id, task, attempt.number),
    )


def _first_cause(meeting: Meeting) -> str:
    for turn in meeting.turns:
        if turn.skipped_reason is not None:
            return f"{turn.skipped_reason}: {turn.skipped_detail}".rstrip(": ")
    return f"the {meeting.ended_by} ended the rounds before anybody could speak"
