"""What the facts of attempts and turns change: the task in hand, the turns, the ledger.

Raises everywhere: `CorruptHistory` for a fact that cannot have happened then.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.model.events import (
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
from meeting_core.model.ledger import Amount, Ledger, amount_of, charged_usage
from meeting_core.model.meeting import (
    Digest,
    Draft,
    Meeting,
    OpenAttempt,
    Synthesis,
    TaskState,
    Turn,
    repeats_with,
)
from meeting_core.model.model_profile import (
    ModelProfile,
    next_factor,
    profile_of,
    with_profile,
)
from meeting_core.model.values import (
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
    cut_to_characters,
)

_FROM_SURE_TO_UNKNOWN: tuple[UsageSource, ...] = ("reported", "estimated", "unknown")


def attempt_started(meeting: Meeting, fact: AttemptStarted, event: MeetingEvent) -> dict[str, Any]:
    """Open an attempt and reserve its tokens."""
    task_state, at = meeting.task_state, event.timestamp
    if task_state is None or task_state.task != fact.task:
        task_state = TaskState(task=fact.task, started_at=at, clock_from=at)
    if fact.number != task_state.number + 1:
        raise CorruptHistory(f"attempt {fact.number} cannot follow attempt {task_state.number}")
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
    clock_from = _clock_from(task_state, at)
    if meeting.synthesis_clock_from is not None and (
        clock_from != task_state.clock_from or task_state.number == 0
    ):
        changes["synthesis_clock_from"] = clock_from
    changes["task_state"] = replace(
        task_state, number=fact.number, open=opened, retry_at=None, clock_from=clock_from
    )
    return changes


def _clock_from(task_state: TaskState, at: datetime) -> datetime:
    """Say from when the time for the task counts: what was waited for a gateway that was away, for
    a permit or for the end of a pause is not the speaker's.
    """
    if task_state.give_up_at is not None:
        return at
    if task_state.retry_at is not None and at > task_state.retry_at:
        return task_state.clock_from + (at - task_state.retry_at)
    return task_state.clock_from


def _open_task_state(meeting: Meeting, task: Task, number: int, agent_id: AgentId) -> TaskState:
    """Find the slot whose open attempt this is.

    Raises: `CorruptHistory` when it is not.
    """
    task_state = meeting.task_state
    if (
        task_state is None
        or task_state.open is None
        or task_state.task != task
        or (task_state.open.number, task_state.open.agent_id) != (number, agent_id)
    ):
        raise CorruptHistory(f"attempt {number} of {agent_id} for {task.key} is not open")
    return task_state


def _spent(task_state: TaskState, usage: Usage) -> TaskState:
    """Add an ended attempt's tokens to the slot and close the attempt."""
    source = task_state.usage_source
    if usage.source != source:
        source = max(source, usage.source, key=_FROM_SURE_TO_UNKNOWN.index)
    return replace(
        task_state,
        open=None,
        prompt_tokens=task_state.prompt_tokens + usage.prompt_tokens,
        response_tokens=task_state.response_tokens + usage.completion_tokens,
        usage_source=source,
    )


def _settled(meeting: Meeting, task_state: TaskState, usage: Usage) -> Ledger:
    """Replace the open attempt's reservation by what it took."""
    attempt = task_state.open
    assert attempt is not None
    reserved = amount_of(meeting.config, attempt.model, attempt.reserved)
    charged = Amount() if usage.total == 0 else amount_of(meeting.config, attempt.model, usage)
    return meeting.ledger.settle(reserved, charged)


def _learnt(
    meeting: Meeting, task_state: TaskState, usage: Usage | None
) -> tuple[ModelProfile, ...]:
    """Learn how the open attempt's model counts, if its provider reported that."""
    attempt = task_state.open
    assert attempt is not None
    if usage is None or usage.source != "reported" or not usage.prompt_tokens:
        return meeting.model_profiles
    known = profile_of(meeting.model_profiles, attempt.model)
    factor = next_factor(known.factor, attempt.manifest.tokens, usage.prompt_tokens)
    if factor == known.factor:
        return meeting.model_profiles
    return with_profile(meeting.model_profiles, replace(known, factor=factor))


