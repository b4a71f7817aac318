"""What the facts of attempts and turns change: the task in hand, the turns, the ledger.

Raises everywhere: `CorruptHistory` for a fact that cannot have happened then.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from meeting_core.budget import Amount, Ledger, amount_of, charged_usage
from meeting_core.calibration import next_factor
from meeting_core.errors import CorruptHistory
from meeting_core.events import (
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    MeetingEvent,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.knowledge import ModelKnowledge, knowledge_of, with_knowledge
from meeting_core.meeting import (
    Digest,
    Draft,
    Meeting,
    OpenAttempt,
    Slot,
    Synthesis,
    Turn,
    repeats_with,
)
from meeting_core.tokens import cut_to_characters
from meeting_core.vocabulary import (
    AgentId,
    DigestTask,
    FaultClass,
    Manifest,
    SkipReason,
    SynthesisTask,
    Task,
    TurnTask,
    Usage,
    UsageSource,
    Version,
)

_FROM_SURE_TO_UNKNOWN: tuple[UsageSource, ...] = ("reported", "estimated", "unknown")


def attempt_started(meeting: Meeting, fact: AttemptStarted, event: MeetingEvent) -> dict[str, Any]:
    """Open an attempt and reserve its tokens."""
    slot, at = meeting.slot, event.timestamp
    if slot is None or slot.task != fact.task:
        slot = Slot(task=fact.task, started_at=at, clock_from=at)
    if fact.number != slot.number + 1:
        raise CorruptHistory(f"attempt {fact.number} cannot follow attempt {slot.number}")
    opened = OpenAttempt(
        Version(event.originator_version),
        fact.number,
        fact.agent_id,
        fact.model,
        fact.reserved,
        fact.manifest,
        fact.digest,
        at,
    )
    changes: dict[str, Any] = {
        "ledger": meeting.ledger.reserve(amount_of(meeting.config, fact.model, fact.reserved))
    }
    clock_from = _clock_from(slot, at)
    if meeting.synthesis_clock_from is not None and (
        clock_from != slot.clock_from or slot.number == 0
    ):
        changes["synthesis_clock_from"] = clock_from
    changes["slot"] = replace(
        slot, number=fact.number, open=opened, retry_at=None, clock_from=clock_from
    )
    return changes


def _clock_from(slot: Slot, at: datetime) -> datetime:
    """Say from when the time for the task counts: what was waited for a gateway that was away, for
    a permit or for the end of a pause is not the speaker's.
    """
    if slot.give_up_at is not None:
        return at
    if slot.retry_at is not None and at > slot.retry_at:
        return slot.clock_from + (at - slot.retry_at)
    return slot.clock_from


def _open_slot(meeting: Meeting, task: Task, number: int, agent_id: AgentId) -> Slot:
    """Find the slot whose open attempt this is.

    Raises: `CorruptHistory` when it is not.
    """
    slot = meeting.slot
    if (
        slot is None
        or slot.open is None
        or slot.task != task
        or (slot.open.number, slot.open.agent_id) != (number, agent_id)
    ):
        raise CorruptHistory(f"attempt {number} of {agent_id} for {task.key} is not open")
    return slot


def _spent(slot: Slot, usage: Usage) -> Slot:
    """Add an ended attempt's tokens to the slot and close the attempt."""
    source = slot.usage_source
    if usage.source != source:
        source = max(source, usage.source, key=_FROM_SURE_TO_UNKNOWN.index)
    return replace(
        slot,
        open=None,
        prompt_tokens=slot.prompt_tokens + usage.prompt_tokens,
        response_tokens=slot.response_tokens + usage.completion_tokens,
        usage_source=source,
    )


def _settled(meeting: Meeting, slot: Slot, usage: Usage) -> Ledger:
    """Replace the open attempt's reservation by what it took."""
    attempt = slot.open
    assert attempt is not None
    reserved = amount_of(meeting.config, attempt.model, attempt.reserved)
    charged = Amount() if usage.total == 0 else amount_of(meeting.config, attempt.model, usage)
    return meeting.ledger.settle(reserved, charged)


def _learnt(meeting: Meeting, slot: Slot, usage: Usage | None) -> tuple[ModelKnowledge, ...]:
    """Learn how the open attempt's model counts, if its provider reported that."""
    attempt = slot.open
    assert attempt is not None
    if usage is None or usage.source != "reported" or not usage.prompt_tokens:
        return meeting.knowledge
    known = knowledge_of(meeting.knowledge, attempt.model)
    factor = next_factor(known.factor, attempt.manifest.tokens, usage.prompt_tokens)
    if factor == known.factor:
        return meeting.knowledge
    return with_knowledge(meeting.knowledge, replace(known, factor=factor))


