"""The feed over HTTP: `GET /api/meetings/{id}/events` and `GET /api/events`, as server-sent events.

`feed_routes` is a list of handlers for the application. They take two dependencies by name::

    Litestar(
        [*feed_routes, ...],
        dependencies={
            "feed": Provide(lambda: feed, sync_to_thread=False),            # a `feed.feed.Feed`
            "feed_policy": Provide(lambda: policy, sync_to_thread=False),   # a `FeedPolicy`
        },
    )

The lifespan holds `feed.following()` open. `feed.drain()`, called when the server is to stop, ends
every stream; without it the server would wait for them for ever.
"""

import logging
from contextlib import AbstractContextManager
from time import monotonic
from typing import Annotated, Any

import anyio
from anyio.lowlevel import checkpoint
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.params import FromPath, FromQuery, HeaderParameter
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler, Receive, Send
from msgspec import Struct

from meeting_core.errors import CorruptHistory, Problem
from meeting_core.model import Meeting, MeetingId
from meeting_service.command_handler import Meetings
from meeting_service.feed.feed import Feed
from meeting_service.feed.streams import Stream
from meeting_service.http.problems import invalid
from meeting_service.http.service_context import meeting_id_of, readable

log = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
PING = b": ping\n\n"
STOPPING = b": the service is stopping\n\n"
PING_SHARE = 0.9
"""A ping leaves this much before it is due, so that it arrives in time."""
FINISH_SECONDS = 1.0
MAX_DIGITS = 18

HEADERS = {
    "content-type": f"{MEDIA_TYPE}; charset=utf-8",
    "cache-control": "no-cache, no-store",
    # A proxy that buffers would hold every event back.
    "x-accel-buffering": "no",
}


class FeedPolicy(Struct, frozen=True):
    """How streams are kept.

    Units: seconds and milliseconds, as the names say. A client that does not read for
    `send_timeout_seconds` is dropped, at the latest when half as much again has passed;
    `retry_milliseconds` is when a client is asked to come back.
    """

    ping_seconds: float = 15.0
    send_timeout_seconds: float = 30.0
    retry_milliseconds: int = 2_000


