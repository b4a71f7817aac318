"""Frames: what each fact of a meeting tells whoever watches it. Pure.

A frame is one named event of the feed. A fact leads to at most one numbered frame, after which a
client may resume; a fact without a frame still has its number, and a client may resume there too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

import msgspec
from msgspec import Struct

from meeting_core.model import (
    Adopted,
    AgentId,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetRaised,
    Cancelled,
    Completed,
    Convened,
    Failed,
    Meeting,
    MeetingEvent,
    OpenAttempt,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
    RoundDigested,
    RoundOpened,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    TurnCompleted,
    TurnSkipped,
    TurnTask,
    milliseconds_utc,
)
from meeting_service.feed.notices import (
    Notice,
    abandoned_attempt,
    adoption,
    budget_reduction,
    cut_rounds,
    drafted,
    failed_attempt,
    poor_digest,
    poor_synthesis,
    raised_budget,
    returned_gateway,
    shortened_brief,
)
from meeting_service.views.config_views import outcome_view
from meeting_service.views.transcript import error_message

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
        """Write the frame as it goes over the wire, all but its `id:`.

        JSON escapes every line break of the standard, so no text can end the line and forge a
        frame; we escape those that some clients end a line at besides.
        """
        data = _encoder.encode(self.data)
        if not data.isascii():
            for separator, escape in _SEPARATORS:
                data = data.replace(separator, escape)
        return b"event: %b\ndata: %b\n\n" % (self.event.encode(), data)


def frames_of(before: Meeting | None, event: MeetingEvent, after: Meeting) -> tuple[Frame, ...]:
    """Say what an event tells, from the meeting before it and after it."""
    if before is None:
        return (_frame("meeting-started", event, _started(after)),)
    fact = event.fact
    match fact:
        case RoundOpened() | Paused() | Resumed():
            return (_frame("meeting-state", event, _state(before, after)),)
        case AttemptStarted():
            return _attempt_started(before, event, fact)
        case TurnCompleted() | TurnSkipped():
            return (_frame("meeting-turn", event, _turn(after)),)
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
        case AttemptFailed():
            return _warned(event, failed_attempt(after, fact))
        case AttemptAbandoned():
            return _warned(event, abandoned_attempt(after, fact))
        case Adopted():
            return _warned(event, adoption(fact))
        case RoundClosed():
            return _warned(event, cut_rounds(fact))
        case RoundDigested():
            return _warned(event, poor_digest(fact))
        case SynthesisDrafted():
            return _warned(event, drafted(fact))
        case SynthesisCompleted():
            return _warned(event, poor_synthesis(fact))
        case BudgetRaised():
            return _warned(event, raised_budget(fact))
        case RemarkMade() | Convened():
            return ()
        case _:
            assert_never(fact)


def delta_frame(
    meeting: Meeting, attempt: OpenAttempt, task: TurnTask, text: str, at: datetime
) -> Frame:
    """Tell by how much a speaker's text grew in an attempt.

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
        "participants": [seat.agent_id for seat in config.participants],
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
    """Tell the first attempt of a turn, and what its brief had to leave out.

    Warnings go first, and only the last frame has a number: a client cut off between two of them
    resumes before them all.
    """
    told = (returned_gateway, budget_reduction, shortened_brief)
    notices = [notice for emit in told if (notice := emit(before, fact)) is not None]
    if not isinstance(fact.task, TurnTask) or fact.number > 1:
        last = len(notices) - 1
        return tuple(
            frame
            for n, notice in enumerate(notices)
            for frame in _warned(event, notice, is_numbered=n == last)
        )
    started = _frame(
        "meeting-turn-start",
        event,
        {**_speaker(before, fact.task.round_num, fact.agent_id), "attempt": fact.number},
    )
    warnings = (_warned(event, notice, is_numbered=False) for notice in notices)
    return (*(frame for frames in warnings for frame in frames), started)


def _warned(
    event: MeetingEvent, notice: Notice | None, *, is_numbered: bool = True
) -> tuple[Frame, ...]:
    if notice is None:
        return ()
    fields = {
        "message": notice.message,
        "severity": notice.severity,
        "code": notice.code,
        "agent_id": notice.agent_id,
        "round": notice.round_num,
        "attempt": notice.attempt,
    }
    return (_frame("meeting-warning", event, fields, is_numbered=is_numbered),)


def _speaker(meeting: Meeting, round_num: int, agent_id: AgentId) -> dict[str, Any]:
    order = meeting.rounds[round_num - 1].order
    return {
        "round": round_num,
        "agent_id": agent_id,
        "agent_name": meeting.participant(agent_id).name,
        "turn_index": order.index(agent_id),
        "total_turns": len(order),
    }


def _turn(after: Meeting) -> dict[str, Any]:
    turn = after.turns[-1]
    return {
        **_speaker(after, turn.round_num, turn.agent_id),
        "response": turn.text,
        "is_cut": turn.is_cut,
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
