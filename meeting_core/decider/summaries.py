"""The closing calls: digests of closed rounds, and the synthesis with its draft."""

from datetime import datetime

from meeting_core.budget.allowance import synthesis_allowance
from meeting_core.decider.call_plan import Plan, first_allowance
from meeting_core.decider.turns import has_time, has_time_for_rounds, planned, started
from meeting_core.errors import OutOfTurn, RoundUnfinished, WrongPhase
from meeting_core.minutes import outcome_of, parse_synthesis
from meeting_core.model.commands import Complete
from meeting_core.model.events import (
    Completed,
    Fact,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
)
from meeting_core.model.meeting import Meeting, OpenAttempt
from meeting_core.model.values import (
    AgentId,
    DigestTask,
    Phase,
    Reply,
    SynthesisTask,
    Task,
    clean_text,
)
from meeting_core.prompt.brief import Brief
from meeting_core.prompt.tokens import TokenCounter
from meeting_core.steps.speaking_order import (
    authors_left,
    awaits_digest,
    digest_author,
    next_author,
    turns_to_come,
)

OUT_OF_BUDGET = "the token budget is spent"
OUT_OF_CONTEXT = "nothing of what was said fits the model's context"
OUT_OF_TIME = "the time for it ran out"


def start_digest(
    meeting: Meeting, task: DigestTask, now: datetime, count: TokenCounter
) -> tuple[tuple[Fact, ...], Brief | None]:
    last = meeting.rounds[-1] if meeting.rounds else None
    if meeting.phase is not Phase.IN_ROUND or last is None:
        raise WrongPhase(f"no round can be digested while the meeting is {meeting.state}")
    if not awaits_digest(meeting) or task.round_num != last.round_num:
        raise OutOfTurn(f"round {task.round_num} is not the one to digest")
    if not has_time_for_rounds(meeting, now):
        return (undigested(task, OUT_OF_TIME),), None
    task_state = meeting.task_state
    if task_state is not None and not has_time(meeting, task_state, now):
        fault = f"{task_state.fault}: {task_state.detail}" if task_state.fault else OUT_OF_TIME
        return (undigested(task, fault),), None
    config, author, allowance = meeting.config, digest_author(meeting), None
    if config.meeting_tokens is not None or config.meeting_cost is not None:
        # One of the calls still to come: it must not cost the turns theirs.
        calls: list[tuple[Task, AgentId]] = [(task, author), *turns_to_come(meeting)]
        allowance = first_allowance(meeting, calls, count)
    plan = planned(meeting, task, author, allowance, count)
    if plan is None:
        return (undigested(task, OUT_OF_BUDGET),), None
    return started(meeting, task, author, plan)


def complete_digest(
    task: DigestTask, agent_id: AgentId, number: int, reply: Reply
) -> tuple[Fact, ...]:
    return (RoundDigested(task.round_num, agent_id, number, reply),)


def undigested(task: DigestTask, cause: str) -> RoundDigested:
    return RoundDigested(task.round_num, degraded=cause)


def start_synthesis(meeting: Meeting) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.IN_ROUND:
        raise WrongPhase(f"no synthesis can start while the meeting is {meeting.state}")
    last = meeting.rounds[-1]
    rounds_are_over = last.ending is not None and (
        last.cause != "agenda" or last.round_num == meeting.config.num_rounds
    )
    if not rounds_are_over:
        raise RoundUnfinished("the rounds are not over")
    return (SynthesisStarted(),)


def start_minutes(
    meeting: Meeting, task: SynthesisTask, now: datetime, count: TokenCounter
) -> tuple[tuple[Fact, ...], Brief | None]:
    if meeting.phase is not Phase.SYNTHESIZING or meeting.synthesis is not None:
        raise WrongPhase(f"no synthesis can start while the meeting is {meeting.state}")
    task_state = meeting.task_state
    if task_state is not None:
        if not has_time(meeting, task_state, now):
            return (draft_or_nothing(meeting, OUT_OF_TIME),), None
        if task_state.give_up_at is not None and now >= task_state.give_up_at:
            cause = f"{task_state.fault}: {task_state.detail}"
            return (draft_or_nothing(meeting, cause),), None
    authors = authors_left(meeting)
    if not authors:
        raise OutOfTurn("every author has given up on the minutes")
    # An author whose brief cannot be paid for, or shows nothing of what was said, is passed over.
    cause = OUT_OF_BUDGET
    for author in authors:
        model = meeting.speaking(author).model
        allowance = synthesis_allowance(meeting.config, meeting.ledger, model)
        plan = planned(meeting, task, author, allowance, count)
        if plan is not None and _is_worth_writing(meeting, plan):
            return started(meeting, task, author, plan)
        if plan is not None and not plan.budget_reductions:
            cause = OUT_OF_CONTEXT
    return (draft_or_nothing(meeting, cause),), None


def _is_worth_writing(meeting: Meeting, plan: Plan) -> bool:
    """Return whether minutes can be written from this: from what was said, within the context."""
    manifest = plan.brief.manifest
    if meeting.draft is not None:
        return manifest.tokens <= meeting.config.context_tokens
    return manifest.dropped is None or bool(manifest.whole or manifest.shortened)


def complete_synthesis(meeting: Meeting, attempt: OpenAttempt, reply: Reply) -> tuple[Fact, ...]:
    """Complete the synthesis, or keep it as a draft when its author can still be asked for more."""
    missing = parse_synthesis(reply.quotable).missing
    agent_id, number = attempt.agent_id, attempt.number
    if missing and meeting.draft is None:
        return (SynthesisDrafted(agent_id, number, reply, missing),)
    degraded = _shortcomings(missing, is_cut=reply.is_cut)
    return (SynthesisCompleted(agent_id, number, reply, degraded),)


def give_up_synthesis(meeting: Meeting) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.SYNTHESIZING or meeting.synthesis is not None:
        raise WrongPhase("no synthesis is under way")
    if next_author(meeting) is not None:
        raise OutOfTurn(f"{next_author(meeting)} has not tried to write the minutes")
    task_state = meeting.task_state
    has_cause = task_state is not None and task_state.fault
    cause = (
        f"{task_state.fault}: {task_state.detail}" if task_state and has_cause else "nobody could"
    )
    return (draft_or_nothing(meeting, cause),)


def draft_or_nothing(meeting: Meeting, cause: str) -> SynthesisCompleted:
    """End the synthesis with the draft, if there is one, or without a text."""
    draft = meeting.draft
    if draft is None:
        return SynthesisCompleted(degraded=f"no summary was written ({cause})")
    degraded = _shortcomings(draft.missing, is_cut=draft.is_cut)
    return SynthesisCompleted(draft.agent_id, draft.number, degraded=degraded)


def _shortcomings(missing: tuple[str, ...], *, is_cut: bool) -> str:
    """Return what a closing text lacks; nothing if it is whole."""
    found = []
    if missing:
        found.append(f"sections missing from the synthesis: {', '.join(missing)}")
    if is_cut:
        found.append("the synthesis was cut at its cap")
    return "; ".join(found)


def complete(meeting: Meeting, command: Complete, output_error: str) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.SYNTHESIZING or meeting.synthesis is None:
        raise WrongPhase("the minutes are not written")
    outcome = outcome_of(meeting, output_error)
    output_path = None if command.output_path is None else clean_text(command.output_path)[0]
    return (Completed(outcome, output_path),)
