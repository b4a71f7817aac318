"""Streams: one client's way through the feed, from the store first and then live."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import anyio
from eventsourcing.persistence import PersistenceError
from msgspec import Struct

from meeting_core.model import MeetingId
from meeting_service.feed.current_warnings import Warnings
from meeting_service.feed.encoded_events import (
    Delta,
    EncodedEvent,
    EventEncoder,
    LiveEvent,
    Unreadable,
)
from meeting_service.ports import Recorder

PAGE = 100
MAX_CHUNK_BYTES = 65_536
MAX_WAITING = 256
"""Items kept for a stream that does not take them; past that it reads the store again."""
MAX_WAITING_FOR_DELTAS = 64
"""Items after which a stream gets no more deltas, which may be lost."""

Item: TypeAlias = LiveEvent | Delta


class Subscription:
    """What waits for one stream, or the word that it must read the store from its last number.

    Invariant: while `is_behind`, nothing waits. A stream clears it before it reads the store, so
    that what was dropped is read and what comes meanwhile waits.
    """

    def __init__(self) -> None:
        self.is_behind = True
        self._waiting: deque[Item] = deque()
        # Unlike anyio's, it can be used again: a new one for every frame costs more than the frame.
        self._arrived = asyncio.Event()

    def push(self, item: Item) -> None:
        """Queue an item for the stream; fall behind if too many are queued."""
        if self.is_behind:
            return
        if isinstance(item, Delta) and len(self._waiting) >= MAX_WAITING_FOR_DELTAS:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.fall_behind()
            return
        self._waiting.append(item)
        self._arrived.set()

    def fall_behind(self) -> None:
        """Drop the queued items: the stream reads them from the store."""
        self._waiting.clear()
        self.is_behind = True
        self._arrived.set()

    def take(self) -> Item | None:
        """Return the next item; None if the queue is empty."""
        return self._waiting.popleft() if self._waiting else None

    async def until_items(self) -> None:
        """Wait until there is an item to take, or the stream is behind."""
        if not self._waiting and not self.is_behind:
            self._arrived.clear()
            await self._arrived.wait()


class Subscriptions:
    """Every open stream's subscription: to one meeting, or to all."""

    def __init__(self) -> None:
        self._to_all: set[Subscription] = set()
        self._to_one: dict[MeetingId, set[Subscription]] = {}
        self._arrival = anyio.Event()

    def __len__(self) -> int:
        return len(self._to_all) + sum(map(len, self._to_one.values()))

    def has_any(self, meeting_id: MeetingId | None = None) -> bool:
        """Return whether any stream is open; with a meeting, whether any shows that one."""
        if meeting_id is None:
            return bool(self._to_all or self._to_one)
        return bool(self._to_all) or meeting_id in self._to_one

    @contextmanager
    def open(self, meeting_id: MeetingId | None = None) -> Iterator[Subscription]:
        """Subscribe to one meeting, or to all, until the context ends."""
        subscription = Subscription()
        group = self._to_all if meeting_id is None else self._to_one.setdefault(meeting_id, set())
        group.add(subscription)
        self._arrival.set()
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if meeting_id is not None and not group:
                del self._to_one[meeting_id]

    def emit(self, item: Item) -> None:
        """Push an item to every stream that shows its meeting."""
        for subscription in self._to_one.get(item.meeting_id, ()):
            subscription.push(item)
        for subscription in self._to_all:
            subscription.push(item)

    def send_to_store(self) -> None:
        """Make every stream read the store."""
        for group in (self._to_all, *self._to_one.values()):
            for subscription in group:
                subscription.fall_behind()

    async def until_some(self) -> None:
        """Wait until a stream is opened, which may be closed again by then."""
        if not self.has_any():
            self._arrival = anyio.Event()
            await self._arrival.wait()


class Source(Struct, frozen=True):
    """What a stream reads the store with, and how long it waits while that is unreachable."""

    recorder: Recorder
    encoder: EventEncoder
    retry_seconds: float
    warnings: Warnings


