"""The connection that appends and listens, and its way back when it is lost."""

import asyncio
import logging
from collections.abc import Awaitable

import asyncpg
import stamina
from eventsourcing.persistence import OperationalError

from meeting_service.deadlines import Deadlines
from meeting_service.store.notifier import Notifier
from meeting_service.store.postgres import append_statement
from meeting_service.store.postgres.append import Append
from meeting_service.store.postgres.group_commit import Commit, GroupCommit
from meeting_service.store.postgres.persistence_errors import library_errors

logger = logging.getLogger(__name__)

CHANNEL = "meetings_events"
"""The channel the eventsourcing library uses for our table."""


class Writer:
    """Appends over one connection of its own, which rings the bell too.

    One connection for both, because the bell for our own commits then costs no message more.
    While it is lost appends fail at once, and it is sought again in the background.
    """

    def __init__(self, dsn: str, notifier: Notifier, timeout_seconds: float) -> None:
        self._dsn = dsn
        self._notifier = notifier
        self._timeout_seconds = timeout_seconds
        self._deadlines = Deadlines()
        self._group = GroupCommit()
        self._connection: asyncpg.Connection | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and commit from now on.

        Raises: `OperationalError` when the database is away, `ProgrammingError` when its schema
        is not ours.
        """
        with library_errors():
            commit = await self._connect()
        self._serving = asyncio.create_task(self._serve(commit), name="group commit")

    def check(self) -> None:
        """Return if appends are taken.

        Raises: `OperationalError`.
        """
        if self._group.away:
            raise OperationalError(self._group.away)

    def append(self, append: Append) -> Awaitable[list[int]]:
        """Have an append committed; see `GroupCommit.append`."""
        return self._group.append(append)

    async def aclose(self) -> None:
        """Commit what is queued, then disconnect."""
        self._group.close()
        if self._serving is not None and self._connection is not None:
            await asyncio.wait([self._serving], timeout=self._timeout_seconds)
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        if self._connection is not None:
            self._connection.terminate()

    async def _serve(self, commit: Commit) -> None:
        while True:
            try:
                await self._group.serve(commit, self._is_lost)
            except OperationalError as error:
                logger.warning("%s", error)
            else:
                return
            commit = await self._connect_again()
            self._notifier.notify()  # for what was appended while nobody listened

    async def _connect_again(self) -> Commit:
        self._connection = None
        # Whatever the reason: a process that stopped trying would never append again.
        async for attempt in stamina.retry_context(
            on=Exception, attempts=None, timeout=None, wait_initial=0.05, wait_max=1.0
        ):
            with attempt:
                return await self._connect()
        raise AssertionError("it never gives up")

    async def _connect(self) -> Commit:
        connection = await asyncpg.connect(
            self._dsn, timeout=self._timeout_seconds, server_settings=append_statement.SETTINGS
        )
        try:
            connection.add_termination_listener(lambda _: self._group.wake())
            commit = await append_statement.prepare(
                connection, self._deadlines, self._timeout_seconds
            )
            # Last, because a prepared statement leaves the server in a transaction until the next
            # message: it would hold the tables' locks, and hear nothing.
            await connection.add_listener(CHANNEL, self._notifier.notify)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self._group.open()
        return commit

    def _is_lost(self) -> bool:
        return self._connection is None or self._connection.is_closed()
