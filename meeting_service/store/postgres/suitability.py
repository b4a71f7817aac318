"""What is checked of a database before the service starts on it."""

import asyncio
import secrets
from collections.abc import Sequence

import asyncpg

from meeting_service.store.postgres.connect import Connector
from meeting_service.store.postgres.connect_problems import (
    UnsuitableDatabase,
    explained,
)
from meeting_service.store.postgres.migrate import HEAD, revision_of
from meeting_service.store.postgres.readers import MAX_READERS
from meeting_service.store.postgres.statements import QUERIES

APPLICATION_NAME = "meetings: start"
CONNECT_SECONDS = 30.0
OWN_CONNECTIONS = 3
"""What a process has besides its readers: to append and listen, to renew leases, and to claim."""

IDLE_TIMEOUT = "20ms"
MAX_IDLE_SECONDS = 1.0

POOLER = (
    "{place} is a pooler in transaction or statement mode, which loses notifications and settings:"
    " {remedy}"
)


async def check_database(connector: Connector, readers: Connector | None = None) -> int:
    """Check that the service can work on a database; return how many readers it may have.

    `readers` is the other address, of a pooler, where there is one.
    Raises: `UnsuitableDatabase`, `UnavailableDatabase`.
    """
    with explained(connector.address):
        connection = await connector.connect(APPLICATION_NAME, CONNECT_SECONDS)
        try:
            max_readers = await _check_facts(connection, connector)
            if readers is not None:
                await _check_readers(connection, readers)
            if not await _keeps_its_session(connection):
                place = ",".join(map(str, connector.address.hosts))
                remedy = (
                    "use its session mode, or give an address without it as direct_database_url"
                    if readers is None
                    else "give the address of the server itself"
                )
                raise UnsuitableDatabase(
                    POOLER.format(place=place, remedy=remedy), connector.address
                )
        finally:
            connection.terminate()
    return max_readers


async def _check_facts(connection: asyncpg.Connection, connector: Connector) -> int:
    address = connector.address
    if address.schema is not None:
        await _create_schema(connection, connector)
    facts = await connection.fetchrow(QUERIES["describe_database"])
    assert facts is not None
    name, user, schema = facts["database"], facts["account"], facts["schema"]
    if facts["encoding"] != "UTF8":
        raise UnsuitableDatabase(
            f'the database "{name}" is encoded in {facts["encoding"]}, and must be in UTF8: create'
            f" another, CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
            address,
        )
    if schema is None:
        raise UnsuitableDatabase(
            f'the database "{name}" has no schema on the search path that "{user}" may use: create'
            ' one and name it with schema=NAME, or GRANT USAGE, CREATE ON SCHEMA public TO "'
            f'{user}"',
            address,
        )
    if schema.startswith("pg_") or schema == "information_schema":
        raise UnsuitableDatabase(
            f'the first schema on the search path is "{schema}", which is the server\'s own: name'
            " another with schema=NAME",
            address,
        )
    if facts["closed"]:
        raise UnsuitableDatabase(
            f'the user "{user}" may not use {facts["closed"]}: as their owner, GRANT SELECT,'
            f' INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO "{user}" and GRANT USAGE'
            f' ON ALL SEQUENCES IN SCHEMA {schema} TO "{user}"',
            address,
        )
    if await revision_of(connection) != HEAD and not facts["may_create"]:
        raise UnsuitableDatabase(
            f'the user "{user}" may not create tables in the schema "{schema}" of the database'
            f' "{name}": as its owner, GRANT CREATE ON SCHEMA {schema} TO "{user}", or name a'
            " schema of its own with schema=NAME",
            address,
        )
    allowed: int = facts["max_connections"]
    if allowed <= OWN_CONNECTIONS:
        raise UnsuitableDatabase(
            f'the user "{user}" may have {allowed} connections, and a process needs'
            f" {OWN_CONNECTIONS + 1} and wants {OWN_CONNECTIONS + MAX_READERS}: raise the limit of"
            " the user (ALTER ROLE ... CONNECTION LIMIT), of the database, or max_connections",
            address,
        )
    return min(MAX_READERS, allowed - OWN_CONNECTIONS)


async def _create_schema(connection: asyncpg.Connection, connector: Connector) -> None:
    schema = connector.address.schema
    if await connection.fetchval(QUERIES["has_schema"], schema):
        return
    try:
        # As the address asks for it; a statement of its own cannot take a name as an argument.
        await connection.execute(
            await connection.fetchval(QUERIES["statement_creating_schema"], schema)
        )
    except asyncpg.InsufficientPrivilegeError as error:
        raise UnsuitableDatabase(
            f'the schema "{schema}" is not there and may not be created: as the owner of the'
            f' database, CREATE SCHEMA "{schema}" AUTHORIZATION "{connector.address.user}"',
            connector.address,
        ) from error


async def _check_readers(direct: asyncpg.Connection, readers: Connector) -> None:
    """Check that a pooler lends a session for a transaction, and of the same database."""
    key = [secrets.randbelow(2**31), secrets.randbelow(2**31)]
    async with direct.transaction():
        await direct.execute(QUERIES["lock_for_check"], *key)
        wanted = await direct.fetchval(QUERIES["current_schema"])
        with explained(readers.address):
            is_same, schema = await _seen_by(readers, key)
    if not is_same:
        raise UnsuitableDatabase(
            "it leads to another database or server than direct_database_url: give two addresses"
            " of the same database on the primary",
            readers.address,
        )
    if schema != wanted:
        raise UnsuitableDatabase(
            f'it uses the schema "{schema}", and direct_database_url "{wanted}": name the same'
            " schema in both",
            readers.address,
        )


async def _seen_by(readers: Connector, key: Sequence[int]) -> tuple[bool, str | None]:
    """Return whether the lock is seen over the other address, and the schema used there."""
    connection = await readers.connect(APPLICATION_NAME, CONNECT_SECONDS)
    try:
        async with connection.transaction(isolation="read_committed"):
            await readers.configure(connection, is_local=True)
            is_locked = await connection.fetchval(QUERIES["is_locked_for_check"], *key)
            return is_locked, await connection.fetchval(QUERIES["current_schema"])
    except asyncpg.PostgresError as error:
        if "statement pooling" not in str(error):
            raise
        raise UnsuitableDatabase(
            "it is a pooler in statement mode, which has no transactions: set pool_mode to"
            " transaction or session",
            readers.address,
        ) from error
    finally:
        connection.terminate()


async def _keeps_its_session(connection: asyncpg.Connection) -> bool:
    """Return whether the session is ours for as long as the connection, and end it.

    It is asked to end when it is idle. Of a session of our own that ends the connection, while
    behind a pooler that lends it to others the connection lives on.
    """
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    if await connection.fetchval(QUERIES["end_when_idle"], IDLE_TIMEOUT) is None:
        return True  # PostgreSQL 13 and older cannot tell
    try:
        async with asyncio.timeout(MAX_IDLE_SECONDS):
            await ended.wait()
    except TimeoutError:
        return False
    return True
