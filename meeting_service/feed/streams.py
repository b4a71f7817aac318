"""Streams: one client's way through the feed, from the store first and then as it happens."""

import logging
from abc import ABC, abstractmethod
from collections import deque
from typing import assert_never

import anyio
from eventsourcing.persistence import Notification, PersistenceError
from msgspec import Struct

from meeting_core.errors import CorruptHistory
from meeting_core.model import MeetingId, Version
from meeting_service.feed.encoded_events import Delta, EncodedEvent, MeetingCache
from meeting_service.feed.subscriptions import Subscription
from meeting_service.meetings import Meetings

log = logging.getLogger(__name__)

PAGE = 100
MAX_CHUNK = 65_536
MAX_CACHED_MEETINGS = 64


class Source(Struct, frozen=True):
    """Where a stream reads what is stored, and how long it waits when the store is away.

    Units: seconds.
    """

    meetings: Meetings
    retry_seconds: float


class Stream(ABC):
    """What one client has been told, and what comes next.

    Invariant: numbers only grow, and none in between is left out. Live items are a short cut:
    whenever they do not fit, the stream reads the store from its last number.
    """

    def __init__(self, source: Source, subscription: Subscription, last: int) -> None:
        self._source = source
        self._subscription = subscription
        self._last = last
        self._cache = MeetingCache(source.meetings, MAX_CACHED_MEETINGS)
        self._open: dict[MeetingId, Version] = {}
        self._ready: deque[bytes] = deque()
        self._is_over = False

    async def take(self) -> bytes | None:
        """Wait for what comes next: whole frames, at least one; none when the stream is over.

        Cancelling it loses nothing.
        """
        while not self._ready:
            if self._is_over:
                return None
            elif self._subscription.is_behind:
                await self._catch_up()
            elif (item := self._subscription.take()) is not None:
                self._accept(item)
            else:
                await self._subscription.until_items()
        return self._chunk()

    @abstractmethod
    async def _read(self) -> bool:
        """Accept a page of what is stored after the last number; say whether more may follow."""

    @abstractmethod
    def _accept_dispatch(self, dispatch: EncodedEvent) -> None:
        """Make a live dispatch ready if it comes next."""

    async def _catch_up(self) -> None:
        self._subscription.is_behind = False
        is_unfinished = True
        try:
            is_unfinished = await self._read()
        except CorruptHistory:
            log.exception("a stream of the feed ends early")
            self._is_over = True
        except PersistenceError as error:
            log.debug("a stream of the feed waits for the database: %s", error)
            await anyio.sleep(self._source.retry_seconds)
        finally:
            if is_unfinished:
                self._subscription.fall_behind()
            else:
                self._cache.forget_all()

    def _accept(self, item: EncodedEvent | Delta) -> None:
        match item:
            case EncodedEvent():
                self._accept_dispatch(item)
            case Delta():
                if self._open.get(item.meeting_id) == item.attempt:
                    self._ready.append(item.encoded)
            case _:
                assert_never(item)

    def _emit(self, dispatch: EncodedEvent, number: int, encoded: bytes) -> None:
        self._last = number
        if dispatch.open_attempt is None:
            self._open.pop(dispatch.meeting_id, None)
        else:
            self._open[dispatch.meeting_id] = dispatch.open_attempt
        if encoded:
            self._ready.append(encoded)

    def _chunk(self) -> bytes:
        """Join what is ready, as far as one send should go."""
        chunk = [self._ready.popleft()]
        size = len(chunk[0])
        while self._ready and size + len(self._ready[0]) <= MAX_CHUNK:
            chunk.append(self._ready.popleft())
            size += len(chunk[-1])
        return b"".join(chunk)


class MeetingStream(Stream):
    """One meeting's feed, numbered by version; over after the meeting's last event."""

    def __init__(
        self,
        source: Source,
        subscription: Subscription,
        meeting_id: MeetingId,
        last: int,
        attempt: Version | None,
    ) -> None:
        super().__init__(source, subscription, last)
        self._meeting_id = meeting_id
        if attempt is not None:
            self._open[meeting_id] = attempt

    async def _read(self) -> bool:
        recorder = self._source.meetings.recorder
        stored = await recorder.select_events(self._meeting_id, gt=self._last, limit=PAGE)
        for event in stored:
            self._add(await self._cache.dispatch(event))
        return len(stored) == PAGE and not self._is_over

    def _accept_dispatch(self, dispatch: EncodedEvent) -> None:
        if dispatch.version == self._last + 1:
            self._add(dispatch)
        elif dispatch.version > self._last:
            self._subscription.fall_behind()

    def _add(self, dispatch: EncodedEvent) -> None:
        self._emit(dispatch, dispatch.version, dispatch.by_version)
        self._is_over = dispatch.is_last


class GlobalStream(Stream):
    """The feed of all meetings, or of one among them, numbered by position; never over."""

    def __init__(
        self,
        source: Source,
        subscription: Subscription,
        last: int,
        meeting_id: MeetingId | None = None,
    ) -> None:
        super().__init__(source, subscription, last)
        self._meeting_id = meeting_id

    async def _read(self) -> bool:
        recorder = self._source.meetings.recorder
        stored = await recorder.select_notifications(self._last, PAGE, inclusive_of_start=False)
        for notification in stored:
            if self._meeting_id in (None, notification.originator_id):
                await self._add_stored(notification)
            self._last = notification.id
        return len(stored) == PAGE

    async def _add_stored(self, notification: Notification) -> None:
        try:
            self._add(await self._cache.dispatch(notification, notification.id))
        except CorruptHistory:
            # One unreadable meeting must not keep the others from whoever watches all of them.
            log.exception("the feed leaves out the event at position %d", notification.id)

    def _accept_dispatch(self, dispatch: EncodedEvent) -> None:
        if dispatch.position > self._last:
            self._add(dispatch)

    def _add(self, dispatch: EncodedEvent) -> None:
        self._emit(dispatch, dispatch.position, dispatch.by_position)
