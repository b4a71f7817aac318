"""`GET /api/meetings/{id}/history`: the stored events themselves, for audits."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from meeting_core.model import MeetingEvent, MeetingId, milliseconds_utc
from meeting_service.http.queries import HistoryQuery, read_query
from meeting_service.http.service_context import ServiceContext, meeting_id_of, readable
from meeting_service.views import Time
from meeting_service.views.partial_history import UnreadableView, decode_readable

JSON = "application/json"
NDJSON = "application/x-ndjson"
STREAM_PAGE = 200

_encoder = msgspec.json.Encoder()


class StoredEventView(Struct, frozen=True):
    """One stored event: `name` is its stored name with its version, `data` the fact as stored."""

    version: int
    at: Time
    name: str
    data: dict[str, Any]
    event_id: str
    command_id: str
    actor: str


class HistoryView(Struct, frozen=True):
    """One page of a meeting's events.

    Shape: `version` is the meeting's newest; `next_after` is the `after` of the next
    page, if there is more. `unreadable` is the first event that cannot be read, if the page ends
    before it; nothing follows it.
    """

    id: str
    version: int
    events: tuple[StoredEventView, ...]
    has_more: bool
    next_after: int | None
    unreadable: UnreadableView | None


async def read_history(
    request: Request[Any, Any, Any],
    meeting_id: FromPath[str],
    context: NamedDependency[ServiceContext],
) -> Response[Any]:
    """Return the stored events after a version, oldest first, a page at a time.

    With `Accept: application/x-ndjson` it returns all of them, one a line.
    """
    found_id = meeting_id_of(meeting_id)
    query = read_query(request, HistoryQuery)
    newest = await context.meetings.recorder.select_events(found_id, desc=True, limit=1)
    if not newest:
        raise await context.meetings.missing(found_id)
    if request.accept.best_match([JSON, NDJSON], default=JSON) == NDJSON:
        return Stream(_lines(context, found_id, query.after), media_type=NDJSON)
    stored = await context.meetings.recorder.select_events(
        found_id, gt=query.after, limit=query.limit + 1
    )
    page, unreadable = decode_readable(context.meetings.mapper, stored[: query.limit])
    has_more = len(stored) > query.limit and unreadable is None
    version = max(newest[0].originator_version, *(each.originator_version for each in stored), 0)
    next_after = page[-1].originator_version if has_more else None
    return Response(
        HistoryView(str(found_id), version, _views(page), has_more, next_after, unreadable)
    )


async def _lines(
    context: ServiceContext, meeting_id: MeetingId, after: int
) -> AsyncIterator[bytes]:
    """Yield all events after a version as lines; no connection is held between two pages.

    The last line is an `error` if an event cannot be read.
    """
    recorder, mapper = context.meetings.recorder, context.meetings.mapper
    while stored := await recorder.select_events(meeting_id, gt=after, limit=STREAM_PAGE):
        events, unreadable = decode_readable(mapper, stored)
        yield _encoder.encode_lines(_views(events))
        if unreadable is not None:
            yield _encoder.encode_lines([{"error": unreadable}])
            return
        after = stored[-1].originator_version


def _views(events: Sequence[MeetingEvent]) -> tuple[StoredEventView, ...]:
    return tuple(
        StoredEventView(
            event.originator_version,
            milliseconds_utc(event.timestamp),
            event.fact.TOPIC,
            msgspec.to_builtins(event.fact),
            str(event.event_id),
            str(event.command_id),
            event.actor,
        )
        for event in events
    )


history_routes: list[ControllerRouterHandler] = [
    *readable(
        "/api/meetings/{meeting_id:str}/history",
        read_history,
        operation_id="read_history",
        tags=["meetings"],
    )
]
