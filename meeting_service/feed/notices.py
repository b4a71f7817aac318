"""Mishaps: what went wrong or was left out in a meeting, in words for whoever watches it. Pure."""

from typing import Literal, TypeAlias

from msgspec import Struct

from meeting_core.model import (
    AbandonCause,
    Adopted,
    AgentId,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetRaised,
    DigestTask,
    EndCause,
    EntryRange,
    Meeting,
    RoundClosed,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisTask,
    Task,
    TurnTask,
    milliseconds_utc,
)

Severity: TypeAlias = Literal["info", "warning"]

_ABANDONED: dict[AbandonCause, str] = {
    "restart": "its process ended",
    "takeover": "its owner is gone",
    "cancel": "the meeting is cancelled",
    "failure": "the meeting failed",
    "shutdown": "the service is stopping",
    "operator": "an operator ended the rounds",
}
_CUT_SHORT: dict[EndCause, str] = {
    "budget": "the token budget is spent",
    "deadline": "the time is up",
    "operator": "an operator wished it",
}


class Notice(Struct, frozen=True):
    """Something a watcher should know: a stable code, a sentence, how bad it is.

    Shape: the rest says which call it was about, if any; `round_num` is none for the synthesis.
    """

    code: str
    message: str
    severity: Severity
    agent_id: AgentId | None = None
    round_num: int | None = None
    attempt: int | None = None


def failed_attempt(meeting: Meeting, fact: AttemptFailed) -> Notice:
    """Tell that a call ended without a usable reply."""
    what = _attempt(meeting, fact.task, fact.number, fact.agent_id)
    if fact.give_up_at is not None:
        until = milliseconds_utc(fact.give_up_at)
        message = f"{what} found its gateway away ({fact.detail}); waiting for it until {until}"
        return _about(fact, "gateway_away", message, "warning")
    then = "it was the last one" if fact.retry_at is None else "there will be another"
    message = f"{what} failed ({fact.fault}: {fact.detail}); {then}"
    return _about(fact, "attempt_failed", message, "warning")


def returned_gateway(before: Meeting, fact: AttemptStarted) -> Notice | None:
    """Tell that a gateway the meeting waited for is back; none if it did not wait."""
    if before.task_state is None or before.task_state.give_up_at is None:
        return None
    gateway = before.participant(fact.agent_id).gateway
    return _about(fact, "gateway_back", f"gateway {gateway!r} can be reached again", "info")


def budget_reduction(before: Meeting, fact: AttemptStarted) -> Notice | None:
    """Tell what was spared because the budget runs short; none if nothing was."""
    if not fact.budget_reductions:
        return None
    name = before.participant(fact.agent_id).name
    spared = {
        "brief": "its brief is shortened",
        "cap": f"it may say {fact.reserved.output_tokens} tokens at most",
    }
    told = " and ".join(spared[each] for each in fact.budget_reductions)
    return _about(fact, "budget_short", f"the budget runs short: for {name}, {told}", "info")


def abandoned_attempt(meeting: Meeting, fact: AttemptAbandoned) -> Notice:
    """Tell that nobody will know how a call ended."""
    what = _attempt(meeting, fact.task, fact.number, fact.agent_id)
    message = (
        f"{what} was given up, because {_ABANDONED[fact.cause]}; "
        f"its {fact.charged} tokens stay charged"
    )
    unforeseen = fact.cause in ("restart", "takeover")
    return _about(fact, "attempt_abandoned", message, "warning" if unforeseen else "info")


def shortened_brief(before: Meeting, fact: AttemptStarted) -> Notice | None:
    """Tell that a speaker does not see all that was said before; none if it does."""
    manifest = fact.manifest
    cut = [
        f"{_entries(before, entries)} {how}"
        for entries, how in ((manifest.shortened, "shortened"), (manifest.dropped, "left out"))
        if entries is not None
    ]
    if not cut:
        return None
    name = before.participant(fact.agent_id).name
    message = f"of the earlier contributions, {name}'s brief has {' and '.join(cut)}"
    return _about(fact, "brief_shortened", message, "info")


def poor_digest(fact: RoundDigested) -> Notice | None:
    """Tell that a round has no digest; none if it has one."""
    if not fact.degraded:
        return None
    message = f"round {fact.round_num} is not digested ({fact.degraded}); its turns are shown"
    return Notice("round_not_digested", message, "info", round_num=fact.round_num)


def drafted(fact: SynthesisDrafted) -> Notice:
    """Tell that the closing text lacks sections, and that its author is asked for them."""
    message = f"the synthesis lacks {', '.join(fact.missing)}; its author is asked once more"
    return Notice("synthesis_incomplete", message, "info", fact.agent_id)


def raised_budget(fact: BudgetRaised) -> Notice:
    """Tell that the meeting may spend more."""
    ceilings = [
        f"{value:,} {unit}"
        for value, unit in ((fact.meeting_tokens, "tokens"), (fact.meeting_cost, "in money"))
        if value is not None
    ]
    return Notice("budget_raised", f"the meeting may now spend {' and '.join(ceilings)}", "info")


def adoption(fact: Adopted) -> Notice:
    """Tell that another owner runs the meeting from here on."""
    if fact.cause == "restart":
        return Notice("resumed", "the meeting was resumed after a restart", "warning")
    return Notice("taken_over", "the meeting was taken over by another process", "warning")


def cut_rounds(fact: RoundClosed) -> Notice | None:
    """Tell that the rounds ended before the agenda did; none if they go on."""
    if fact.cause == "agenda":
        return None
    message = f"the rounds ended in round {fact.round_num}, because {_CUT_SHORT[fact.cause]}"
    return Notice("rounds_cut_short", message, "warning", round_num=fact.round_num)


def poor_synthesis(fact: SynthesisCompleted) -> Notice | None:
    """Tell what the closing text lacks; none if it is whole."""
    if not fact.degraded:
        return None
    severity: Severity = "warning" if fact.agent_id is None else "info"
    return Notice("synthesis_degraded", fact.degraded, severity, fact.agent_id)


def _about(
    fact: AttemptStarted | AttemptFailed | AttemptAbandoned,
    code: str,
    message: str,
    severity: Severity,
) -> Notice:
    round_num = None if isinstance(fact.task, SynthesisTask) else fact.task.round_num
    return Notice(code, message, severity, fact.agent_id, round_num, fact.number)


def _attempt(meeting: Meeting, task: Task, number: int, agent_id: AgentId) -> str:
    name = meeting.participant(agent_id).name
    match task:
        case TurnTask():
            return f"attempt {number} of {name}'s turn in round {task.round_num}"
        case DigestTask():
            return f"attempt {number} at the digest of round {task.round_num}, by {name},"
        case SynthesisTask():
            return f"attempt {number} at the synthesis, by {name},"


def _entries(before: Meeting, entries: EntryRange) -> int:
    """Count the contributions in a range, as the brief counts them."""
    spoken = [turn.version for turn in before.turns if turn.text is not None]
    others = [remark.version for remark in before.remarks]
    others += [each.digest.version for each in before.rounds if each.digest and each.digest.text]
    return sum(entries.first <= version <= entries.last for version in spoken + others)
