"""Rounds and turns as the agenda has them: opening a round, starting an attempt, taking a reply.

What every attempt shares is here too: how it is planned, and how a reply is kept.
"""

from datetime import datetime, timedelta

from meeting_core.budget.allowance import Allowance
from meeting_core.decider.call_plan import (
    Plan,
    first_allowance,
    fitted_to,
)
from meeting_core.decider.round_endings import end_rounds, out_of_budget
from meeting_core.decider.speaker_labels import speaks_for, without_label
from meeting_core.errors import NoSuchAttempt, OutOfTurn, RoundUnfinished, WrongPhase
from meeting_core.model.accounting import profile_of
from meeting_core.model.commands import AcceptReply, OpenRound, ReportFault
from meeting_core.model.events import AttemptStarted, Fact, RoundOpened, TurnCompleted, TurnSkipped
from meeting_core.model.meeting import Meeting, OpenAttempt, TaskState
from meeting_core.model.reported_usage import believed_usage
from meeting_core.model.values import (
    CUT_MARK,
    AgentId,
    DigestTask,
    Phase,
    Reply,
    Reservation,
    SkipReason,
    SynthesisTask,
    Task,
    TurnTask,
    clean_text,
)
from meeting_core.prompt.brief import Brief, brief_within
from meeting_core.prompt.tokens import TokenCounter, cut_to_tokens
from meeting_core.steps.speaking_order import awaits_digest, turns_to_come

SURELY_OVER = 2
"""An estimate this many times the cap shows that the cap was passed, even if less was reported."""

MAX_REASON = 500


def open_round(meeting: Meeting, command: OpenRound) -> tuple[Fact, ...]:
    current = meeting.rounds[-1] if meeting.rounds else None
    if meeting.phase not in (Phase.GATHERING, Phase.IN_ROUND):
        raise WrongPhase(f"no round can open while the meeting is {meeting.state}")
    if current is not None and (current.ending is None or current.cause != "agenda"):
        raise RoundUnfinished(f"round {current.round_num} has not ended, or ended all rounds")
    if current is not None and awaits_digest(meeting):
        raise RoundUnfinished(f"round {current.round_num} has not been digested")
    if command.round_num != meeting.round_num + 1 or command.round_num > meeting.config.num_rounds:
        raise OutOfTurn(f"round {command.round_num} is not the next round")
    return (RoundOpened(command.round_num, meeting.speaking_order(command.round_num)),)


def start_turn(
    meeting: Meeting, task: TurnTask, now: datetime, count: TokenCounter
) -> tuple[tuple[Fact, ...], Brief | None]:
    if meeting.phase is not Phase.IN_ROUND:
        raise WrongPhase(f"nobody may speak while the meeting is {meeting.state}")
    next_turn = (meeting.round_num, meeting.next_speaker)
    if not meeting.has_open_round or (task.round_num, task.agent_id) != next_turn:
        raise OutOfTurn(f"it is not the turn of {task.agent_id} in round {task.round_num}")
    if not has_time_for_rounds(meeting, now):
        return end_rounds(meeting, "deadline"), None
    task_state = meeting.task_state
    if task_state is not None and not has_time(meeting, task_state, now):
        reason: SkipReason = task_state.fault.value if task_state.fault else "deadline"
        return (TurnSkipped(task.round_num, task.agent_id, reason, task_state.detail),), None
    config = meeting.config
    if config.meeting_tokens is None and config.meeting_cost is None:
        plan = planned(meeting, task, task.agent_id, None, count)
    else:
        plan = _planned_within_ceilings(meeting, task, count)
    if plan is None:
        return out_of_budget(meeting), None
    return started(meeting, task, task.agent_id, plan)


def _planned_within_ceilings(meeting: Meeting, task: TurnTask, count: TokenCounter) -> Plan | None:
    # What is left goes to all turns to come; if that is too little, to this round's.
    for calls in (turns_to_come(meeting), turns_to_come(meeting, task.round_num)):
        allowance = first_allowance(meeting, calls, count)
        plan = planned(meeting, task, task.agent_id, allowance, count)
        if plan is not None:
            return plan
    return None


def has_time_for_rounds(meeting: Meeting, now: datetime) -> bool:
    """Return whether an attempt may still begin before the rounds must be over."""
    config = meeting.config
    needed_seconds = min(config.min_attempt_seconds, config.turn_timeout_seconds)
    return (
        now < meeting.deadline_at and now + timedelta(seconds=needed_seconds) <= meeting.deadline_at
    )


def has_time(meeting: Meeting, task_state: TaskState, now: datetime) -> bool:
    """Return whether enough of the task's own time is left for another attempt."""
    deadline = meeting.task_deadline_at(task_state.clock_at(now))
    return now < deadline and now + timedelta(seconds=min_attempt_seconds(meeting)) <= deadline


def min_attempt_seconds(meeting: Meeting) -> float:
    """Return the time an attempt needs to be started: at most the time of its whole task."""
    config = meeting.config
    is_writing = meeting.synthesis_clock_from is not None
    whole = config.synthesis_timeout_seconds if is_writing else config.turn_timeout_seconds
    return min(config.min_attempt_seconds, whole)


