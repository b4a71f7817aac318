"""Subscriptions: each stream's share of the live feed, bounded, and who shares what."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import anyio

from meeting_core.model import MeetingId
from meeting_service.feed.encoded_events import Delta, EncodedEvent

Item: TypeAlias = EncodedEvent | Delta

MAX_WAITING = 256
"""Items kept for a stream that does not take them; past that it reads the store again."""

MAX_WAITING_FOR_DELTAS = 64
"""Items after which a stream gets no more deltas, which may be lost."""


class Subscription:
    """What waits for one stream, or the word that it must read the store from its last number.

    Invariant: while `is_behind`, nothing waits; whoever clears it reads the store afterwards, so
    that what was dropped is read and what comes meanwhile waits.
    """

    def __init__(self) -> None:
        self.is_behind = True
        self._waiting: deque[Item] = deque()
        # Unlike anyio's, it can be used again: a new one for every frame costs more than the frame.
        self._arrived = asyncio.Event()

    def push(self, item: Item) -> None:
        """Let an item wait for the stream, or fall behind when too many do."""
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
        """Drop what waits: the stream reads it from the store."""
        self._waiting.clear()
        self.is_behind = True
        self._arrived.set()

    def take(self) -> Item | None:
        """Give the next item; none when there is none."""
        return self._waiting.popleft() if self._waiting else None

    async def until_items(self) -> None:
        """Wait until there is an item to take, or the stream is behind."""
        if not self._waiting and not self.is_behind:
            self._arrived.clear()
            await self._arrived.wait()


class Subscriptions:
    """Everybody who watches: one meeting, or all of them."""

    def __init__(self) -> None:
        self._to_all: set[Subscription] = set()
        self._to_one: dict[MeetingId, set[Subscription]] = {}
        self._arrival = anyio.Event()

    def __len__(self) -> int:
        return len(self._to_all) + sum(map(len, self._to_one.values()))

    def has_any(self, meeting_id: MeetingId | None = None) -> bool:
        """Say whether anybody watches; with a meeting, whether anybody watches that one."""
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
        """Give an item to everybody who watches its meeting."""
        for subscription in self._to_one.get(item.meeting_id, ()):
            subscription.push(item)
        for subscription in self._to_all:
            subscription.push(item)

    def send_to_store(self) -> None:
        """Have everybody read the store: what was stored so far may not have been told."""
        for group in (self._to_all, *self._to_one.values()):
            for subscription in group:
                subscription.fall_behind()

    async def until_some(self) -> None:
        """Wait until somebody watches, who may have left again."""
        if not self.has_any():
            self._arrival = anyio.Event()
            await self._arrival.wait()
