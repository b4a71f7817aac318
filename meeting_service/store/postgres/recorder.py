"""The recorder on PostgreSQL: appends through the group commit, reads through a pool."""

from collections.abc import Callable, Sequence
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
    Quarantined,
    ReadModels,
    SummaryFilter,
    SummaryPage,
)
from meeting_service.store.postgres import rebuilding, rows
from meeting_service.store.postgres.append_request import Append
from meeting_service.store.postgres.connect import Connector, Dsn, connector_for
from meeting_service.store.postgres.group_commit import Writer
from meeting_service.store.postgres.leases import PostgresLeases
from meeting_service.store.postgres.persistence_errors import DRIVER_ERRORS, translated
from meeting_service.store.postgres.readers import MAX_READERS, Readers
from meeting_service.store.postgres.statements import QUERIES


class PostgresRecorder(PostgresLeases):
    """Records meetings in PostgreSQL. `open` makes one; `async with` or `aclose` ends it."""

    def __init__(self, connector: Connector, readers: Readers, timeout_seconds: float) -> None:
        super().__init__(connector, timeout_seconds)
        self._readers = readers
        self._writer = Writer(connector, timeout_seconds, self._expire)

    @classmethod
    async def open(
        cls,
        dsn: Dsn,
        *,
        readers: Dsn | None = None,
        max_readers: int = MAX_READERS,
        timeout_seconds: float = 30.0,
    ) -> Self:
        """Connect to a database whose schema is current.

        `readers` is another address of the same database, for reading alone.
        Units: connections for reading; seconds that one statement may take.
        Raises: `OperationalError` when it is unreachable, `ProgrammingError` when its schema is
        not ours.
        """
        connector = connector_for(dsn)
        reading = connector if readers is None else connector_for(readers)
        try:
            opened = await Readers.open(reading, max_readers, timeout_seconds)
        except DRIVER_ERRORS as error:
            raise translated(error) from error
        recorder = cls(connector, opened, timeout_seconds)
        try:
            await recorder._writer.open()
            await recorder._connect()
        except DRIVER_ERRORS as error:
            await recorder.aclose()
            raise translated(error) from error
        except PersistenceError:
            await recorder.aclose()
            raise
        return recorder

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Commit what is queued, then disconnect."""
        await self._writer.aclose()
        self._disconnect()
        self._readers.terminate()

    async def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        epoch: int | None = None,
        lease_owner: str | None = None,
        max_live: int | None = None,
        read_models: ReadModels = NO_READ_MODELS,
    ) -> Sequence[int] | None:
        """Append events of one meeting in one transaction; return their positions."""
        if not stored_events:
            return []
        return await self._writer.append(
            Append(stored_events, epoch, lease_owner, read_models, max_live)
        )

    async def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return one meeting's events between two versions."""
        if not isinstance(originator_id, UUID):
            raise ProgrammingError(f"a meeting's id is a UUID, not {originator_id!r}")
        name = "select_events_newest_first" if desc else "select_events"
        records = await self._fetch(name, originator_id, gt, lte, limit)
        return [
            StoredEvent(originator_id, version, topic, state) for version, topic, state in records
        ]

    async def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return all meetings' events in commit order."""
        first = start if start is None or inclusive_of_start else start + 1
        wanted = list(topics) or None
        records = await self._fetch("select_notifications", first, stop, wanted, limit)
        return [
            Notification(
                id=position,
                originator_id=meeting_id,
                originator_version=version,
                topic=topic,
                state=state,
            )
            for position, meeting_id, version, topic, state in records
        ]

    async def max_notification_id(self) -> int | None:
        """Return the newest position; None in an empty store."""
        position: int | None = await self._fetch_value("max_notification_id")
        return position

    async def select_summaries(self, wanted: SummaryFilter) -> SummaryPage:
        """Return one page of the meetings, newest first, in one query."""
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
        """Count the meetings that have not ended and are not quarantined."""
        count: int = await self._fetch_value("count_live")
        return count

    async def select_quarantined(self, limit: int) -> Sequence[Quarantined]:
        """Return the meetings in quarantine, the first put there first."""
        records = await self._fetch("select_quarantined", limit)
        return [Quarantined(**record) for record in records]

    async def quarantine_reason(self, meeting_id: MeetingId) -> str | None:
        """Return why a meeting is in quarantine; None if it is not."""
        reason: str | None = await self._fetch_value("quarantine_reason", meeting_id)
        return reason

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after each append of any process; a call may be missed."""
        self._writer.subscribe(on_change)

    async def ping(self) -> None:
        """Return when reads are answered and appends are taken."""
        self._writer.check()
        await self._fetch_value("ping")

    async def select_meeting_ids(
        self, *, after: MeetingId | None, limit: int
    ) -> Sequence[MeetingId]:
        """Return every meeting that has events or rows, in the order of their ids."""
        return [
            record["meeting_id"] for record in await self._fetch("select_meeting_ids", after, limit)
        ]

    async def select_read_models(self, meeting_id: MeetingId) -> ReadModels:
        """Return the rows that are stored for a meeting."""
        async with self._readers.lend() as connection:
            return await rebuilding.select_read_models(connection, meeting_id)

    async def correct_read_models(
        self, meeting_id: MeetingId, project: rebuilding.Project
    ) -> tuple[ReadModels, ReadModels]:
        """Replace a meeting's rows by what its events say; return them as they were and are."""
        async with self._readers.lend() as connection:
            return await rebuilding.correct_read_models(connection, meeting_id, project)

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._readers.lend() as connection:
            records: list[asyncpg.Record] = await connection.fetch(QUERIES[name], *arguments)
        return records

    async def _fetch_value(self, name: str, *arguments: object) -> Any:
        records = await self._fetch(name, *arguments)
        return records[0][0] if records else None

    def _expire(self) -> None:
        """Connect anew for what comes next: the writer did, perhaps to another host."""
        super()._expire()
        self._readers.expire()
