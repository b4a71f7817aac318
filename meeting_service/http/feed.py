"""The feed over HTTP: `GET /api/meetings/{id}/events` and `GET /api/events`, as server-sent events.

`feed_routes` is a list of handlers for the application. They take two dependencies by name::

    Litestar(
        [*feed_routes, ...],
        dependencies={
            "feed": Provide(lambda: feed, sync_to_thread=False),            # a `read.tail.Feed`
            "feed_policy": Provide(lambda: policy, sync_to_thread=False),   # a `FeedPolicy`
        },
    )

The lifespan holds `feed.tailing()` open. `feed.drain()`, called when the server is told to stop,
ends every stream; without it the server would wait for them for ever.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any
from uuid import UUID

import anyio
from anyio.lowlevel import checkpoint
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.exceptions import ClientException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, HeaderParameter
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler, Receive, Send
from msgspec import Struct

from meeting_core.meeting import Meeting
from meeting_service.handling import MeetingNotFound
from meeting_service.read.streams import Stream
from meeting_service.read.tail import Feed

log = logging.getLogger(__name__)

PING = b": ping\n\n"
STOPPING = b": the service is stopping\n\n"
PING_SHARE = 0.9
"""A ping leaves this much before it is due, so that it arrives in time."""
LAST_WORDS_SECONDS = 1.0
MOST_DIGITS = 18

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-store",
    # A proxy that buffers would hold every event back.
    "x-accel-buffering": "no",
}


class FeedPolicy(Struct, frozen=True):
    """How streams are kept.

    Units: seconds and milliseconds, as the names say. `send_timeout_seconds` is how long a client
    may not read before it is dropped; `retry_milliseconds` is when it is asked to come back.
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

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send the stream; nothing needs waiting for when it is left."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_gone, receive, tasks.cancel_scope)
            flowing = anyio.CancelScope()
            tasks.start_soon(self._until_draining, flowing)
            is_reading = True
            with flowing, self._stream as stream:
                is_reading = await self._flow(stream, send)
            if is_reading:
                await self._finish(send, STOPPING if flowing.cancelled_caught else b"")
            tasks.cancel_scope.cancel()

    async def _flow(self, stream: Stream, send: Send) -> bool:
        """Send what the stream gives, and pings; say whether the client still reads."""
        opening = b": feed\nretry: %d\n\n" % self._policy.retry_milliseconds
        is_reading = await self._send(send, opening)
        ping_seconds = self._policy.ping_seconds * PING_SHARE
        ping_at = anyio.current_time() + ping_seconds
        while is_reading:
            chunk: bytes | None = PING
            with anyio.CancelScope(deadline=ping_at) as waiting:
                chunk = await stream.take()
            if waiting.cancelled_caught:
                ping_at = anyio.current_time() + ping_seconds
            if chunk is None:
                return True
            is_reading = await self._send(send, chunk)
        return False

    async def _send(self, send: Send, chunk: bytes) -> bool:
        """Send a chunk; say whether the client took it in time."""
        with anyio.move_on_after(self._policy.send_timeout_seconds) as sending:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        # To a client that is gone, sending returns at once; the task that notices must get a turn.
        await checkpoint()
        if sending.cancelled_caught:
            log.info("a client of the feed does not read; its stream is closed")
        return not sending.cancelled_caught

    async def _finish(self, send: Send, last_words: bytes) -> None:
        with anyio.move_on_after(LAST_WORDS_SECONDS):
            await send({"type": "http.response.body", "body": last_words, "more_body": False})

    async def _until_gone(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _until_draining(self, scope: anyio.CancelScope) -> None:
        await self._draining.wait()
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
        """Send only the headers to whoever asks for no more."""
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
    """Watch one meeting from its first event, or from what follows the last one seen."""
    meeting = await _meeting(feed, meeting_id)
    after = _resume_point(last_event_id_header, last_event_id) or 0
    if after > meeting.version:
        raise _beyond(after, meeting.version)
    if meeting.has_ended and after == meeting.version:
        return Response("", status_code=204, headers={"cache-control": HEADERS["cache-control"]})
    return EventStream(feed.meeting_stream(meeting, after), feed.draining, feed_policy)


async def watch_all(
    feed: NamedDependency[Feed],
    feed_policy: NamedDependency[FeedPolicy],
    last_event_id_header: LastEventIdHeader = None,
    last_event_id: FromQuery[str | None] = None,
    meeting_id: FromQuery[str | None] = None,
) -> Response[str]:
    """Watch all meetings, or one, from now on, or from what follows the last event seen."""
    only = None if meeting_id is None else (await _meeting(feed, meeting_id)).id
    newest = await feed.newest_position()
    after = _resume_point(last_event_id_header, last_event_id)
    if after is None:
        after = newest
    elif after > newest:
        raise _beyond(after, newest)
    return EventStream(feed.global_stream(after, only), feed.draining, feed_policy)


async def _meeting(feed: Feed, meeting_id: str) -> Meeting:
    try:
        return await feed.meetings.load(UUID(meeting_id))
    except (ValueError, MeetingNotFound):
        raise NotFoundException(f"there is no meeting {meeting_id}") from None


def _resume_point(header: str | None, query: str | None) -> int | None:
    """Read the number of the last event a client has seen; an empty one says nothing."""
    given = header or query
    if not given:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= MOST_DIGITS):
        name = "header Last-Event-ID" if header else "query parameter last_event_id"
        raise ClientException(
            f"{name} is {given[:40]!r}; it must be the id of an event of the feed"
        )
    return int(given)


def _beyond(after: int, newest: int) -> ClientException:
    return ClientException(
        f"the last event id is {after}, but the newest event is {newest}; "
        "leave it out to start from the beginning"
    )


def _routes(path: str, handler: Callable[..., Any]) -> list[ControllerRouterHandler]:
    return [
        get(path, media_type="text/event-stream", tags=["feed"])(handler),
        HTTPRouteHandler(path, http_method=HttpMethod.HEAD, include_in_schema=False)(handler),
    ]


feed_routes: list[ControllerRouterHandler] = [
    *_routes("/api/meetings/{meeting_id:str}/events", watch_meeting),
    *_routes("/api/events", watch_all),
]