def attempt_failed(meeting: Meeting, fact: AttemptFailed) -> dict[str, Any]:
    """Close the attempt with a fault, settle what it took, and learn from it."""
    task_state = _open_task_state(meeting, fact.task, fact.number, fact.agent_id)
    attempt = task_state.open
    assert attempt is not None
    usage = fact.usage or charged_usage(attempt.reserved, fact.charged)
    if usage.total != fact.charged:
        raise CorruptHistory(f"a call that took {usage.total} tokens is charged {fact.charged}")
    changes: dict[str, Any] = {
        "ledger": _settled(meeting, task_state, usage),
        "model_profiles": _learnt(meeting, task_state, fact.usage),
    }
    task_state = replace(
        _spent(task_state, usage),
        retry_at=fact.retry_at,
        give_up_at=fact.give_up_at,
        fault=fact.fault,
        detail=fact.detail,
    )
    if fact.give_up_at is not None:
        changes["task_state"] = replace(task_state, repeats=0)
    elif fact.retry_at is None:
        given_up = (*task_state.given_up, fact.agent_id)
        changes["task_state"] = replace(task_state, tries=0, repeats=0, given_up=given_up)
    elif fact.fault is FaultClass.REJECTED:
        passed = dict(meeting.fallbacks)
        passed[fact.agent_id] = passed.get(fact.agent_id, 0) + 1
        changes["fallbacks"] = tuple(passed.items())
        changes["task_state"] = replace(task_state, tries=0, repeats=0)
    else:
        repeats = repeats_with(meeting.task_state or task_state, fact.fault)
        changes["task_state"] = replace(task_state, tries=task_state.tries + 1, repeats=repeats)
    if fact.fault is FaultClass.CONTEXT_TOO_LONG:
        known = profile_of(changes["model_profiles"], attempt.model)
        known = replace(known, context_tokens=attempt.manifest.tokens // 2)
        changes["model_profiles"] = with_profile(changes["model_profiles"], known)
    return changes


def attempt_abandoned(meeting: Meeting, fact: AttemptAbandoned) -> dict[str, Any]:
    """Close the attempt without knowing its outcome; it stays charged."""
    task_state = _open_task_state(meeting, fact.task, fact.number, fact.agent_id)
    assert task_state.open is not None
    usage = charged_usage(task_state.open.reserved, fact.charged)
    spent = replace(_spent(task_state, usage), give_up_at=None)
    return {"task_state": spent, "ledger": _settled(meeting, task_state, usage)}


def turn_completed(meeting: Meeting, fact: TurnCompleted, event: MeetingEvent) -> dict[str, Any]:
    """End a turn with a text."""
    task = TurnTask(fact.round_num, fact.agent_id)
    task_state = _open_task_state(meeting, task, fact.number, fact.agent_id)
    _check_turn(meeting, task)
    text, text_tokens = _quotable(task_state, fact)
    turn = _turn(
        _spent(task_state, fact.usage),
        task,
        event,
        text=text,
        text_tokens=text_tokens,
        is_cut=fact.cut_to is not None,
    )
    return {
        "turns": (*meeting.turns, turn),
        "task_state": None,
        "ledger": _settled(meeting, task_state, fact.usage),
        "model_profiles": _learnt(meeting, task_state, fact.usage),
    }


def _quotable(
    task_state: TaskState,
    fact: TurnCompleted | RoundDigested | SynthesisDrafted | SynthesisCompleted,
) -> tuple[str, int]:
    """Give the text as it may be quoted, and its tokens at most: those of the cap it passed."""
    if fact.cut_to is None:
        return fact.text, fact.text_tokens
    assert task_state.open is not None
    return cut_to_characters(fact.text, fact.cut_to), task_state.open.reserved.output_tokens


def turn_skipped(meeting: Meeting, fact: TurnSkipped, event: MeetingEvent) -> dict[str, Any]:
    """End a turn without one."""
    task_state = meeting.task_state
    task = TurnTask(fact.round_num, fact.agent_id)
    _check_turn(meeting, task)
    if task_state is None or task_state.task != task:
        task_state = TaskState(task=task, started_at=event.timestamp, clock_from=event.timestamp)
    turn = _turn(task_state, task, event, skipped_reason=fact.reason, skipped_detail=fact.detail)
    return {"turns": (*meeting.turns, turn), "task_state": None}


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
    task_state: TaskState,
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
        task_state.prompt_tokens,
        task_state.response_tokens,
        task_state.usage_source,
        task_state.number,
        task_state.started_at,
        event.timestamp,
        is_cut,
    )