def attempt_failed(meeting: Meeting, fact: AttemptFailed) -> dict[str, Any]:
    """Close the attempt with a fault, settle what it took, and learn from it."""
    slot = _open_slot(meeting, fact.task, fact.number, fact.agent_id)
    attempt = slot.open
    assert attempt is not None
    usage = fact.usage or charged_usage(attempt.reserved, fact.charged)
    if usage.total != fact.charged:
        raise CorruptHistory(f"a call that took {usage.total} tokens is charged {fact.charged}")
    changes: dict[str, Any] = {
        "ledger": _settled(meeting, slot, usage),
        "knowledge": _learnt(meeting, slot, fact.usage),
    }
    slot = replace(
        _spent(slot, usage),
        retry_at=fact.retry_at,
        give_up_at=fact.give_up_at,
        fault=fact.fault,
        detail=fact.detail,
    )
    if fact.give_up_at is not None:
        changes["slot"] = replace(slot, repeats=0)
    elif fact.retry_at is None:
        given_up = (*slot.given_up, fact.agent_id)
        changes["slot"] = replace(slot, tries=0, repeats=0, given_up=given_up)
    elif fact.fault is FaultClass.REJECTED:
        passed = dict(meeting.fallbacks)
        passed[fact.agent_id] = passed.get(fact.agent_id, 0) + 1
        changes["fallbacks"] = tuple(passed.items())
        changes["slot"] = replace(slot, tries=0, repeats=0)
    else:
        repeats = repeats_with(meeting.slot or slot, fact.fault)
        changes["slot"] = replace(slot, tries=slot.tries + 1, repeats=repeats)
    if fact.fault is FaultClass.CONTEXT_TOO_LONG:
        known = knowledge_of(changes["knowledge"], attempt.model)
        known = replace(known, context_tokens=attempt.manifest.tokens // 2)
        changes["knowledge"] = with_knowledge(changes["knowledge"], known)
    return changes


def attempt_abandoned(meeting: Meeting, fact: AttemptAbandoned) -> dict[str, Any]:
    """Close the attempt without knowing its outcome; it stays charged."""
    slot = _open_slot(meeting, fact.task, fact.number, fact.agent_id)
    assert slot.open is not None
    usage = charged_usage(slot.open.reserved, fact.charged)
    spent = replace(_spent(slot, usage), give_up_at=None)
    return {"slot": spent, "ledger": _settled(meeting, slot, usage)}


def turn_completed(meeting: Meeting, fact: TurnCompleted, event: MeetingEvent) -> dict[str, Any]:
    """End a turn with a text."""
    task = TurnTask(fact.round_num, fact.agent_id)
    slot = _open_slot(meeting, task, fact.number, fact.agent_id)
    _check_turn(meeting, task)
    text, text_tokens = _quotable(slot, fact)
    turn = _turn(
        _spent(slot, fact.usage),
        task,
        event,
        text=text,
        text_tokens=text_tokens,
        is_cut=fact.cut_to is not None,
    )
    return {
        "turns": (*meeting.turns, turn),
        "slot": None,
        "ledger": _settled(meeting, slot, fact.usage),
        "knowledge": _learnt(meeting, slot, fact.usage),
    }


def _quotable(
    slot: Slot, fact: TurnCompleted | RoundDigested | SynthesisDrafted | SynthesisCompleted
) -> tuple[str, int]:
    """Give the text as it may be quoted, and its tokens at most: those of the cap it passed."""
    if fact.cut_to is None:
        return fact.text, fact.text_tokens
    assert slot.open is not None
    return cut_to_characters(fact.text, fact.cut_to), slot.open.reserved.output_tokens


def turn_skipped(meeting: Meeting, fact: TurnSkipped, event: MeetingEvent) -> dict[str, Any]:
    """End a turn without one."""
    slot = meeting.slot
    task = TurnTask(fact.round_num, fact.agent_id)
    _check_turn(meeting, task)
    if slot is None or slot.task != task:
        slot = Slot(task=task, started_at=event.timestamp, clock_from=event.timestamp)
    turn = _turn(slot, task, event, skipped_reason=fact.reason, skipped_detail=fact.detail)
    return {"turns": (*meeting.turns, turn), "slot": None}


def _check_turn(meeting: Meeting, task: TurnTask) -> None:
    """Make sure that this turn can end now.

    Raises: `CorruptHistory` when its round is not open, or when it has ended before.
    """
    is_open = bool(meeting.rounds) and meeting.rounds[-1].ending is None
    if not is_open or task.round_num != meeting.round_num:
        raise CorruptHistory(f"round {task.round_num} is not open")
    ended = meeting.turns[meeting.rounds[-1].first_turn :]
    if task.agent_id in [turn.agent_id for turn in ended]:
        raise CorruptHistory(f"{task.agent_id} has had a turn in round {task.round_num}")


def _turn(
    slot: Slot,
    task: TurnTask,
    event: MeetingEvent,
    *,
    text: str | None = None,
    text_tokens: int = 0,
    skipped_reason: SkipReason | None = None,
    skipped_detail: str = "",
    is_cut: bool = False,
) -> Turn:
    return Turn(
        Version(event.originator_version),
        task.round_num,
        task.agent_id,
        text,
        text_tokens,
        skipped_reason,
        skipped_detail,
        slot.prompt_tokens,
        slot.response_tokens,
        slot.usage_source,
        slot.number,
        slot.started_at,
        event.timestamp,
        is_cut,
    )


def round_digested(meeting: Meeting, fact: RoundDigested, event: MeetingEvent) -> dict[str, Any]:
    """Keep what stands for a closed round, or the reason why nothing does."""
    last = meeting.rounds[-1] if meeting.rounds else None
    if last is None or last.round_num != fact.round_num or last.ending is None or last.digest:
        raise CorruptHistory(f"round {fact.round_num} cannot be digested now")
    changes: dict[str, Any] = {"slot": None}
    text, text_tokens = "", 0
    if fact.agent_id is None:
        if meeting.slot is not None and meeting.slot.open is not None:
            raise CorruptHistory("a digest is given up while an attempt is open")
    else:
        slot = _open_slot(meeting, DigestTask(fact.round_num), fact.number, fact.agent_id)
        if fact.usage is None:
            raise CorruptHistory("a written digest has a usage")
        text, text_tokens = _quotable(slot, fact)
        changes["ledger"] = _settled(meeting, slot, fact.usage)
        changes["knowledge"] = _learnt(meeting, slot, fact.usage)
    version = Version(event.originator_version)
    digest = Digest(version, text, text_tokens, fact.agent_id, fact.degraded)
    return {**changes, "rounds": (*meeting.rounds[:-1], replace(last, digest=digest))}


def synthesis_drafted(
    meeting: Meeting, fact: SynthesisDrafted, event: MeetingEvent
) -> dict[str, Any]:
    """Keep a closing text that lacks sections; its author is asked again."""
    if meeting.synthesis is not None or meeting.draft is not None:
        raise CorruptHistory("the closing text is drafted twice")
    slot = _open_slot(meeting, SynthesisTask(), fact.number, fact.agent_id)
    text, text_tokens = _quotable(slot, fact)
    version = Version(event.originator_version)
    return {
        "draft": Draft(
            version,
            text,
            text_tokens,
            fact.agent_id,
            fact.number,
            fact.missing,
            fact.cut_to is not None,
            _manifest(slot),
        ),
        "slot": replace(_spent(slot, fact.usage), tries=0, repeats=0, give_up_at=None),
        "ledger": _settled(meeting, slot, fact.usage),
        "knowledge": _learnt(meeting, slot, fact.usage),
    }


def synthesis_completed(meeting: Meeting, fact: SynthesisCompleted) -> dict[str, Any]:
    """Keep the closing text, or the reason why there is none."""
    if meeting.synthesis is not None:
        raise CorruptHistory("the closing text is written twice")
    if fact.agent_id is None or _is_draft(meeting.draft, fact):
        if meeting.slot is not None and meeting.slot.open is not None:
            raise CorruptHistory("the closing text is given up while an attempt is open")
        manifest = None if meeting.draft is None else meeting.draft.manifest
        synthesis = Synthesis(fact.text, fact.agent_id, fact.degraded, manifest)
        return {"synthesis": synthesis, "slot": None}
    slot = _open_slot(meeting, SynthesisTask(), fact.number, fact.agent_id)
    if fact.usage is None:
        raise CorruptHistory("a written synthesis has a usage")
    return {
        "synthesis": Synthesis(
            _quotable(slot, fact)[0], fact.agent_id, fact.degraded, _manifest(slot)
        ),
        "slot": None,
        "ledger": _settled(meeting, slot, fact.usage),
        "knowledge": _learnt(meeting, slot, fact.usage),
    }


def _manifest(slot: Slot) -> Manifest:
    assert slot.open is not None
    return slot.open.manifest


def _is_draft(draft: Draft | None, fact: SynthesisCompleted) -> bool:
    return (
        draft is not None
        and fact.usage is None
        and (fact.agent_id, fact.number) == (draft.agent_id, draft.number)
    )