class Stream(ABC):
    """What one client was shown, and what comes next.

    Invariant: numbers only grow, and no number in between is left out. Live items are a short cut:
    whenever they do not fit, the stream reads the store from its last number.
    """

    _new_warnings: Callable[[set[MeetingId]], list[bytes]]

    def __init__(self, source: Source, subscription: Subscription, last: int) -> None:
        self._source = source
        self._subscription = subscription
        self._last = last
        self._warned: set[MeetingId] = set()
        self._ready: deque[bytes] = deque()
        self._is_over = False

    async def take(self) -> bytes | None:
        """Wait for what comes next: whole frames, at least one; None when the stream is over.

        Cancelling it loses nothing.
        """
        while not self._ready:
            if self._is_over:
                return None
            elif self._subscription.is_behind:
                await self._catch_up()
            elif (item := self._subscription.take()) is not None:
                if isinstance(item, LiveEvent):
                    self._accept_live(item)
                else:
                    self._accept_delta(item)
            else:
                await self._subscription.until_items()
        return self._chunk()

    @abstractmethod
    async def _read(self) -> bool:
        """Show a page of what is stored after the last number; return whether more may follow."""

    @abstractmethod
    def _accept_live(self, live: LiveEvent) -> None:
        """Show a live event if it comes next."""

    @abstractmethod
    def _accept_delta(self, delta: Delta) -> None:
        """Show what a text grew by if its attempt is the open one here."""

    async def _catch_up(self) -> None:
        self._subscription.is_behind = False
        is_unfinished = True
        try:
            is_unfinished = await self._read()
            self._ready += [] if is_unfinished else self._new_warnings(self._warned)
        except PersistenceError:
            await anyio.sleep(self._source.retry_seconds)
        finally:
            if is_unfinished:
                self._subscription.fall_behind()

    def _show(self, number: int, frames: bytes) -> None:
        self._last = number
        if frames:
            self._ready.append(frames)

    def _warn(self, unreadable: Unreadable) -> None:
        """Warn of a meeting that cannot be read, once."""
        if unreadable.meeting_id not in self._warned:
            self._warned.add(unreadable.meeting_id)
            self._ready.append(unreadable.warning)

    def _chunk(self) -> bytes:
        """Join what is ready, as far as one send should go."""
        chunk = [self._ready.popleft()]
        size = len(chunk[0])
        while self._ready and size + len(self._ready[0]) <= MAX_CHUNK_BYTES:
            chunk.append(self._ready.popleft())
            size += len(chunk[-1])
        return b"".join(chunk)


class MeetingStream(Stream):
    """One meeting's feed, numbered by version; over after the meeting's last event.

    At an event that cannot be read it warns and stays open: it does not go past it.
    """

    def __init__(
        self, source: Source, subscription: Subscription, meeting_id: MeetingId, last: int
    ) -> None:
        super().__init__(source, subscription, last)
        self._meeting_id = meeting_id
        self._new_warnings = source.warnings.subscription(meeting_id)

    async def _read(self) -> bool:
        recorder, encoder = self._source.recorder, self._source.encoder
        stored_events = await recorder.select_events(self._meeting_id, gt=self._last, limit=PAGE)
        for stored in stored_events:
            event = await encoder.encode(stored)
            if isinstance(event, Unreadable):
                self._warn(event)
                return False
            self._add(event)
        return len(stored_events) == PAGE and not self._is_over

    def _accept_live(self, live: LiveEvent) -> None:
        event = live.event
        if isinstance(event, EncodedEvent) and event.version == self._last + 1:
            self._add(event)
        elif isinstance(event, Unreadable) or event.version > self._last:
            self._subscription.fall_behind()

    def _accept_delta(self, delta: Delta) -> None:
        if delta.version == self._last:
            self._ready.append(delta.encoded)

    def _add(self, event: EncodedEvent) -> None:
        self._show(event.version, event.with_id(event.version))
        self._is_over = event.is_last


class GlobalStream(Stream):
    """The feed of all meetings, or of one among them, numbered by position; never over.

    It warns of a meeting that cannot be read, and goes on with the others.
    """

    def __init__(
        self,
        source: Source,
        subscription: Subscription,
        last: int,
        meeting_id: MeetingId | None = None,
    ) -> None:
        super().__init__(source, subscription, last)
        self._meeting_id = meeting_id
        self._new_warnings = source.warnings.subscription(meeting_id)

    async def _read(self) -> bool:
        recorder, encoder = self._source.recorder, self._source.encoder
        stored_events = await recorder.select_notifications(
            self._last, PAGE, inclusive_of_start=False
        )
        for stored in stored_events:
            if self._meeting_id in (None, stored.originator_id):
                self._add(stored.id, await encoder.encode(stored))
            self._last = stored.id
        return len(stored_events) == PAGE

    def _accept_live(self, live: LiveEvent) -> None:
        if live.position > self._last:
            self._add(live.position, live.event)

    def _accept_delta(self, delta: Delta) -> None:
        if self._last <= delta.position:
            self._ready.append(delta.encoded)

    def _add(self, position: int, event: EncodedEvent | Unreadable) -> None:
        if isinstance(event, Unreadable):
            self._warn(event)
            self._last = position
        else:
            self._show(position, event.with_id(position))
