"""Connections to the database: how each is set up."""

import asyncpg

from meeting_service.store.postgres.statements import QUERIES

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
