"""The quarantine over HTTP: the meetings that were put aside, and their release."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from meeting_core.model import milliseconds_utc
from meeting_service.command_handler import MeetingNotFound
from meeting_service.http.problems import NOT_QUARANTINED, HttpProblem
from meeting_service.http.service_context import ServiceContext, meeting_id_of, readable
from meeting_service.views import Time

MAX_MEETINGS = 1_000


class QuarantinedView(Struct, frozen=True):
    """A meeting that was put aside because it cannot be run; `state` is its last known one."""

    id: str
    title: str
    state: str
    reason: str
    since: Time


class QuarantineView(Struct, frozen=True):
    """The meetings in quarantine, the first put there first; at most 1,000 of them."""

    meetings: tuple[QuarantinedView, ...]


class ReleasedView(Struct, frozen=True):
    """The answer to a release: the meeting may be run again."""

    id: str
    released: bool


async def list_quarantined(context: NamedDependency[ServiceContext]) -> QuarantineView:
    """List the meetings in quarantine, and why they are there."""
    found = await context.meetings.recorder.select_quarantined(MAX_MEETINGS)
    return QuarantineView(
        tuple(
            QuarantinedView(
                str(each.meeting_id),
                each.title,
                each.state,
                each.reason,
                milliseconds_utc(each.since),
            )
            for each in found
        )
    )


@post(
    "/api/meetings/{meeting_id:str}/release",
    status_code=200,
    operation_id="release_meeting",
    tags=["quarantine"],
)
async def release_meeting(
    meeting_id: FromPath[str], context: NamedDependency[ServiceContext]
) -> ReleasedView:
    """Release a meeting from quarantine; a process takes it over within seconds."""
    found_id = meeting_id_of(meeting_id)
    recorder = context.meetings.recorder
    if not await recorder.release_quarantine(found_id):
        if not await recorder.select_events(found_id, limit=1):
            raise MeetingNotFound(found_id)
        raise HttpProblem(NOT_QUARANTINED, f"meeting {found_id} is not in quarantine")
    return ReleasedView(str(found_id), released=True)


quarantine_routes: list[ControllerRouterHandler] = [
    release_meeting,
    *readable(
        "/api/quarantine", list_quarantined, operation_id="list_quarantined", tags=["quarantine"]
    ),
]
