"""Deciding whether an attempt may start, what it shows, and what it may cost."""

from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from typing import Literal

from meeting_core.budget.allowance import BOUNDLESS, Allowance, synthesis_allowance, turn_allowance
from meeting_core.errors import AttemptStillOpen, OutOfTurn, WrongPhase
from meeting_core.model.commands import StartAttempt
from meeting_core.model.events import (
    AttemptStarted,
    Fact,
    Failed,
    Paused,
    RoundClosed,
    RoundDigested,
    SynthesisCompleted,
    TurnSkipped,
)
from meeting_core.model.ledger import Amount, amount_of
from meeting_core.model.meeting import Meeting
from meeting_core.model.model_profile import profile_of, scaled
from meeting_core.model.values import (
    AgentId,
    BudgetReduction,
    DigestTask,
    Phase,
    Reservation,
    RoundEnding,
    SkipReason,
    SynthesisTask,
    Task,
    TurnTask,
    Value,
)
from meeting_core.prompt.brief import Brief, build_brief, least_tokens, remember
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens
from meeting_core.steps.agenda import (
    authors_left,
    awaits_digest,
    digest_author,
    next_speaker,
    turn_deadline,
    turns_to_come,
)

OUT_OF_BUDGET = "the token budget is spent"


class _Plan(Value, frozen=True):
    """An attempt that can be paid for: what it shows, what it may say, what was spared."""

    brief: Brief
    model: str
    prompt_tokens: int
    cap: int
    budget_reductions: tuple[BudgetReduction, ...]


