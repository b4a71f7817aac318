"""Frames: what each fact of a meeting shows to clients. Pure.

A frame is one named event of the feed. A fact leads to at most one numbered frame, after which a
client may resume; a fact without a frame still has its number, and a client may resume there too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from meeting_core.model import (
    AgentId,
    AttemptStarted,
    Cancelled,
    Completed,
    Failed,
    Meeting,
    MeetingEvent,
    MeetingId,
    OpenAttempt,
    Paused,
    Resumed,
    RoundOpened,
    SynthesisStarted,
    TurnCompleted,
    TurnSkipped,
    TurnTask,
    Version,
    milliseconds_utc,
)
from meeting_service.feed.notices import (
    Notice,
    attempt_notices,
    build_notice,
    missing_gateway,
    quarantined,
    unreadable_history,
)
from meeting_service.views.meeting_status import error_message
from meeting_service.views.outcome import outcome_view

_encoder = msgspec.json.Encoder()
_SEPARATORS = [(mark.encode(), b"\\u%04x" % ord(mark)) for mark in "\x85\u2028\u2029"]


class Frame(Struct, frozen=True):
    """One named event of the feed; only a numbered one gets an `id:`.

    Shape: `data` always holds `meeting_id`, `version` and `at`.
    """

    event: str
    data: Mapping[str, Any]
    is_numbered: bool = True

    def encoded(self) -> bytes:
        """Return the frame as it is sent, without its `id:` line.

        JSON escapes every line break of the standard, so no text can end the line and forge a
        frame; this escapes those that some clients end a line at besides.
        """
        data = _encoder.encode(self.data)
        if not data.isascii():
            for separator, escape in _SEPARATORS:
                data = data.replace(separator, escape)
        return b"event: %b\ndata: %b\n\n" % (self.event.encode(), data)


def frames_of(before: Meeting | None, event: MeetingEvent, after: Meeting) -> tuple[Frame, ...]:
    """Return what an event shows, from the meeting before it and after it.

    Invariant: no text is read but those that the event itself brought.
    """
    if before is None:
        return (_frame("meeting-started", event, _started(after)),)
    fact = event.fact
    match fact:
        case RoundOpened() | Paused() | Resumed():
            return (_frame("meeting-state", event, _state(before, after)),)
        case AttemptStarted():
            return _attempt_started(before, event, fact)
        case TurnCompleted():
            return (_frame("meeting-turn", event, _turn(after, fact.reply.finish_reason)),)
        case TurnSkipped():
            return (_frame("meeting-turn", event, _turn(after, None)),)
        case SynthesisStarted():
            changes = {"state": after.state, "progress_pct": after.progress_pct}
            return (_frame("meeting-synthesis", event, changes),)
        case Completed():
            return (_frame("meeting-complete", event, _completed(after)),)
        case Failed():
            return (_frame("meeting-error", event, _failed(after)),)
        case Cancelled():
            cancelled_at = milliseconds_utc(event.timestamp)
            ending = {"state": after.state, "cancelled_at": cancelled_at, "reason": fact.reason}
            return (_frame("meeting-cancelled", event, ending),)
        case _:
            notice = build_notice(fact, after)
            return () if notice is None else (_warning(event, notice),)


def delta_frame(
    meeting: Meeting, attempt: OpenAttempt, task: TurnTask, text: str, at: datetime
) -> Frame:
    """Return the frame of what a speaker's text grew by in an attempt.

    Units: `at` is UTC. Shape: `version` is that of the attempt's start.
    """
    data = {
        "meeting_id": str(meeting.id),
        "version": attempt.version,
        "at": milliseconds_utc(at),
        "round": task.round_num,
        "agent_id": attempt.agent_id,
        "text": text,
    }
    return Frame("meeting-turn-delta", data, is_numbered=False)


def unreadable_frame(meeting_id: MeetingId, version: Version, at: datetime) -> Frame:
    """Return the warning that a meeting cannot be read from a version on.

    Without a number, so that a client that resumes gets the events as soon as they can be read.
    Units: `at` is UTC. Shape: `version` is that of the last event that can be read.
    """
    notice = unreadable_history(meeting_id, version)
    place = {"meeting_id": str(meeting_id), "version": version - 1, "at": milliseconds_utc(at)}
    return Frame("meeting-warning", {**place, **_warning_fields(notice)}, is_numbered=False)


def missing_gateway_frame(meeting_id: MeetingId, gateway: str, at: datetime) -> Frame:
    """Return the warning that a meeting waits for a gateway that no process has."""
    return _warning_without_event(meeting_id, missing_gateway(gateway), at)


def quarantine_frame(meeting_id: MeetingId, reason: str, at: datetime) -> Frame:
    """Return the warning that a meeting was put into quarantine."""
    return _warning_without_event(meeting_id, quarantined(meeting_id, reason), at)


def _warning_without_event(meeting_id: MeetingId, notice: Notice, at: datetime) -> Frame:
    """Return a warning without a number or a version. Units: `at` is UTC."""
    place = {"meeting_id": str(meeting_id), "version": None, "at": milliseconds_utc(at)}
    return Frame("meeting-warning", {**place, **_warning_fields(notice)}, is_numbered=False)


def _frame(
    name: str, event: MeetingEvent, fields: Mapping[str, Any], *, is_numbered: bool = True
) -> Frame:
    place = {
        "meeting_id": str(event.originator_id),
        "version": event.originator_version,
        "at": milliseconds_utc(event.timestamp),
    }
    return Frame(name, {**place, **fields}, is_numbered)


def _started(after: Meeting) -> dict[str, Any]:
    config = after.config
    return {
        "title": config.title,
        "state": after.state,
        "participants": [participant.agent_id for participant in config.participants],
        "num_rounds": config.num_rounds,
        "total_rounds": config.num_rounds,
        "project_id": config.project_id,
    }


def _state(before: Meeting, after: Meeting) -> dict[str, Any]:
    topics = after.config.round_topics
    return {
        "state": after.state,
        "previous_state": before.state,
        "current_round": after.round_num,
        "total_rounds": after.config.num_rounds,
        "round_topic": topics[after.round_num - 1] if after.round_num else None,
        "progress_pct": after.progress_pct,
    }


def _attempt_started(
    before: Meeting, event: MeetingEvent, fact: AttemptStarted
) -> tuple[Frame, ...]:
    """Return the start of a turn's first attempt, after what its brief had to leave out.

    Only the last frame has a number: a client cut off between two of them resumes before them all.
    """
    task_state, manifest = before.task_state, fact.manifest
    waited = task_state is not None and task_state.give_up_at is not None
    warnings: list[Frame] = []
    if waited or fact.budget_reductions or manifest.shortened or manifest.dropped:
        notices = attempt_notices(before, fact)
        warnings = [_warning(event, each, is_numbered=False) for each in notices]
    if isinstance(fact.task, TurnTask) and fact.number == 1:
        speaker = _speaker(before, fact.task.round_num, fact.agent_id)
        start = _frame("meeting-turn-start", event, {**speaker, "attempt": fact.number})
        return (*warnings, start)
    if warnings:
        warnings[-1] = msgspec.structs.replace(warnings[-1], is_numbered=True)
    return tuple(warnings)


def _warning(event: MeetingEvent, notice: Notice, *, is_numbered: bool = True) -> Frame:
    return _frame("meeting-warning", event, _warning_fields(notice), is_numbered=is_numbered)


def _warning_fields(notice: Notice) -> dict[str, Any]:
    return {
        "message": notice.message,
        "severity": notice.severity,
        "code": notice.code,
        "agent_id": notice.agent_id,
        "round": notice.round_num,
        "attempt": notice.attempt,
    }


def _speaker(meeting: Meeting, round_num: int, agent_id: AgentId) -> dict[str, Any]:
    order = meeting.rounds[round_num - 1].order
    return {
        "round": round_num,
        "agent_id": agent_id,
        "agent_name": meeting.participant(agent_id).name,
        "turn_index": order.index(agent_id),
        "total_turns": len(order),
    }


def _turn(after: Meeting, finish_reason: str | None) -> dict[str, Any]:
    turn = after.turns[-1]
    return {
        **_speaker(after, turn.round_num, turn.agent_id),
        "response": turn.text,
        "is_cut": turn.is_cut,
        "speaks_for": turn.speaks_for,
        "finish_reason": finish_reason,
        "skipped_reason": turn.skipped_reason,
        "progress_pct": after.progress_pct,
        "prompt_tokens": turn.prompt_tokens,
        "response_tokens": turn.response_tokens,
        "usage_source": turn.usage_source,
        "attempts": turn.attempts,
    }


def _completed(after: Meeting) -> dict[str, Any]:
    outcome = after.outcome
    assert outcome is not None
    return {
        "state": after.state,
        "output_path": after.output_path,
        "progress_pct": after.progress_pct,
        "duration_seconds": round((after.updated_at - after.convened_at).total_seconds(), 3),
        "total_tokens": after.ledger.spent,
        "outcome": outcome_view(outcome),
    }


def _failed(after: Meeting) -> dict[str, Any]:
    held = (each.round_num for each in after.rounds if each.ending in ("complete", "partial"))
    return {
        "state": after.state,
        "error": error_message(after),
        "reason": after.failure,
        "last_completed_round": max(held, default=0),
    }
