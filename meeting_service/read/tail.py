"""The tail of the store: one reader of new events a process, for everybody who watches.

`Feed` is what the rest of the service uses::

    feed = Feed(meetings, poll_seconds=1.0)
    async with feed.tailing():             # in the application's lifespan
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
from meeting_core.meeting import Meeting
from meeting_core.vocabulary import AgentId, MeetingId
from meeting_service.handling import Meetings
from meeting_service.read.deltas import Deltas
from meeting_service.read.dispatches import Folds, open_attempt
from meeting_service.read.streams import GlobalStream, MeetingStream, Source
from meeting_service.read.subscriptions import Subscriptions

log = logging.getLogger(__name__)

PAGE = 200
FOLDS_KEPT = 1_024
SHORTEST_LOOK_SECONDS = 0.005
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
        self._folds = Folds(meetings, FOLDS_KEPT)
        patience = math.ceil((poll_seconds + DELTA_PATIENCE_SECONDS) / DELTA_SECONDS)
        self._deltas = Deltas(self._folds, meetings.clock, patience)
        self._bell = anyio.Event()

    @property
    def watching(self) -> int:
        """How many streams are open."""
        return len(self._subscriptions)

    @asynccontextmanager
    async def tailing(self) -> AsyncIterator["Feed"]:
        """Follow the store until the context ends."""
        self.meetings.recorder.listen(self._ring)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tail)
            tasks.start_soon(self._tell_deltas)
            try:
                yield self
            finally:
                self.drain()
                tasks.cancel_scope.cancel()

    def drain(self) -> None:
        """Have every stream's response end now; its client resumes elsewhere."""
        self.draining.set()

    def tell_delta(self, meeting: Meeting, agent_id: AgentId, text: str) -> None:
        """Tell whoever watches the meeting that an agent's text grew; costs nothing if nobody."""
        if self._subscriptions.are_there(meeting.id):
            self._deltas.gather(meeting, agent_id, text)

    async def newest_position(self) -> int:
        """Say where the store ends now."""
        return await self.meetings.recorder.max_notification_id() or 0

    @contextmanager
    def meeting_stream(self, meeting: Meeting, after: int) -> Iterator[MeetingStream]:
        """Open one meeting's stream, from what follows the version `after`."""
        attempt = open_attempt(meeting) if meeting.version == after else None
        with self._subscriptions.open(meeting.id) as subscription:
            self._folds.learn(meeting)
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

    def _ring(self) -> None:
        self._bell.set()

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
            self._folds.forget_all()

    async def _follow(self, position: int) -> None:
        """Tell everything stored after a position, until nobody watches any more."""
        while self._subscriptions.are_there():
            self._bell = anyio.Event()
            is_full = False
            try:
                news = await self.meetings.recorder.select_notifications(
                    position, PAGE, inclusive_of_start=False
                )
                for notification in news:
                    await self._tell(notification)
                    position = notification.id
                is_full = len(news) == PAGE
            except PersistenceError as error:
                log.warning("the feed waits for the database: %s", error)
            if not is_full:
                await anyio.sleep(SHORTEST_LOOK_SECONDS)
                with anyio.move_on_after(self._poll_seconds):
                    await self._bell.wait()

    async def _tell(self, notification: Notification) -> None:
        meeting_id = notification.originator_id
        assert isinstance(meeting_id, MeetingId)
        if not self._subscriptions.are_there(meeting_id):
            return
        try:
            dispatch = await self._folds.dispatch(notification, notification.id)
        except CorruptHistory:
            log.exception("the feed leaves out the event at position %d", notification.id)
            return
        self._subscriptions.tell(dispatch)
        # A long page must not keep the streams from sending its beginning.
        await checkpoint()

    async def _tell_deltas(self) -> None:
        while True:
            await self._deltas.until_some()
            for delta in self._deltas.take():
                self._subscriptions.tell(delta)
            await anyio.sleep(DELTA_SECONDS)