def start_attempt(
    meeting: Meeting, command: StartAttempt, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    task_state = meeting.task_state
    if task_state is not None and task_state.open is not None:
        raise AttemptStillOpen(
            f"attempt {task_state.open.number} for {task_state.task.key} is open"
        )
    match command.task:
        case TurnTask():
            return _start_turn(meeting, command.task, now, count)
        case DigestTask():
            return _start_digest(meeting, command.task, now, count)
        case SynthesisTask():
            return _start_writing(meeting, command.task, now, count)


def _start_turn(
    meeting: Meeting, task: TurnTask, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    _check_turn(meeting, task)
    if now >= meeting.deadline_at:
        return end_rounds(meeting, "deadline")
    task_state = meeting.task_state
    if task_state is not None and task_state.fault and _is_too_late(meeting, now):
        reason: SkipReason = task_state.fault.value
        return (TurnSkipped(task.round_num, task.agent_id, reason, task_state.detail),)
    # What is left goes to all turns to come; where that is too little, to this round's.
    for tasks in (turns_to_come(meeting), turns_to_come(meeting, task.round_num)):
        allowance = _allowance(meeting, tasks, count)
        plan = _planned(meeting, task, task.agent_id, allowance, count)
        if plan is not None:
            return (_started(meeting, task, task.agent_id, plan),)
    return _out_of_budget(meeting)


def _check_turn(meeting: Meeting, task: TurnTask) -> None:
    if meeting.phase is not Phase.IN_ROUND:
        raise WrongPhase(f"nobody may speak while the meeting is {meeting.state}")
    is_open = meeting.rounds[-1].ending is None
    if not is_open or (task.round_num, task.agent_id) != (meeting.round_num, next_speaker(meeting)):
        raise OutOfTurn(f"it is not the turn of {task.agent_id} in round {task.round_num}")


def _out_of_budget(meeting: Meeting) -> tuple[Fact, ...]:
    match meeting.config.on_budget:
        case "wrap_up":
            return end_rounds(meeting, "budget")
        case "pause":
            return (Paused("raise the budget, or end the rounds", "budget"),)
        case "fail":
            return (Failed("budget", "what is left pays for no useful turn"),)


def _start_digest(
    meeting: Meeting, task: DigestTask, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    last = meeting.rounds[-1] if meeting.rounds else None
    if meeting.phase is not Phase.IN_ROUND or last is None:
        raise WrongPhase(f"no round can be digested while the meeting is {meeting.state}")
    if not awaits_digest(meeting) or task.round_num != last.round_num:
        raise OutOfTurn(f"round {task.round_num} is not the one to digest")
    writer = digest_author(meeting)
    if now >= meeting.deadline_at:
        return (undigested(task, "the time for it ran out"),)
    task_state = meeting.task_state
    if task_state is not None and task_state.fault and _is_too_late(meeting, now):
        return (undigested(task, f"{task_state.fault}: {task_state.detail}"),)
    # One of the calls still to come: it must not cost the turns theirs.
    allowance = _allowance(meeting, chain([(task, writer)], turns_to_come(meeting)), count)
    plan = _planned(meeting, task, writer, allowance, count)
    if plan is None:
        return (undigested(task, OUT_OF_BUDGET),)
    return (_started(meeting, task, writer, plan),)


def _start_writing(
    meeting: Meeting, task: SynthesisTask, now: datetime, count: TokenCounter
) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.SYNTHESIZING or meeting.synthesis is not None:
        raise WrongPhase(f"no synthesis can start while the meeting is {meeting.state}")
    if _is_too_late(meeting, now):
        return (draft_or_nothing(meeting, "the time for it ran out"),)
    task_state = meeting.task_state
    if (
        task_state is not None
        and task_state.give_up_at is not None
        and now >= task_state.give_up_at
    ):
        return (draft_or_nothing(meeting, f"{task_state.fault}: {task_state.detail}"),)
    authors = authors_left(meeting)
    if not authors:
        raise OutOfTurn("nobody is left who could write the minutes")
    # Who is too dear is passed over.
    for author in authors:
        model = meeting.speaking(author).model
        allowance = synthesis_allowance(meeting.config, meeting.ledger, model)
        plan = _planned(meeting, task, author, allowance, count)
        if plan is not None and _is_worth_writing(meeting, plan):
            return (_started(meeting, task, author, plan),)
    return (draft_or_nothing(meeting, OUT_OF_BUDGET),)


def _is_worth_writing(meeting: Meeting, plan: _Plan) -> bool:
    """Say whether minutes can be written from this: from what was said, within the context."""
    manifest = plan.brief.manifest
    if meeting.draft is not None:
        return manifest.tokens <= meeting.config.context_tokens
    return manifest.dropped is None or bool(manifest.whole or manifest.shortened)


def _is_too_late(meeting: Meeting, now: datetime) -> bool:
    """Say whether the time for the task in hand is over; waits of the meeting do not count."""
    task_state = meeting.task_state
    # When to try again was chosen within the task's time; later than that is somebody else's wait.
    if task_state is None or task_state.give_up_at is not None or task_state.retry_at is not None:
        return False
    return now >= turn_deadline(meeting, task_state.clock_from)


def _allowance(
    meeting: Meeting, calls: Iterable[tuple[Task, AgentId]], count: TokenCounter
) -> Allowance:
    """Say what the first of these calls may cost, so that the others can be made too."""
    config = meeting.config
    if config.meeting_tokens is None and config.meeting_cost is None:
        return BOUNDLESS
    calls = list(calls)
    floors = [least_cost(meeting, task, agent_id, count) for task, agent_id in calls]
    model = meeting.speaking(calls[0][1]).model
    author_model = meeting.speaking(digest_author(meeting)).model
    return turn_allowance(config, meeting.ledger, model, author_model, floors)


def least_cost(
    meeting: Meeting, task: Task, agent_id: AgentId, count: TokenCounter = estimate_tokens
) -> Amount:
    """Say what a call takes at the least: the shortest brief, and the least cap worth it."""
    config, model = meeting.config, meeting.speaking(agent_id).model
    factor = profile_of(meeting.model_profiles, model).factor
    prompt = scaled(least_tokens(meeting, task, agent_id, count), factor)
    output = min(config.min_tokens_per_turn, config.max_tokens_per_turn)
    return amount_of(config, model, Reservation(prompt, output))


def _planned(
    meeting: Meeting, task: Task, agent_id: AgentId, allowance: Allowance, count: TokenCounter
) -> _Plan | None:
    """Fit a call into its allowance: shorten the brief first, then lower the cap.

    None when not even a useful cap beside the shortest brief can be paid for.
    """
    config = meeting.config
    wanted = config.max_tokens_per_turn
    if isinstance(task, SynthesisTask):
        wanted = config.synthesis_max_tokens
    known = profile_of(meeting.model_profiles, meeting.speaking(agent_id).model)
    limit = known.longest_brief(config.context_tokens)
    brief = build_brief(meeting, task, agent_id, context_tokens=limit, count=count)
    prompt = scaled(brief.manifest.tokens, known.factor)
    if allowance is BOUNDLESS or allowance.covers(prompt, wanted):
        return _Plan(brief, known.model, prompt, wanted, ())
    budget_reductions: tuple[BudgetReduction, ...] = ()
    beside = allowance.prompt_beside(wanted)
    shorter = limit if beside is None else min(limit, known.estimate_within(beside))
    if max(shorter, least_tokens(meeting, task, agent_id, count)) < brief.manifest.tokens:
        brief = build_brief(meeting, task, agent_id, context_tokens=shorter, count=count)
        prompt = scaled(brief.manifest.tokens, known.factor)
        budget_reductions = ("brief",)
    cap = allowance.output_beside(prompt, wanted)
    if cap < wanted:
        budget_reductions = (*budget_reductions, "cap")
    if cap < min(config.min_tokens_per_turn, wanted):
        return None
    return _Plan(brief, known.model, prompt, cap, budget_reductions)


def _started(meeting: Meeting, task: Task, agent_id: AgentId, plan: _Plan) -> AttemptStarted:
    task_state, brief = meeting.task_state, plan.brief
    digest = brief.digest
    remember(digest, brief.messages)
    return AttemptStarted(
        task,
        task_state.number + 1 if task_state is not None and task_state.task == task else 1,
        agent_id,
        Reservation(plan.prompt_tokens, plan.cap),
        brief.manifest,
        digest,
        plan.model,
        plan.budget_reductions,
    )


def end_rounds(
    meeting: Meeting, cause: Literal["budget", "deadline", "operator"]
) -> tuple[Fact, ...]:
    """Close the open round, and all that would follow; a turn that has begun has an ending too."""
    closed = RoundClosed(meeting.round_num, round_ending(meeting), cause)
    task_state = meeting.task_state
    if task_state is None or not isinstance(task_state.task, TurnTask):
        return (closed,)
    reason: SkipReason = task_state.fault.value if task_state.fault is not None else cause
    return (
        TurnSkipped(task_state.task.round_num, task_state.task.agent_id, reason, task_state.detail),
        closed,
    )


def round_ending(meeting: Meeting) -> RoundEnding:
    turns = [turn for turn in meeting.turns if turn.round_num == meeting.round_num]
    spoken = sum(turn.text is not None for turn in turns)
    if spoken == 0:
        return "silent"
    return "complete" if spoken == len(meeting.config.participants) else "partial"


def undigested(task: DigestTask, cause: str) -> RoundDigested:
    return RoundDigested(task.round_num, degraded=cause)


def draft_or_nothing(meeting: Meeting, cause: str) -> SynthesisCompleted:
    """End the synthesis with the draft, if there is one, or without a text."""
    draft = meeting.draft
    if draft is None:
        return SynthesisCompleted(degraded=f"no summary was written ({cause})")
    return SynthesisCompleted(
        draft.text,
        draft.text_tokens,
        draft.agent_id,
        draft.number,
        degraded=shortcomings(draft.missing, is_cut=draft.is_cut),
    )


def shortcomings(missing: tuple[str, ...], *, is_cut: bool) -> str:
    """Say what a closing text lacks; nothing where it is whole."""
    found = []
    if missing:
        found.append(f"sections missing from the synthesis: {', '.join(missing)}")
    if is_cut:
        found.append("the synthesis was cut at its cap")
    return "; ".join(found)
