"""Notices: what went wrong or was left out in a meeting, in words for clients. Pure."""

from collections.abc import Iterator
from typing import Literal, TypeAlias, assert_never

from msgspec import Struct

from meeting_core.model import (
    AbandonCause,
    Adopted,
    AgentId,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetRaised,
    Convened,
    DigestTask,
    EndCause,
    EntryRange,
    Meeting,
    MeetingId,
    RemarkMade,
    RoundClosed,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisTask,
    Task,
    TurnTask,
    Version,
    clean_text,
    milliseconds_utc,
)

Severity: TypeAlias = Literal["info", "warning", "error"]

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
    "operator": "an operator asked for it",
}


class Notice(Struct, frozen=True):
    """Something a watcher should know: a stable code, a sentence, how bad it is.

    Shape: the rest says which call it was about, if any; `round_num` is None for the synthesis.
    """

    code: str
    message: str
    severity: Severity
    agent_id: AgentId | None = None
    round_num: int | None = None
    attempt: int | None = None


NotedFact: TypeAlias = (
    AttemptFailed
    | AttemptAbandoned
    | Adopted
    | RoundClosed
    | RoundDigested
    | SynthesisDrafted
    | SynthesisCompleted
    | BudgetRaised
    | RemarkMade
    | Convened
)
"""The facts whose only frame is a notice, if they have one."""


def build_notice(fact: NotedFact, after: Meeting) -> Notice | None:
    """Return the notice of a fact, from the meeting after it; None if the fact needs no notice."""
    notice: Notice | None = None
    match fact:
        case AttemptFailed():
            notice = _failed_attempt(after, fact)
        case AttemptAbandoned():
            notice = _abandoned_attempt(after, fact)
        case Adopted():
            notice = _adoption(fact)
        case RoundClosed():
            notice = _cut_rounds(fact)
        case RoundDigested():
            notice = _missing_digest(fact)
        case SynthesisDrafted():
            notice = _incomplete_draft(fact)
        case SynthesisCompleted():
            notice = _degraded_synthesis(fact)
        case BudgetRaised():
            notice = _raised_budget(fact)
        case RemarkMade() | Convened():
            pass
        case _:
            assert_never(fact)
    return notice


def attempt_notices(before: Meeting, fact: AttemptStarted) -> Iterator[Notice]:
    """Yield the notices that come before an attempt's start, from the meeting before it."""
    participant = before.participant(fact.agent_id)
    if before.task_state is not None and before.task_state.give_up_at is not None:
        message = f"gateway {participant.gateway!r} can be reached again"
        yield _about(fact, "gateway_back", message, "info")
    if fact.budget_reductions:
        reductions = {
            "brief": "its brief is shortened",
            "cap": f"it may say {fact.reserved.output_tokens} tokens at most",
        }
        what = " and ".join(reductions[each] for each in fact.budget_reductions)
        message = f"the budget runs short: for {participant.name}, {what}"
        yield _about(fact, "budget_short", message, "info")
    manifest = fact.manifest
    cut = [
        f"{_count_entries(before, entries)} {how}"
        for entries, how in ((manifest.shortened, "shortened"), (manifest.dropped, "left out"))
        if entries is not None
    ]
    if cut:
        message = (
            f"of the earlier contributions, {participant.name}'s brief has {' and '.join(cut)}"
        )
        yield _about(fact, "brief_shortened", message, "info")


def missing_gateway(gateway: str) -> Notice:
    """Return the notice that the meeting waits for a gateway that no process has."""
    message = f"the meeting waits for gateway {gateway!r}, which no process has"
    return Notice("gateway_missing", message, "warning")


def unreadable_history(meeting_id: MeetingId, version: Version) -> Notice:
    """Return the notice that a history cannot be read from a version on, with the remedy."""
    message = (
        f"the history of meeting {meeting_id} cannot be read from version {version} on; once the "
        "service is upgraded to a release that can read it, an operator can release the meeting"
    )
    return Notice("unreadable", message, "error")


def quarantined(meeting_id: MeetingId, reason: str) -> Notice:
    """Return the notice that a meeting was put into quarantine, with the remedy."""
    text, _ = clean_text(reason)
    message = (
        f"meeting {meeting_id} is in quarantine and does not go on ({text}); once the cause is "
        "mended, an operator can release it"
    )
    return Notice("quarantined", message, "error")


def _failed_attempt(meeting: Meeting, fact: AttemptFailed) -> Notice:
    what = _attempt(meeting, fact.task, fact.number, fact.agent_id)
    if fact.give_up_at is not None:
        until = milliseconds_utc(fact.give_up_at)
        message = (
            f"{what} could not reach its gateway ({fact.detail}); waiting for it until {until}"
        )
        return _about(fact, "gateway_away", message, "warning")
    then = "it was the last one" if fact.retry_at is None else "there will be another"
    if fact.is_model_unavailable:
        task_state = meeting.task_state
        # Only a speaker that has gone on to another model has made no tries.
        if fact.retry_at is not None and task_state is not None and not task_state.tries:
            then = f"model {meeting.speaking(fact.agent_id).model!r} is next"
        then = f"its gateway does not serve that model now; {then}"
    message = f"{what} failed ({fact.fault}: {fact.detail}); {then}"
    return _about(fact, "attempt_failed", message, "warning")


def _abandoned_attempt(meeting: Meeting, fact: AttemptAbandoned) -> Notice:
    what = _attempt(meeting, fact.task, fact.number, fact.agent_id)
    message = (
        f"{what} was given up, because {_ABANDONED[fact.cause]}; "
        f"its {fact.charged} tokens stay charged"
    )
    is_unforeseen = fact.cause in ("restart", "takeover")
    return _about(fact, "attempt_abandoned", message, "warning" if is_unforeseen else "info")


def _missing_digest(fact: RoundDigested) -> Notice | None:
    if not fact.degraded:
        return None
    message = f"round {fact.round_num} is not digested ({fact.degraded}); its turns are shown"
    return Notice("round_not_digested", message, "info", round_num=fact.round_num)


def _raised_budget(fact: BudgetRaised) -> Notice:
    ceilings = [
        f"{value:,} {unit}"
        for value, unit in ((fact.meeting_tokens, "tokens"), (fact.meeting_cost, "in money"))
        if value is not None
    ]
    return Notice("budget_raised", f"the meeting may now spend {' and '.join(ceilings)}", "info")


def _adoption(fact: Adopted) -> Notice:
    if fact.cause == "restart":
        return Notice("resumed", "the meeting was resumed after a restart", "warning")
    return Notice("taken_over", "the meeting was taken over by another process", "warning")


def _cut_rounds(fact: RoundClosed) -> Notice | None:
    if fact.cause == "agenda":
        return None
    message = f"the rounds ended in round {fact.round_num}, because {_CUT_SHORT[fact.cause]}"
    return Notice("rounds_cut_short", message, "warning", round_num=fact.round_num)


def _incomplete_draft(fact: SynthesisDrafted) -> Notice:
    message = f"the synthesis lacks {', '.join(fact.missing)}; its author is asked once more"
    return Notice("synthesis_incomplete", message, "info", fact.agent_id)


def _degraded_synthesis(fact: SynthesisCompleted) -> Notice | None:
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


def _count_entries(before: Meeting, entries: EntryRange) -> int:
    """Count the contributions in a range, as the brief counts them."""
    spoken = [turn.version for turn in before.turns if turn.text is not None]
    others = [remark.version for remark in before.remarks]
    others += [each.digest.version for each in before.rounds if each.digest and each.digest.text]
    return sum(entries.first <= version <= entries.last for version in spoken + others)
