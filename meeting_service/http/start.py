"""`POST /api/meetings/start`: from a body to a meeting that runs, once for each key."""

import re
from typing import Annotated, Any
from uuid import UUID, uuid5

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody

from meeting_core.errors import InvalidConfiguration, Problem
from meeting_core.model import Convene, Meeting, MeetingId
from meeting_core.projector import fold
from meeting_service.http.app_state import ServiceContext
from meeting_service.http.bodies import StartBody
from meeting_service.http.problems import KEY_REUSED, TOO_MANY, HttpProblem, invalid
from meeting_service.http.requests import StartRequest
from meeting_service.http.start_request import configuration, in_client_terms
from meeting_service.ports import VersionConflict
from meeting_service.views.config_views import StartedView, started_view

ACTOR = "http"
KEY_HEADER = "Idempotency-Key"
KEY_NAMESPACE = UUID("6f1d3c1e-8c0f-4e57-9d5a-0b6f6f0f7c11")
"""Fixed for ever: the same key always names the same meeting. Source: ADR 0009."""

BUSY_RETRY_SECONDS = 5
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@post(
    "/api/meetings/start",
    request_class=StartRequest,
    status_code=201,
    operation_id="start_meeting",
    tags=["meetings"],
)
async def start_meeting(
    request: Request[Any, Any, Any],
    data: JSONBody[StartBody],
    context: NamedDependency[ServiceContext],
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(name=KEY_HEADER, description="1 to 255 printable ASCII characters."),
    ] = None,
) -> StartedView:
    """Call a meeting; the answer comes at once, and the meeting runs on.

    With an `Idempotency-Key`, the same request again gives the same answer and starts nothing.
    """
    context.check_open()
    if idempotency_key is None:
        return started_view(await _convene(context, data, context.meetings.new_id(), ""))
    _check_key(request, idempotency_key)
    meeting_id = uuid5(KEY_NAMESPACE, idempotency_key)
    convened = await _as_convened(context, meeting_id)
    if convened is None:
        try:
            convened = await _convene(context, data, meeting_id, data.digest)
        except VersionConflict:
            # The same request, or another with its key, was a moment faster.
            convened = await _as_convened(context, meeting_id)
            if convened is None:
                raise
    if convened.request_digest != data.digest:
        detail = f"this {KEY_HEADER} was used for another request; use a new one"
        raise HttpProblem(KEY_REUSED, detail, meeting_id=meeting_id)
    return started_view(convened)


async def _convene(
    context: ServiceContext, body: StartBody, meeting_id: MeetingId, digest: str
) -> Meeting:
    config = await configuration(context, body)
    await _check_capacity(context)
    command = Convene(meeting_id, config, context.settings.limits, digest)
    try:
        return await context.supervisor.convene(command, ACTOR)
    except InvalidConfiguration as error:
        raise invalid(*in_client_terms(error.problems)) from None


async def _check_capacity(context: ServiceContext) -> None:
    most = context.settings.max_live_meetings
    if await context.meetings.recorder.count_live() >= most:
        detail = f"{most} meetings are under way, the most this service takes; try again later"
        raise HttpProblem(TOO_MANY, detail, retry_seconds=BUSY_RETRY_SECONDS)


async def _as_convened(context: ServiceContext, meeting_id: MeetingId) -> Meeting | None:
    """Give a meeting as it was when it was called, from its first event alone."""
    events = await context.meetings.events(meeting_id, limit=1)
    return fold(events) if events else None


def _check_key(request: Request[Any, Any, Any], key: str) -> None:
    if len(request.headers.getall(KEY_HEADER)) > 1:
        raise invalid(Problem(KEY_HEADER, "is there more than once"))
    if not _KEY.fullmatch(key) or not key.strip():
        raise invalid(Problem(KEY_HEADER, "must be 1 to 255 printable ASCII characters"))