def planned(
    meeting: Meeting,
    task: Task,
    agent_id: AgentId,
    allowance: Allowance | None,
    count: TokenCounter,
) -> Plan | None:
    """Return the plan of a call; to fit an allowance the brief is shortened, then the cap lowered.

    None if not even a useful cap beside the shortest brief can be paid for.
    """
    config = meeting.config
    is_synthesis = isinstance(task, SynthesisTask)
    wanted = config.synthesis_max_tokens if is_synthesis else config.max_tokens_per_turn
    known = profile_of(meeting.model_profiles, meeting.speaking(agent_id).model)
    brief = brief_within(meeting, task, agent_id, config.context_tokens, count=count)
    prompt_tokens = brief.tokens_for(known)
    beyond = known.beyond_cap(wanted)
    whole = Plan(brief, known.model, prompt_tokens, wanted, beyond)
    if allowance is None or allowance.covers(prompt_tokens, wanted + beyond):
        return whole
    return fitted_to(allowance, whole, meeting, task, agent_id, count=count)


def started(
    meeting: Meeting, task: Task, agent_id: AgentId, plan: Plan
) -> tuple[tuple[Fact, ...], Brief]:
    task_state, brief = meeting.task_state, plan.brief
    fact = AttemptStarted(
        task,
        task_state.number + 1 if task_state is not None and task_state.task == task else 1,
        agent_id,
        Reservation(plan.prompt_tokens, plan.cap, plan.beyond_cap_tokens),
        brief.manifest,
        brief.digest,
        plan.model,
        plan.budget_reductions,
    )
    return (fact,), brief


def attempt_of(
    meeting: Meeting, command: AcceptReply | ReportFault
) -> tuple[TaskState, OpenAttempt]:
    """Return the open attempt that a command is about; raise `NoSuchAttempt` if it is not open."""
    task_state = meeting.task_state
    if (
        task_state is None
        or task_state.open is None
        or (task_state.task, task_state.open.number) != (command.task, command.number)
    ):
        raise NoSuchAttempt(f"attempt {command.number} for {command.task.key} is not open")
    return task_state, task_state.open


def kept_reply(
    meeting: Meeting, attempt: OpenAttempt, command: AcceptReply, count: TokenCounter
) -> Reply:
    """Return a reply as it is kept: cleaned, within its bound in bytes, marked if over its cap."""
    cap = attempt.reserved.output_tokens
    max_bytes = meeting.max_reply_bytes(cap)
    text, is_truncated = _within_bytes(command.text, max_bytes)
    text, cleaned = clean_text(text)
    text = text.strip()
    came = count(text)
    text, label = _unlabelled(meeting, command.task, attempt.agent_id, text)
    text_tokens = count(text) if label else came
    usage = believed_usage(
        command.usage,
        prompt_tokens=attempt.reserved.prompt_tokens,
        text_tokens=came,
        thought_tokens=command.thought_tokens,
        prompt_beyond_tokens=meeting.prompt_beyond(attempt),
    )
    thought = command.thought
    if thought:
        thought = clean_text(_within_bytes(thought, max_bytes)[0])[0].strip()
    # The estimate is rather too high: a report that the cap was kept is believed, within reason.
    is_over = text_tokens > cap and (usage.text_tokens > cap or text_tokens > SURELY_OVER * cap)
    is_turn = isinstance(command.task, TurnTask)
    return Reply(
        text,
        text_tokens,
        usage,
        kept_reason(command.finish_reason),
        kept_reason(command.model),
        cleaned,
        len(cut_to_tokens(text, cap, count).removesuffix(CUT_MARK)) if is_over else None,
        command.timing,
        is_truncated or command.is_truncated,
        thought,
        label,
        speaks_for(text, meeting.config.participants, attempt.agent_id) if is_turn else (),
    )


def _unlabelled(meeting: Meeting, task: Task, agent_id: AgentId, text: str) -> tuple[str, str]:
    """Return a text without its speaker's own name before it, and that name as it came.

    A digest tells of the one who writes it as of the others, and so may minutes before a heading.
    """
    if isinstance(task, DigestTask):
        return text, ""
    rest, label = without_label(text, meeting.participant(agent_id))
    if isinstance(task, SynthesisTask) and not rest.startswith("#"):
        return text, ""
    return rest, label


def _within_bytes(text: str, bound: int) -> tuple[str, bool]:
    """Return the beginning of a text within a bound in bytes of UTF-8, and whether it was cut."""
    if len(text) * 4 <= bound:
        return text, False
    data = text[:bound].encode("utf-8", "surrogatepass")
    if len(text) <= bound and len(data) <= bound:
        return text, False
    return data[:bound].decode("utf-8", "ignore"), True


def complete_turn(task: TurnTask, number: int, reply: Reply) -> tuple[Fact, ...]:
    return (TurnCompleted(task.round_num, task.agent_id, number, reply),)


def kept_reason(text: str) -> str:
    """Return an error text without what a store refuses, cut to a readable length."""
    return clean_text(text[:MAX_REASON])[0] if text else ""
