"""What a meeting that makes no call waits for, as far as its events say."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct, field

from meeting_core.model import (
    AttemptFailed,
    Meeting,
    MeetingEvent,
    Paused,
    Phase,
    TaskState,
    milliseconds_utc,
)
from meeting_core.steps import WaitForGateway, WaitUntil, next_step
from meeting_service.views import Time

WaitReason: TypeAlias = Literal["call_slot", "gateway", "retry", "budget"]


class WaitingView(Struct, frozen=True, kw_only=True):
    """What a meeting waits for: a call slot of a busy gateway, a gateway that is unreachable, or
    that no process has, the time of its next attempt, or a higher budget.

    Shape: `gateway` is null while it waits for a budget, `until` if nothing bounds the wait, and
    `calls_ahead` except for a call slot. Only the process that runs a meeting knows that it waits
    for a call slot; any other process answers that the meeting does not wait.
    """

    reason: WaitReason = field(name="for")
    gateway: str | None = None
    since: Time
    until: Time | None = None
    calls_ahead: int | None = None


def waiting_view(meeting: Meeting, events: Sequence[MeetingEvent]) -> WaitingView | None:
    """Return what a meeting waits for; None if it does not wait, or if only its process knows."""
    if meeting.phase is Phase.PAUSED:
        if meeting.pause_cause != "budget":
            return None
        return WaitingView(reason="budget", since=_time_of_last(Paused, events))
    task_state = meeting.task_state
    if meeting.has_ended or task_state is None or task_state.open is not None:
        return None
    step = next_step(meeting)
    match step:
        case WaitUntil():
            since = _time_of_last(AttemptFailed, events)
            until = milliseconds_utc(step.at)
            return WaitingView(reason="retry", gateway=step.then.gateway, since=since, until=until)
        case WaitForGateway():
            since = milliseconds_utc(_unreachable_since(meeting, task_state))
            until = milliseconds_utc(step.until)
            return WaitingView(reason="gateway", gateway=step.gateway, since=since, until=until)
        case _:
            return None


def _unreachable_since(meeting: Meeting, task_state: TaskState) -> datetime:
    """Return when a call first could not reach the gateway; the time to wait counts from then."""
    assert task_state.give_up_at is not None
    return task_state.give_up_at - timedelta(
        seconds=meeting.config.gateway_reconnect_timeout_seconds
    )


def _time_of_last(fact: type[Paused | AttemptFailed], events: Sequence[MeetingEvent]) -> str:
    return next(
        milliseconds_utc(event.timestamp)
        for event in reversed(events)
        if isinstance(event.fact, fact)
    )
