"""The pool of connections that read, over sessions of their own or over a pooler's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from eventsourcing.persistence import OperationalError

from meeting_service.store.postgres.connect import Connector
from meeting_service.store.postgres.persistence_errors import (
    DRIVER_ERRORS,
    is_not_writable,
    translated,
)

APPLICATION_NAME = "meetings: reads"
MAX_READERS = 8
MAX_ACQUIRE_SECONDS = 10.0
"""How long a read waits for one of the pool's connections."""


class _PooledConnection(asyncpg.Connection):
    # Reads leave nothing behind in a session, and a RESET would be one more round trip each.
    def get_reset_query(self) -> str:
        return ""


class Readers:
    """Lends connections for reading. `open` makes one."""

    def __init__(self, pool: asyncpg.Pool, connector: Connector, timeout_seconds: float) -> None:
        self._pool = pool
        self._connector = connector
        self._max_acquire_seconds = min(MAX_ACQUIRE_SECONDS, timeout_seconds)
        self._is_expired = False

    @classmethod
    async def open(cls, connector: Connector, max_readers: int, timeout_seconds: float) -> Self:
        """Connect once, and later up to `max_readers` times.

        Raises: what asyncpg raises when the database is unreachable.
        """

        async def connect(*_: object, **options: Any) -> asyncpg.Connection:
            return await connector.connect(APPLICATION_NAME, timeout_seconds, **options)

        pool = await asyncpg.create_pool(
            min_size=1,
            max_size=max_readers,
            connection_class=_PooledConnection,
            connect=connect,
            command_timeout=timeout_seconds,
        )
        return cls(pool, connector, timeout_seconds)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[PoolConnectionProxy]:
        """Lend one of the connections, and raise the driver's errors as the library's."""
        connection = await self._acquire()
        try:
            if self._connector.keeps_session:
                yield connection
            else:
                async with self._transaction(connection):
                    yield connection
        except asyncpg.PostgresError as error:
            if is_not_writable(error):
                connection.terminate()
            raise translated(error) from error
        except DRIVER_ERRORS as error:
            # Late or broken: its release would wait for what became of the statement.
            connection.terminate()
            raise translated(error) from error
        finally:
            # The answer is known by now, and the pool drops a connection that it fails to release.
            with suppress(*DRIVER_ERRORS):
                await self._pool.release(connection)

    def expire(self) -> None:
        """Connect anew for the next reads: the host may be another by now."""
        self._is_expired = True

    def terminate(self) -> None:
        """Disconnect for good."""
        self._pool.terminate()

    async def _acquire(self) -> PoolConnectionProxy:
        seconds = self._max_acquire_seconds
        if self._is_expired:
            self._is_expired = False
            await self._pool.expire_connections()
        try:
            return await self._pool.acquire(timeout=seconds)
        except TimeoutError as error:
            raise OperationalError(
                f"no connection for reading was free within {seconds:g} s"
            ) from error
        except DRIVER_ERRORS as error:
            raise translated(error) from error

    @asynccontextmanager
    async def _transaction(self, connection: PoolConnectionProxy) -> AsyncIterator[None]:
        """Keep the session of a pooler for several messages, and set in it what ends with it."""
        async with connection.transaction(isolation="read_committed"):
            await self._connector.configure(connection, is_local=True)
            yield
