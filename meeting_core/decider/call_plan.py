"""The plan of a call: what it may cost in a meeting with a ceiling, and how it is made to fit."""

from collections.abc import Iterable

from meeting_core.budget.allowance import Allowance, turn_allowance
from meeting_core.model.accounting import Amount, amount_of, profile_of
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import AgentId, BudgetReduction, Reservation, Task, Value
from meeting_core.prompt.brief import Brief, brief_within
from meeting_core.prompt.prompt_parts import min_brief_size
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens
from meeting_core.steps.speaking_order import digest_author


class Plan(Value, frozen=True):
    """An attempt that can be paid for: what it shows, what it may say, what was reduced.

    Units: tokens; `cap` and `prompt_tokens` by the model's own count, and `beyond_cap_tokens` is
    what the model is known to write beyond the cap.
    """

    brief: Brief
    model: str
    prompt_tokens: int
    cap: int
    beyond_cap_tokens: int
    budget_reductions: tuple[BudgetReduction, ...] = ()


def first_allowance(
    meeting: Meeting, calls: Iterable[tuple[Task, AgentId]], count: TokenCounter
) -> Allowance:
    """Return what the first of these calls may cost, so that the others can be made too."""
    calls = list(calls)
    floors = [min_cost(meeting, task, agent_id, count) for task, agent_id in calls]
    model = meeting.speaking(calls[0][1]).model
    author = profile_of(meeting.model_profiles, meeting.speaking(digest_author(meeting)).model)
    return turn_allowance(meeting.config, meeting.ledger, model, author, floors)


def min_cost(
    meeting: Meeting, task: Task, agent_id: AgentId, count: TokenCounter = estimate_tokens
) -> Amount:
    """Return the lowest cost of a useful call: the shortest brief and the lowest useful cap."""
    config, model = meeting.config, meeting.speaking(agent_id).model
    known = profile_of(meeting.model_profiles, model)
    prompt = known.prompt_tokens(*min_brief_size(meeting, task, agent_id, count))
    output = min(config.min_tokens_per_turn, config.max_tokens_per_turn)
    return amount_of(config, model, Reservation(prompt, output, known.beyond_cap(output)))


def fitted_to(
    allowance: Allowance,
    plan: Plan,
    meeting: Meeting,
    task: Task,
    agent_id: AgentId,
    *,
    count: TokenCounter,
) -> Plan | None:
    """Return a plan that fits the allowance: the brief is shortened first, then the cap lowered.

    None if not even a useful cap beside the shortest brief can be paid for.
    """
    config, brief, wanted = meeting.config, plan.brief, plan.cap
    known = profile_of(meeting.model_profiles, plan.model)
    reductions: tuple[BudgetReduction, ...] = ()
    written = wanted + known.beyond_cap(wanted)
    beside = allowance.prompt_beside(written)
    if beside is not None and beside < plan.prompt_tokens:
        shown = known.max_shown_tokens(max(0, beside))
        shorter = brief_within(meeting, task, agent_id, shown, count=count)
        if shorter.manifest.tokens < brief.manifest.tokens:
            brief, reductions = shorter, ("brief",)
    prompt_tokens = brief.tokens_for(known)
    cap = min(wanted, known.max_cap(allowance.output_beside(prompt_tokens, written)))
    if cap < wanted:
        reductions = (*reductions, "cap")
    if cap < min(config.min_tokens_per_turn, wanted):
        return None
    return Plan(brief, plan.model, prompt_tokens, cap, known.beyond_cap(cap), reductions)
