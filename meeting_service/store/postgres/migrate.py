"""The database schema: which revision a database has, and bringing it to the newest."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import asyncpg

from meeting_service.store.postgres.connect import Dsn, connector_for

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0001"
"""The newest revision there is; known here so that a current database needs no alembic."""

APPLICATION_NAME = "meetings: schema"
VERSION_TABLE = "meetings_schema_version"

UPGRADE_LOCK = 7882818273441376116
"""Held while migrations run, so that of several starting processes one runs them."""


class MigrationError(Exception):
    """The schema could not be brought to the newest revision; the cause says why.

    Invariant: the database is as it was before.
    """


async def current(dsn: Dsn) -> str | None:
    """Return the database's revision; None for a database without our schema.

    Raises: what asyncpg raises when the database is unreachable.
    """
    connection = await connector_for(dsn).connect(APPLICATION_NAME)
    try:
        return await revision_of(connection)
    finally:
        await connection.close()


async def revision_of(connection: asyncpg.Connection) -> str | None:
    """Return the revision of a connection's database; None without our schema."""
    if await connection.fetchval("SELECT to_regclass($1)", VERSION_TABLE) is None:
        return None
    revision: str | None = await connection.fetchval(
        "SELECT version_num FROM meetings_schema_version"
    )
    return revision


async def upgrade(dsn: Dsn) -> None:
    """Bring the database to the newest revision, all in one transaction; do nothing if it has it.

    Raises: `MigrationError`.
    """
    try:
        if await current(dsn) == HEAD:
            return
        await run_in_transaction(dsn, _upgrade)
    except Exception as error:
        # SQLAlchemy's own text goes on with the whole statement.
        reason = getattr(error, "orig", None) or error
        raise MigrationError(f"the database schema could not be upgraded: {reason}") from error


async def run_in_transaction(dsn: Dsn, migrate: "Callable[[Connection], None]") -> None:
    """Run a synchronous migration on a new connection, in one transaction, alone."""
    # SQLAlchemy and alembic are slow to import, and a current database needs neither.
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def creator() -> asyncpg.Connection:
        return await connector_for(dsn).connect(APPLICATION_NAME)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


def _upgrade(connection: "Connection") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "meeting_service.store.postgres:migrations")
    command.upgrade(config, "head")
