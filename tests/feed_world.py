"""A feed over a recorder in memory, and an independent reader of what it sends."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import anyio
from anyio.lowlevel import checkpoint
from eventsourcing.persistence import Notification, OperationalError, StoredEvent
from msgspec import Struct
from msgspec.structs import replace

from meeting_core import Fact, Meeting
from meeting_core.model import MeetingEvent
from meeting_service.background_loops import BackgroundLoops
from meeting_service.command_handler import Meetings
from meeting_service.feed import feed as feed_module
from meeting_service.feed.feed import Feed
from meeting_service.feed.streams import Stream
from meeting_service.store.memory import InMemoryRecorder
from tests.builders import (
    MEETING_ID,
    START,
    Later,
    attempt_failed,
    attempt_started,
    convened,
    history,
    round_opened,
    turn,
    turn_completed,
)

OTHER_ID = UUID("00000000-0000-4000-8000-000000000002")
MAX_WAIT_SECONDS = 20


class ShakyRecorder(InMemoryRecorder):
    """A recorder that may be unreachable, or never notify; it counts what is read."""

    def __init__(self, *, has_notifications: bool = True) -> None:
        super().__init__(lambda: START)
        self.has_notifications = has_notifications
        self.is_unreachable = False
        self.fault: Exception | None = None
        self.reads = 0
        self.history_reads = 0
        self.history_events_read = 0
        self.looked_after = -1

    def subscribe(self, notify: Callable[[], None]) -> None:
        if self.has_notifications:
            super().subscribe(notify)

    def _count(self) -> None:
        self.reads += 1
        if self.is_unreachable:
            raise OperationalError("the database is unreachable")
        if self.fault is not None:
            raise self.fault

    async def select_events(self, *args: Any, **kwargs: Any) -> Sequence[StoredEvent]:
        self.history_reads += 1
        self._count()
        events = await super().select_events(*args, **kwargs)
        self.history_events_read += len(events)
        return events

    async def select_notifications(
        self, start: int | None, limit: int, *args: Any, **kwargs: Any
    ) -> Sequence[Notification]:
        self._count()
        if limit == feed_module.PAGE:
            self.looked_after = start or 0
        return await super().select_notifications(start, limit, *args, **kwargs)

    async def max_notification_id(self) -> int | None:
        self._count()
        return await super().max_notification_id()


class Shown(Struct, frozen=True):
    """One event of a stream as a client reads it."""

    id: int | None
    event: str
    data: dict[str, Any]


class World:
    """Histories that can be stored bit by bit while a feed follows."""

    def __init__(self, feed: Feed, recorder: ShakyRecorder, loops: BackgroundLoops) -> None:
        self.feed = feed
        self.loops = loops
        self.recorder = recorder
        self.meetings = feed.meetings

    async def store(self, *events: MeetingEvent) -> None:
        """Commit events, all at once."""
        stored = [self.meetings.mapper.to_stored_event(event) for event in events]
        await self.recorder.insert_events(stored)

    async def tailed(self) -> None:
        """Wait until the feed has shown what is stored."""
        newest = len(self.recorder._log)
        await until(lambda: self.recorder.looked_after >= newest)

    async def load(self, meeting_id: UUID = MEETING_ID) -> Meeting:
        return await self.meetings.load(meeting_id)


@asynccontextmanager
async def feed_world(
    *, has_notifications: bool = True, poll_seconds: float = 0.02
) -> AsyncIterator[World]:
    """Hold a feed open over an empty recorder."""
    recorder = ShakyRecorder(has_notifications=has_notifications)
    loops = BackgroundLoops(first_backoff_seconds=0.01, max_backoff_seconds=0.05)
    feed = Feed(Meetings(recorder, lambda: START), poll_seconds=poll_seconds, loops=loops)
    with anyio.fail_after(MAX_WAIT_SECONDS):
        async with feed.following():
            yield World(feed, recorder, loops)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, by looking."""
    with anyio.fail_after(MAX_WAIT_SECONDS):
        while not is_so():  # noqa: ASYNC110 - what is looked at has no event
            await anyio.sleep(0.002)


async def until_still(count: Callable[[], int]) -> None:
    """Wait until something that is counted has not grown for a while."""
    seen, looks = count(), 0
    with anyio.fail_after(MAX_WAIT_SECONDS):
        while looks < 50:
            await anyio.sleep(0.002)
            looks = looks + 1 if count() == seen else 0
            seen = count()


def read_events(text: bytes) -> list[Shown]:
    """Read whole events by the rules of the standard, comments left out."""
    found = []
    for block in text.decode().split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                assert name not in fields, f"{name} is there twice in {block!r}"
                fields[name] = value.removeprefix(" ")
        if "data" in fields:
            number = int(fields["id"]) if "id" in fields else None
            found.append(Shown(number, fields["event"], json.loads(fields["data"])))
    return found


def named(shown: Iterable[Shown]) -> list[tuple[int | None, str]]:
    """Reduce events to their numbers and names."""
    return [(each.id, each.event) for each in shown]


async def take(stream: Stream, count: int) -> list[Shown]:
    """Read a stream until it has shown that many events, or to its end."""
    found: list[Shown] = []
    while len(found) < count:
        chunk = await stream.take()
        if chunk is None:
            break
        found.extend(read_events(chunk))
    return found


async def take_all(stream: Stream) -> list[Shown]:
    """Read a stream to its end."""
    return await take(stream, sys.maxsize)


async def go_live(world: World, stream: Stream) -> None:
    """Wait until the feed and a stream have read all that is stored."""
    await world.tailed()
    with anyio.move_on_after(0.01) as waiting:
        await stream.take()
    assert waiting.cancelled_caught
    assert not stream._subscription.is_behind


async def settle() -> None:
    """Wait until every task is blocked."""
    for _ in range(50):
        await checkpoint()


def of_another(
    events: Iterable[MeetingEvent], meeting_id: UUID = OTHER_ID
) -> tuple[MeetingEvent, ...]:
    """Return the same history for another meeting."""
    return tuple(replace(event, originator_id=meeting_id) for event in events)


def interleaved(events: Sequence[MeetingEvent], meetings: int) -> Iterator[MeetingEvent]:
    """Return the same history for several meetings, whose events alternate."""
    for event in events:
        for number in range(meetings):
            yield replace(event, originator_id=UUID(int=number + 1))


def long_history(attempts: int, text: str = "Done.") -> tuple[MeetingEvent, ...]:
    """A meeting in its first turn, after so many attempts that failed."""

    facts: list[Fact | Later] = [convened(), round_opened(1)]
    for number in range(1, attempts + 1):
        facts.append(attempt_started(turn(), number))
        facts.append(attempt_failed(turn(), number, detail=text, retry_at=START))
    last = attempts + 1
    return history(*facts, attempt_started(turn(), last), turn_completed(number=last))
