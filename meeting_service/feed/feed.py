"""The tail of the store: one reader of new events a process, for everybody who watches.

`Feed` is what the rest of the service uses::

    feed = Feed(meetings, poll_seconds=1.0)
    async with feed.following():             # in the application's lifespan
        feed.tell_delta(meeting, agent_id, text)   # a `ports.TellDelta`, for the runners
        with feed.meeting_stream(meeting, after=0) as stream:
            frames = await stream.take()
    feed.drain()                           # on SIGTERM: every response ends its stream

The event table is the truth. A notification only rings; the poll behind it finds what it missed.
Nothing is read while nobody watches.
"""

import logging
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio.lowlevel import checkpoint
from eventsourcing.persistence import Notification, PersistenceError

from meeting_core.errors import CorruptHistory
from meeting_core.model import AgentId, Meeting, MeetingId
from meeting_service.feed.deltas import Deltas
from meeting_service.feed.encoded_events import MeetingCache, open_attempt
from meeting_service.feed.streams import GlobalStream, MeetingStream, Source
from meeting_service.feed.subscriptions import Subscriptions
from meeting_service.meetings import Meetings

log = logging.getLogger(__name__)

PAGE = 200
MAX_CACHED_MEETINGS = 1_024
MIN_LOOK_SECONDS = 0.005
"""Time between two reads, so that a busy store is not read once an event."""
DELTA_SECONDS = 0.05
DELTA_PATIENCE_SECONDS = 1.0


class Feed:
    """Follows the store for whoever watches, and gives each of them a stream.

    Units: `poll_seconds` is how often it looks when nothing rings, and when the store is away.
    """

    def __init__(self, meetings: Meetings, *, poll_seconds: float = 1.0) -> None:
        self.meetings = meetings
        self.draining = anyio.Event()
        self._poll_seconds = poll_seconds
        self._source = Source(meetings, poll_seconds)
        self._subscriptions = Subscriptions()
        self._cache = MeetingCache(meetings, MAX_CACHED_MEETINGS)
        patience = math.ceil((poll_seconds + DELTA_PATIENCE_SECONDS) / DELTA_SECONDS)
        self._deltas = Deltas(self._cache, meetings.clock, patience)
        self._changed = anyio.Event()

    @property
    def watching(self) -> int:
        """How many streams are open."""
        return len(self._subscriptions)

    @asynccontextmanager
    async def following(self) -> AsyncIterator["Feed"]:
        """Follow the store until the context ends."""
        self.meetings.recorder.subscribe(self._notify)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tail)
            tasks.start_soon(self._emit_deltas)
            try:
                yield self
            finally:
                self.drain()
                tasks.cancel_scope.cancel()

    def drain(self) -> None:
        """Have every stream's response end now; its client resumes elsewhere."""
        self.draining.set()

    def emit_delta(self, meeting: Meeting, agent_id: AgentId, text: str) -> None:
        """Tell whoever watches the meeting that an agent's text grew; costs nothing if nobody."""
        if self._subscriptions.has_any(meeting.id):
            self._deltas.gather(meeting, agent_id, text)

    async def newest_position(self) -> int:
        """Say where the store ends now."""
        return await self.meetings.recorder.max_notification_id() or 0

    @contextmanager
    def meeting_stream(self, meeting: Meeting, after: int) -> Iterator[MeetingStream]:
        """Open one meeting's stream, from what follows the version `after`."""
        attempt = open_attempt(meeting) if meeting.version == after else None
        with self._subscriptions.open(meeting.id) as subscription:
            self._cache.learn(meeting)
            stream = MeetingStream(self._source, subscription, meeting.id, after, attempt)
            # A stream may stay open for hours; it does not need the meeting any more.
            del meeting
            yield stream

    @contextmanager
    def global_stream(
        self, after: int, meeting_id: MeetingId | None = None
    ) -> Iterator[GlobalStream]:
        """Open the stream of all meetings, or of one, from what follows the position `after`."""
        with self._subscriptions.open(meeting_id) as subscription:
            yield GlobalStream(self._source, subscription, after, meeting_id)

    def _notify(self) -> None:
        self._changed.set()

    async def _tail(self) -> None:
        while True:
            await self._subscriptions.until_some()
            try:
                position = await self.newest_position()
            except PersistenceError as error:
                log.warning("the feed waits for the database: %s", error)
                await anyio.sleep(self._poll_seconds)
                continue
            # What was stored up to here is nobody's but the store's to tell.
            self._subscriptions.send_to_store()
            await self._follow(position)
            self._cache.forget_all()

    async def _follow(self, position: int) -> None:
        """Tell everything stored after a position, until nobody watches any more."""
        while self._subscriptions.has_any():
            self._changed = anyio.Event()
            is_full = False
            try:
                news = await self.meetings.recorder.select_notifications(
                    position, PAGE, inclusive_of_start=False
                )
                for notification in news:
                    await self._emit(notification)
                    position = notification.id
                is_full = len(news) == PAGE
            except PersistenceError as error:
                log.warning("the feed waits for the database: %s", error)
            if not is_full:
                await anyio.sleep(MIN_LOOK_SECONDS)
                with anyio.move_on_after(self._poll_seconds):
                    await self._changed.wait()

    async def _emit(self, notification: Notification) -> None:
        meeting_id = notification.originator_id
        assert isinstance(meeting_id, MeetingId)
        if not self._subscriptions.has_any(meeting_id):
            return
        try:
            dispatch = await self._cache.dispatch(notification, notification.id)
        except CorruptHistory:
            log.exception("the feed leaves out the event at position %d", notification.id)
            return
        self._subscriptions.emit(dispatch)
        # A long page must not keep the streams from sending its beginning.
        await checkpoint()

    async def _emit_deltas(self) -> None:
        while True:
            await self._deltas.until_some()
            for delta in self._deltas.take():
                self._subscriptions.emit(delta)
            await anyio.sleep(DELTA_SECONDS)
