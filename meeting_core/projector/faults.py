"""What failed and abandoned attempts change, and turns in which nothing was said."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.model.accounting import charged_usage, profile_of, with_profile
from meeting_core.model.events import AttemptAbandoned, AttemptFailed, MeetingEvent, TurnSkipped
from meeting_core.model.meeting import Meeting, TaskState
from meeting_core.model.transcript import Turn
from meeting_core.model.values import FaultClass, TurnTask, Version


def attempt_failed(meeting: Meeting, fact: AttemptFailed, at: datetime) -> dict[str, Any]:
    """Close the attempt with a fault, settle what it took, and learn from it."""
    attempt = meeting.require_open(fact.task, fact.number, fact.agent_id)
    usage = fact.usage or charged_usage(attempt.reserved, fact.charged)
    if usage.total != fact.charged:
        raise CorruptHistory(f"a call that took {usage.total} tokens is charged {fact.charged}")
    changes = meeting.after_call(usage, at)
    closed: TaskState = replace(
        changes["task_state"],
        ready_at=fact.retry_at or at,
        retry_at=fact.retry_at,
        give_up_at=fact.give_up_at,
    )
    if fact.fault is FaultClass.UNSUPPORTED and fact.retry_at is not None:
        # None of the speaker's tries: what it met before them goes on where it was.
        closed = replace(closed, adaptations=closed.adaptations + 1)
        return {**changes, "task_state": closed}
    closed = replace(closed, fault=fact.fault, detail=fact.detail)
    if fact.give_up_at is not None:
        closed = replace(closed, repeats=0)
    elif fact.retry_at is None:
        given_up = (*closed.given_up, fact.agent_id)
        closed = replace(closed, tries=0, repeats=0, adaptations=0, given_up=given_up)
    elif fact.fault is FaultClass.REJECTED:
        passed = (fact.agent_id, meeting.speaking(fact.agent_id).model)
        changes["rejected_models"] = (*meeting.rejected_models, passed)
        closed = replace(closed, tries=0, repeats=0, adaptations=0)
    elif fact.is_model_unavailable and meeting.has_fallback(fact.agent_id):
        # For this task alone: the next one begins with the first model again.
        passed = (fact.agent_id, meeting.speaking(fact.agent_id).model)
        unavailable = (*closed.unavailable_models, passed)
        closed = replace(closed, tries=0, repeats=0, adaptations=0, unavailable_models=unavailable)
    else:
        assert meeting.task_state is not None
        repeats = meeting.task_state.repeats_with(fact.fault)
        closed = replace(closed, tries=closed.tries + 1, repeats=repeats)
    shown = attempt.manifest
    # Half of a brief that shows nothing of what was said would be less than any brief takes.
    if fact.fault is FaultClass.CONTEXT_TOO_LONG and (shown.whole or shown.shortened):
        known = profile_of(changes["model_profiles"], attempt.model)
        known = replace(known, context_tokens=shown.tokens // 2)
        changes["model_profiles"] = with_profile(changes["model_profiles"], known)
    return {**changes, "task_state": closed}


def attempt_abandoned(meeting: Meeting, fact: AttemptAbandoned, at: datetime) -> dict[str, Any]:
    """Close the attempt without knowing its outcome; it stays charged."""
    attempt = meeting.require_open(fact.task, fact.number, fact.agent_id)
    changes = meeting.after_call(charged_usage(attempt.reserved, fact.charged), at)
    return {**changes, "task_state": replace(changes["task_state"], give_up_at=None)}


def turn_skipped(meeting: Meeting, fact: TurnSkipped, event: MeetingEvent) -> dict[str, Any]:
    """End a turn without a text."""
    at, task = event.timestamp, TurnTask(fact.round_num, fact.agent_id)
    ended = meeting.task_state
    if ended is None or ended.task != task:
        ended = TaskState(task, started_at=at, clock_from=at, ready_at=at)
    turn = Turn(
        Version(event.originator_version),
        fact.round_num,
        fact.agent_id,
        None,
        0,
        fact.reason,
        fact.detail,
        ended.prompt_tokens,
        ended.response_tokens,
        ended.usage_source,
        ended.number,
        ended.started_at,
        at,
    )
    return {"turns": (*meeting.turns, turn), "task_state": None}