def round_digested(meeting: Meeting, fact: RoundDigested, event: MeetingEvent) -> dict[str, Any]:
    """Keep what stands for a closed round, or the reason why nothing does."""
    last = meeting.rounds[-1] if meeting.rounds else None
    if last is None or last.round_num != fact.round_num or last.ending is None or last.digest:
        raise CorruptHistory(f"round {fact.round_num} cannot be digested now")
    changes: dict[str, Any] = {"task_state": None}
    text, text_tokens = "", 0
    if fact.agent_id is None:
        if meeting.task_state is not None and meeting.task_state.open is not None:
            raise CorruptHistory("a digest is given up while an attempt is open")
    else:
        task_state = _open_task_state(
            meeting, DigestTask(fact.round_num), fact.number, fact.agent_id
        )
        if fact.usage is None:
            raise CorruptHistory("a written digest has a usage")
        text, text_tokens = _quotable(task_state, fact)
        changes["ledger"] = _settled(meeting, task_state, fact.usage)
        changes["model_profiles"] = _learnt(meeting, task_state, fact.usage)
    version = Version(event.originator_version)
    digest = Digest(version, text, text_tokens, fact.agent_id, fact.degraded)
    return {**changes, "rounds": (*meeting.rounds[:-1], replace(last, digest=digest))}


def synthesis_drafted(
    meeting: Meeting, fact: SynthesisDrafted, event: MeetingEvent
) -> dict[str, Any]:
    """Keep a closing text that lacks sections; its author is asked again."""
    if meeting.synthesis is not None or meeting.draft is not None:
        raise CorruptHistory("the closing text is drafted twice")
    task_state = _open_task_state(meeting, SynthesisTask(), fact.number, fact.agent_id)
    text, text_tokens = _quotable(task_state, fact)
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
            _manifest(task_state),
        ),
        "task_state": replace(_spent(task_state, fact.usage), tries=0, repeats=0, give_up_at=None),
        "ledger": _settled(meeting, task_state, fact.usage),
        "model_profiles": _learnt(meeting, task_state, fact.usage),
    }


def synthesis_completed(meeting: Meeting, fact: SynthesisCompleted) -> dict[str, Any]:
    """Keep the closing text, or the reason why there is none."""
    if meeting.synthesis is not None:
        raise CorruptHistory("the closing text is written twice")
    if fact.agent_id is None or _is_draft(meeting.draft, fact):
        if meeting.task_state is not None and meeting.task_state.open is not None:
            raise CorruptHistory("the closing text is given up while an attempt is open")
        manifest = None if meeting.draft is None else meeting.draft.manifest
        synthesis = Synthesis(fact.text, fact.agent_id, fact.degraded, manifest)
        return {"synthesis": synthesis, "task_state": None}
    task_state = _open_task_state(meeting, SynthesisTask(), fact.number, fact.agent_id)
    if fact.usage is None:
        raise CorruptHistory("a written synthesis has a usage")
    return {
        "synthesis": Synthesis(
            _quotable(task_state, fact)[0], fact.agent_id, fact.degraded, _manifest(task_state)
        ),
        "task_state": None,
        "ledger": _settled(meeting, task_state, fact.usage),
        "model_profiles": _learnt(meeting, task_state, fact.usage),
    }


def _manifest(task_state: TaskState) -> Manifest:
    assert task_state.open is not None
    return task_state.open.manifest


def _is_draft(draft: Draft | None, fact: SynthesisCompleted) -> bool:
    return (
        draft is not None
        and fact.usage is None
        and (fact.agent_id, fact.number) == (draft.agent_id, draft.number)
    )