class EventStreamResponse(ASGIResponse):
    """Sends a stream until it is over, its client is gone or too slow, or the service stops."""

    _should_set_content_length = False

    def __init__(
        self,
        stream: AbstractContextManager[Stream],
        draining: anyio.Event,
        policy: FeedPolicy,
        *,
        is_head_response: bool,
    ) -> None:
        super().__init__(headers=HEADERS, is_head_response=is_head_response)
        self._stream = stream
        self._draining = draining
        self._policy = policy
        self._sending_since: float | None = None

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the stream to its end."""
        async with anyio.create_task_group() as tasks:
            sending = anyio.CancelScope()
            tasks.start_soon(self._until_gone, receive, tasks.cancel_scope)
            tasks.start_soon(self._watch_client, send, sending)
            with sending, self._stream as stream:
                await self._send_all(stream, send)
            await self._finish(send, STOPPING if self._draining.is_set() else b"")
            tasks.cancel_scope.cancel()

    async def _send_all(self, stream: Stream, send: Send) -> None:
        await self._send(send, b": feed\nretry: %d\n\n" % self._policy.retry_milliseconds)
        while await self._send(send, await stream.take()):
            # To a client that is gone, sending returns at once: let the task run that notices.
            await checkpoint()

    async def _send(self, send: Send, chunk: bytes | None) -> bool:
        """Send a chunk; return whether there was one."""
        if chunk is None:
            return False
        self._sending_since = monotonic()
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._sending_since = None
        return True

    async def _watch_client(self, send: Send, sending: anyio.CancelScope) -> None:
        """Ping at intervals; end the stream when the service stops or the client does not read.

        Checking at intervals saves a timer for every single frame.
        """
        check_seconds = min(
            self._policy.ping_seconds * PING_SHARE, self._policy.send_timeout_seconds / 2
        )
        while not self._draining.is_set():
            with anyio.move_on_after(check_seconds):
                await self._draining.wait()
                break
            if not await self._is_reading(send):
                log.info("a client of the feed does not read; its stream is closed")
                break
        sending.cancel()

    async def _is_reading(self, send: Send) -> bool:
        """Return whether the client reads; if nothing is being sent, send it a ping."""
        since, timeout = self._sending_since, self._policy.send_timeout_seconds
        if since is not None:
            return monotonic() - since < timeout
        with anyio.move_on_after(timeout) as pinging:
            await send({"type": "http.response.body", "body": PING, "more_body": True})
        return not pinging.cancelled_caught

    async def _finish(self, send: Send, last_chunk: bytes) -> None:
        with anyio.move_on_after(FINISH_SECONDS):
            await send({"type": "http.response.body", "body": last_chunk, "more_body": False})

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()


class EventStream(Response[str]):
    """What a handler returns to send a stream."""

    def __init__(
        self,
        stream: AbstractContextManager[Stream],
        draining: anyio.Event,
        policy: FeedPolicy,
    ) -> None:
        super().__init__("")
        self._parts = (stream, draining, policy)

    def to_asgi_response(
        self, app: Any, request: Request[Any, Any, Any], **_: Any
    ) -> EventStreamResponse:
        """Return the response; a HEAD request gets only its headers."""
        is_head = request.method == HttpMethod.HEAD
        return EventStreamResponse(*self._parts, is_head_response=is_head)


LastEventIdHeader = Annotated[str | None, HeaderParameter(name="Last-Event-ID")]


async def watch_meeting(
    meeting_id: FromPath[str],
    feed: NamedDependency[Feed],
    feed_policy: NamedDependency[FeedPolicy],
    last_event_id_header: LastEventIdHeader = None,
    last_event_id: FromQuery[str | None] = None,
) -> Response[str]:
    """Watch one meeting from its first event, or from what follows the last event seen.

    Answers 204 when the meeting has ended and nothing is left to send.
    """
    watched = meeting_id_of(meeting_id)
    newest, meeting = await _find(feed.meetings, watched)
    after = _resume_point(last_event_id_header, last_event_id, newest) or 0
    if meeting is not None and meeting.has_ended and after == newest:
        return Response("", status_code=204, headers={"cache-control": HEADERS["cache-control"]})
    return EventStream(feed.meeting_stream(watched, after, meeting), feed.draining, feed_policy)


async def watch_meetings(
    feed: NamedDependency[Feed],
    feed_policy: NamedDependency[FeedPolicy],
    last_event_id_header: LastEventIdHeader = None,
    last_event_id: FromQuery[str | None] = None,
    meeting_id: FromQuery[str | None] = None,
) -> Response[str]:
    """Watch all meetings, or one, from now on, or from what follows the last event seen."""
    only = None
    if meeting_id is not None:
        only = meeting_id_of(meeting_id)
        await _find(feed.meetings, only)
    newest = await feed.newest_position()
    after = _resume_point(last_event_id_header, last_event_id, newest)
    stream = feed.global_stream(newest if after is None else after, only)
    return EventStream(stream, feed.draining, feed_policy)


async def _find(meetings: Meetings, meeting_id: MeetingId) -> tuple[int, Meeting | None]:
    """Return a meeting's newest version, and the meeting; None if it cannot be read.

    Raises: `MeetingNotFound`, or the store's error.
    """
    try:
        meeting = await meetings.load(meeting_id)
    except CorruptHistory:
        newest = await meetings.recorder.select_events(meeting_id, desc=True, limit=1)
        return (newest[0].originator_version if newest else 0), None
    return meeting.version, meeting


def _resume_point(header: str | None, query: str | None, newest: int) -> int | None:
    """Return the number of the last event that a client has seen; None if it sent none.

    Raises: `HttpProblem` 400 for a value that is no number, or beyond the newest.
    """
    given, field = (header, "Last-Event-ID") if header else (query, "last_event_id")
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= MAX_DIGITS):
        raise invalid(Problem(field, f"is {given[:40]!r}, which is no id of an event"))
    if int(given) > newest:
        detail = f"is {given}, but the newest event is {newest}; leave it out to begin anew"
        raise invalid(Problem(field, detail))
    return int(given)


feed_routes: list[ControllerRouterHandler] = [
    *readable(
        "/api/meetings/{meeting_id:str}/events",
        watch_meeting,
        operation_id="watch_meeting",
        summary="Watch one meeting",
        tags=["feed"],
        media_type=MEDIA_TYPE,
    ),
    *readable(
        "/api/events",
        watch_meetings,
        operation_id="watch_meetings",
        summary="Watch all meetings",
        tags=["feed"],
        media_type=MEDIA_TYPE,
    ),
]
