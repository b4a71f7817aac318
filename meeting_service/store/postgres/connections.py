"""Connections to the database: how each is set up, and one that comes back when it was lost."""

import asyncio

import asyncpg
from eventsourcing.persistence import OperationalError

from meeting_service.store.postgres.persistence_errors import DRIVER_ERRORS, translated
from meeting_service.store.postgres.queries import QUERIES

MAX_CONNECT_SECONDS = 60.0


async def connect(
    dsn: str, application_name: str, timeout_seconds: float = MAX_CONNECT_SECONDS
) -> asyncpg.Connection:
    """Connect, with the settings that every session needs.

    They are set after connecting, because poolers refuse them as parameters of the start.
    Raises: what asyncpg raises when the database is unreachable.
    """
    connection = await asyncpg.connect(dsn, timeout=timeout_seconds)
    try:
        await connection.execute(
            QUERIES["configure_session"], application_name, timeout=timeout_seconds
        )
    except BaseException:
        connection.terminate()
        raise
    return connection


class OwnConnection:
    """One connection that serves one purpose, so that nothing else keeps it waiting.

    It connects when it is first needed, and again after it was lost.
    """

    def __init__(self, dsn: str, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._is_closed = False

    async def fetch(
        self, name: str, *arguments: object, timeout_seconds: float
    ) -> list[asyncpg.Record]:
        """Send the statement of that name, one at a time; return its rows.

        Raises: `PersistenceError`; `OperationalError` if there is no answer in time.
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._lock:
                return await self._fetch(name, *arguments)
        except TimeoutError as error:
            raise OperationalError(
                f"the database did not answer within {timeout_seconds:g} s"
            ) from error
        except DRIVER_ERRORS as error:
            raise translated(error) from error

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        if self._is_closed:
            raise OperationalError("the store is closed")
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, self._application_name)
        connection = self._connection
        try:
            records: list[asyncpg.Record] = await connection.fetch(QUERIES[name], *arguments)
        except asyncpg.PostgresError:
            raise
        except BaseException:
            # Late or broken: the next statement shall not wait for what became of this one.
            connection.terminate()
            raise
        return records

    def close(self) -> None:
        """Disconnect for good."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.terminate()
