"""What the store's tests share: stores to test, and events and rows that show what matters."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import asyncpg
from eventsourcing.persistence import StoredEvent
from psycopg.conninfo import conninfo_to_dict

from meeting_core.model import MeetingId
from meeting_service.ports import ReadModels, Recorder, SummaryRow, TurnRow
from meeting_service.store.memory import InMemoryRecorder
from meeting_service.store.postgres.recorder import PostgresRecorder

START = datetime(2026, 11, 23, 10, 45, tzinfo=UTC)
LONG = 3_600.0
"""Seconds; a lease of this length does not run out by itself in a test."""

TIMEOUT_SECONDS = 30.0


class Store(ABC):
    """A store under test, as one process sees it, and what only a test may do to it."""

    recorder: Recorder

    @abstractmethod
    async def another_process(self) -> Recorder:
        """Return a recorder as another process would open it."""

    @abstractmethod
    async def expire(self, owner: str) -> None:
        """Make the owner's leases expire."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Advance the store's clock since gateways were last waited for."""


class InMemoryStore(Store):
    def __init__(self) -> None:
        self.now = START
        self.recorder = InMemoryRecorder(lambda: self.now)

    async def another_process(self) -> Recorder:
        return self.recorder

    async def expire(self, owner: str) -> None:
        await self.pass_time(2 * LONG)

    async def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class PostgresStore(Store):
    def __init__(self, dsn: str, stack: AsyncExitStack) -> None:
        self.dsn = dsn
        self._stack = stack

    async def another_process(self) -> PostgresRecorder:
        return await self._stack.enter_async_context(await PostgresRecorder.open(self.dsn))

    async def expire(self, owner: str) -> None:
        await self.run("UPDATE meetings_owners SET expires_at = now() WHERE owner = $1", owner)
        await self.run(
            "UPDATE meetings_leases SET leased_at = leased_at - $1::interval",
            timedelta(seconds=2 * LONG),
        )

    async def pass_time(self, seconds: float) -> None:
        passed = timedelta(seconds=seconds)
        await self.run(
            "UPDATE meetings_gateway_waits SET noted_at = noted_at - $1::interval", passed
        )

    async def isolate_by_default(self, level: str) -> None:
        """Set the database's default isolation level, for new connections."""
        name = conninfo_to_dict(self.dsn)["dbname"]
        await self.run(f"ALTER DATABASE {name} SET default_transaction_isolation TO '{level}'")

    async def run(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement on a connection of its own."""
        connection = await asyncpg.connect(self.dsn)
        try:
            records: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return records
        finally:
            await connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Hold a transaction open on a connection of its own, and roll it back."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("BEGIN")
            yield connection
        finally:
            await connection.close()


def event(meeting_id: MeetingId, version: int = 1, topic: str = "topic") -> StoredEvent:
    return StoredEvent(meeting_id, version, topic, b'{"n":%d}' % version)


def events(meeting_id: MeetingId, *versions: int) -> list[StoredEvent]:
    return [event(meeting_id, version) for version in versions]


def summary(meeting_id: MeetingId | None = None, **changes: Any) -> SummaryRow:
    row: dict[str, Any] = {
        "meeting_id": meeting_id or uuid4(),
        "title": "Weekly",
        "goal": "Ship it",
        "state": "round_1",
        "is_live": True,
        "participant_names": ("Ann", "Bob"),
        "num_rounds": 3,
        "room_id": None,
        "project_id": None,
        "parent_meeting_id": None,
        "output_path": None,
        "gateways": ("default",),
        "created_at": START,
        "ended_at": None,
    }
    return SummaryRow(**{**row, **changes})


def turn(meeting_id: MeetingId, turn_index: int = 0, **changes: Any) -> TurnRow:
    row: dict[str, Any] = {
        "meeting_id": meeting_id,
        "round_num": 1,
        "turn_index": turn_index,
        "agent_id": "ann",
        "skipped_reason": None,
        "prompt_tokens": 100,
        "response_tokens": 20,
        "usage_source": "reported",
        "attempts": 1,
        "started_at": START,
        "ended_at": START + timedelta(seconds=1, microseconds=7),
    }
    return TurnRow(**{**row, **changes})


async def convene(
    recorder: Recorder,
    *,
    owner: str | None = None,
    max_live: int | None = None,
    **changes: Any,
) -> UUID:
    """Store the first event of a meeting and its row in the list."""
    meeting_id: UUID = changes.pop("meeting_id", None) or uuid4()
    await recorder.insert_events(
        events(meeting_id, 1),
        lease_owner=owner,
        max_live=max_live,
        read_models=ReadModels(summary(meeting_id, **changes)),
    )
    return meeting_id


async def end(recorder: Recorder, meeting_id: UUID, version: int, **changes: Any) -> None:
    """Store the last event of a meeting."""
    row = summary(meeting_id, state="complete", is_live=False, **changes)
    await recorder.insert_events(events(meeting_id, version), read_models=ReadModels(row))


async def versions(recorder: Recorder, meeting_id: UUID) -> list[int]:
    """Read which versions of a meeting are stored."""
    return [stored.originator_version for stored in await recorder.select_events(meeting_id)]


async def outcome(awaitable: Awaitable[object]) -> object:
    """Return what a call returns, or the error it raises."""
    try:
        return await awaitable
    except Exception as error:
        return error


async def together(*calls: Awaitable[object]) -> list[object]:
    """Run calls at the same time; give what each returns or raises, in their order."""
    results: dict[int, object] = {}

    async def one(place: int, call: Awaitable[object]) -> None:
        results[place] = await outcome(call)

    async with anyio.create_task_group() as tasks:
        for place, call in enumerate(calls):
            tasks.start_soon(one, place, call)
    return [results[place] for place in range(len(calls))]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so, by asking."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        while not await is_so():  # noqa: ASYNC110 - what is asked has no event
            await anyio.sleep(0.005)
