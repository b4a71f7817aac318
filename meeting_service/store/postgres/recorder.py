"""The recorder on PostgreSQL: appends through the group commit, reads through a pool."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Self
from uuid import UUID

import asyncpg
from eventsourcing.persistence import (
    Notification,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
)

from meeting_core.model import MeetingId
from meeting_service.ports import (
    NO_READ_MODELS,
    Lease,
    ReadModels,
    SummaryFilter,
    SummaryPage,
)
from meeting_service.store.notifier import Notifier
from meeting_service.store.postgres import rebuilding, rows
from meeting_service.store.postgres.append import Append
from meeting_service.store.postgres.persistence_errors import library_errors
from meeting_service.store.postgres.queries import QUERIES
from meeting_service.store.postgres.writer import Writer


class _PooledConnection(asyncpg.Connection):
    # Reads leave nothing behind in a session, and a RESET would be one more round trip each.
    def get_reset_query(self) -> str:
        return ""


class PostgresRecorder:
    """Records meetings in PostgreSQL. `open` makes one; `async with` or `aclose` ends it."""

    def __init__(self, dsn: str, pool: asyncpg.Pool, timeout_seconds: float) -> None:
        self._pool = pool
        self._notifier = Notifier()
        self._writer = Writer(dsn, self._notifier, timeout_seconds)

    @classmethod
    async def open(cls, dsn: str, *, most_readers: int = 8, timeout_seconds: float = 30.0) -> Self:
        """Connect to a database whose schema is current.

        Units: connections for reading; seconds that one statement may take.
        Raises: `OperationalError` when it is away, `ProgrammingError` when its schema is not ours.
        """
        with library_errors():
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=most_readers,
                connection_class=_PooledConnection,
                timeout=timeout_seconds,
                command_timeout=timeout_seconds,
                server_settings={"application_name": "meetings: reads", "jit": "off"},
            )
        recorder = cls(dsn, pool, timeout_seconds)
        try:
            await recorder._writer.open()
        except PersistenceError:
            pool.terminate()
            raise
        return recorder

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Commit what is queued, then disconnect."""
        await self._writer.aclose()
        self._pool.terminate()

    async def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        epoch: int | None = None,
        lease_owner: str | None = None,
        read_models: ReadModels = NO_READ_MODELS,
    ) -> Sequence[int] | None:
        """Append events of one meeting in one transaction; return their positions."""
        if not stored_events:
            return []
        return await self._writer.append(Append(stored_events, epoch, lease_owner, read_models))

    async def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Read one meeting's events between two versions."""
        if not isinstance(originator_id, UUID):
            raise ProgrammingError(f"a meeting's id is a UUID, not {originator_id!r}")
        name = "select_events_newest_first" if desc else "select_events"
        records = await self._fetch(name, originator_id, gt, lte, limit)
        return rows.stored_events(originator_id, records)

    async def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Read all meetings' events in commit order."""
        first = start if start is None or inclusive_of_start else start + 1
        wanted = list(topics) or None
        return rows.notifications(
            await self._fetch("select_notifications", first, stop, wanted, limit)
        )

    async def max_notification_id(self) -> int | None:
        """Read the newest position; none in an empty store."""
        position: int | None = await self._fetch_value("max_notification_id")
        return position

    async def select_summaries(self, wanted: SummaryFilter) -> SummaryPage:
        """List meetings, newest first, in one query."""
        created_at, meeting_id = wanted.before or (None, None)
        records = await self._fetch(
            "select_summaries",
            wanted.created_after,
            wanted.room_id,
            wanted.project_id,
            wanted.state,
            created_at,
            meeting_id,
            wanted.limit + 1,
            wanted.offset,
        )
        return rows.summary_page(records, wanted.limit)

    async def count_live(self) -> int:
        """Count the meetings that have not ended."""
        count: int = await self._fetch_value("count_live")
        return count

    async def claim_leases(
        self,
        owner: str,
        *,
        lease_seconds: float,
        limit: int,
        running: Collection[MeetingId] | None = None,
    ) -> Sequence[Lease]:
        """Claim live meetings that nobody runs; this renews the owner's own life too."""
        records = await self._fetch(
            "claim_leases", owner, lease_seconds, limit, None if running is None else list(running)
        )
        return [Lease(**record) for record in records]

    async def renew_leases(self, owner: str, *, lease_seconds: float) -> None:
        """Say that the owner lives: one row, whatever the number of its leases."""
        await self._fetch_value("renew_leases", owner, lease_seconds)

    async def release_leases(self, owner: str) -> None:
        """Give all the owner's leases up, without their next claim counting as a crash."""
        await self._fetch_value("release_leases", owner)

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Have `ring` called when something was appended, by anyone; it may be missed."""
        self._notifier.subscribe(notify)

    async def ping(self) -> None:
        """Return when reads are answered and appends are taken."""
        self._writer.check()
        await self._fetch_value("ping")

    async def select_meeting_ids(
        self, *, after: MeetingId | None, limit: int
    ) -> Sequence[MeetingId]:
        """Name every meeting that has events or rows, in the order of their ids."""
        return [
            record["meeting_id"] for record in await self._fetch("select_meeting_ids", after, limit)
        ]

    async def select_read_models(self, meeting_id: MeetingId) -> ReadModels:
        """Read the rows that are stored for a meeting."""
        with library_errors():
            async with self._pool.acquire() as connection:
                return await rebuilding.select_read_models(connection, meeting_id)

    async def correct_read_models(
        self, meeting_id: MeetingId, project: rebuilding.Project
    ) -> tuple[ReadModels, ReadModels]:
        """Replace a meeting's rows by what its events say; return them as they were and are."""
        with library_errors():
            async with self._pool.acquire() as connection:
                return await rebuilding.correct_read_models(connection, meeting_id, project)

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        with library_errors():
            records: list[asyncpg.Record] = await self._pool.fetch(QUERIES[name], *arguments)
            return records

    async def _fetch_value(self, name: str, *arguments: object) -> Any:
        with library_errors():
            return await self._pool.fetchval(QUERIES[name], *arguments)
