"""One meeting over HTTP: status, spending, output, cancel; and the list of meetings."""

from datetime import timedelta
from functools import partial
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from meeting_core import spending
from meeting_core.errors import Problem
from meeting_core.model import Cancel, Meeting, MeetingId, Phase, milliseconds_utc
from meeting_service.http.bodies import CancelBody
from meeting_service.http.control import control_routes, handle_command
from meeting_service.http.json_body import OptionalJsonRequest
from meeting_service.http.problems import NOT_COMPLETE, HttpProblem, invalid
from meeting_service.http.queries import ListQuery, read_query
from meeting_service.http.service_context import ServiceContext, meeting_id_of, readable
from meeting_service.http.start import start_meeting
from meeting_service.ports import SummaryFilter
from meeting_service.views import Time
from meeting_service.views.meeting_status import StatusView, output_md, status_view
from meeting_service.views.outcome import OutcomeView, outcome_view
from meeting_service.views.partial_history import load_readable
from meeting_service.views.spending import SpendingView, spending_view
from meeting_service.views.summaries import ListView, list_meetings, place_of
from meeting_service.views.wait_reasons import WaitingView, waiting_view


class CancelledView(Struct, frozen=True):
    """The answer to a cancel; repeating it gives the same."""

    id: str
    state: str
    cancelled_at: Time


class CancelRequest(OptionalJsonRequest):
    """A request to cancel a meeting; it may have no body."""

    body_type = CancelBody


class OutputView(Struct, frozen=True):
    """The minutes of a complete meeting, and where they were saved."""

    id: str
    output_md: str
    output_path: str | None
    outcome: OutcomeView


async def list_all(
    request: Request[Any, Any, Any], context: NamedDependency[ServiceContext]
) -> ListView:
    """List the meetings of the last days, newest first, a page at a time."""
    query = read_query(request, ListQuery)
    try:
        before = None if query.cursor is None else place_of(query.cursor)
    except ValueError:
        raise invalid(Problem("cursor", "is not the next_cursor of a page")) from None
    wanted = SummaryFilter(
        created_after=context.meetings.clock() - timedelta(days=query.days),
        room_id=query.room_id,
        project_id=query.project_id,
        state=query.state,
        limit=query.limit,
        offset=query.offset,
        before=before,
    )
    return await list_meetings(
        context.meetings.recorder, wanted, partial(_missing_gateway, context)
    )


async def read_status(
    meeting_id: FromPath[str], context: NamedDependency[ServiceContext]
) -> StatusView:
    """Show everything about one meeting, folded from its events at this moment.

    One that cannot be read to its end is shown as far as it can be.
    """
    found_id = meeting_id_of(meeting_id)
    readable = await load_readable(context.meetings, found_id)
    meeting, events = readable.meeting, readable.events
    quarantined = await context.meetings.recorder.quarantine_reason(found_id)
    waiting = None
    takes_commands = quarantined is None and readable.unreadable is None
    if takes_commands:
        waiting = _waiting_outside(context, found_id) or waiting_view(meeting, events)
    return status_view(
        meeting, spending(events), waiting, quarantined, takes_commands=takes_commands
    )


async def read_spending(
    meeting_id: FromPath[str], context: NamedDependency[ServiceContext]
) -> SpendingView:
    """Show what a meeting spent, by call and in sum."""
    meeting, events = await context.meetings.history(meeting_id_of(meeting_id))
    return spending_view(meeting, spending(events))


async def read_output(
    meeting_id: FromPath[str], context: NamedDependency[ServiceContext]
) -> OutputView:
    """Return the minutes of a complete meeting."""
    meeting = await context.meetings.load(meeting_id_of(meeting_id))
    markdown = output_md(meeting)
    if markdown is None or meeting.outcome is None:
        raise HttpProblem(NOT_COMPLETE, _no_output(meeting))
    outcome = outcome_view(meeting.outcome)
    return OutputView(str(meeting.id), markdown, meeting.output_path, outcome)


@post(
    "/api/meetings/{meeting_id:str}/cancel",
    request_class=CancelRequest,
    status_code=200,
    operation_id="cancel_meeting",
    tags=["meetings"],
)
async def cancel_meeting(
    meeting_id: FromPath[str],
    context: NamedDependency[ServiceContext],
    data: JSONBody[CancelBody | None] = None,
) -> CancelledView:
    """Cancel a meeting; what was finished is kept, a call under way is aborted."""
    reason = data.reason if data is not None else ""
    meeting = await handle_command(context, meeting_id, Cancel(reason))
    assert meeting.ended_at is not None, "a cancelled meeting has ended"
    return CancelledView(str(meeting.id), meeting.state, milliseconds_utc(meeting.ended_at))


def _waiting_outside(context: ServiceContext, meeting_id: MeetingId) -> WaitingView | None:
    """Return what a meeting waits for that its events do not have."""
    wait = context.supervisor.call_slot_wait(meeting_id)
    if wait is None:
        return _missing_gateway(context, meeting_id)
    return WaitingView(
        reason="call_slot",
        gateway=wait.gateway,
        since=milliseconds_utc(wait.began_at),
        calls_ahead=wait.calls_ahead,
    )


def _missing_gateway(context: ServiceContext, meeting_id: MeetingId) -> WaitingView | None:
    wait = context.supervisor.gateway_wait(meeting_id)
    if wait is None:
        return None
    return WaitingView(
        reason="gateway",
        gateway=wait.gateway,
        since=milliseconds_utc(wait.since),
        until=milliseconds_utc(wait.until),
    )


def _no_output(meeting: Meeting) -> str:
    if meeting.phase in (Phase.CANCELLED, Phase.ERROR):
        return f"the meeting ended without minutes: {meeting.state}"
    return f"the minutes are not written yet: the meeting is {meeting.state}"


meeting_routes: list[ControllerRouterHandler] = [
    start_meeting,
    cancel_meeting,
    *control_routes,
    *readable("/api/meetings", list_all, operation_id="list_meetings", tags=["meetings"]),
    *readable(
        "/api/meetings/history",
        list_all,
        operation_id="list_meetings_as_history",
        tags=["meetings"],
    ),
    *readable(
        "/api/meetings/{meeting_id:str}/status",
        read_status,
        operation_id="read_status",
        tags=["meetings"],
    ),
    *readable(
        "/api/meetings/{meeting_id:str}/spending",
        read_spending,
        operation_id="read_spending",
        tags=["meetings"],
    ),
    *readable(
        "/api/meetings/{meeting_id:str}/output",
        read_output,
        operation_id="read_output",
        tags=["meetings"],
    ),
]
