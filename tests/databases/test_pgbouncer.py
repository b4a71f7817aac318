"""Behind a real PgBouncer: session mode works, transaction mode with a second address."""

from pathlib import Path

import pytest

from tests.databases.pgbouncer import PgBouncer
from tests.databases.servers import Server
from tests.databases.service import hold_meetings, refused
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.anyio


def pooler_in(mode: str, folder: Path, server: Server, more: str = "") -> PgBouncer:
    return PgBouncer(folder, server, mode, more)


async def test_session_mode_works_as_shipped(
    server_folder: Path, server: Server, database: str, tmp_path: Path
) -> None:
    with pooler_in("session", server_folder, server) as pooler:
        async with ServiceProcess(tmp_path, "", "--database-url", pooler.url(database)) as service:
            await hold_meetings(service.url)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("more", ["", "server_round_robin = 1", "default_pool_size = 1"])
async def test_a_pooler_that_shares_sessions_is_refused_in_one_line(
    server_folder: Path, server: Server, database: str, mode: str, more: str
) -> None:
    with pooler_in(mode, server_folder, server, more) as pooler:
        said = await refused("--database-url", pooler.url(database))
    assert said.startswith("meetings: database_url: ")
    assert "pooler in transaction or statement mode" in said
    assert "session mode" in said
    assert "direct_database_url" in said


@pytest.mark.parametrize("query", ["", "pgbouncer=true&connection_limit=1"])
async def test_transaction_mode_works_with_a_second_address(
    server_folder: Path, server: Server, database: str, tmp_path: Path, query: str
) -> None:
    settings = f'direct_database_url = "{server.url(database)}"'
    with pooler_in("transaction", server_folder, server, "default_pool_size = 3") as pooler:
        url = pooler.url(database, query)
        async with ServiceProcess(tmp_path, settings, "--database-url", url) as service:
            await hold_meetings(service.url)


async def test_a_schema_of_ones_own_is_used_through_a_pooler_in_transaction_mode(
    server_folder: Path, server: Server, database: str, tmp_path: Path
) -> None:
    settings = f'direct_database_url = "{server.url(database, query="schema=mine")}"'
    with pooler_in("transaction", server_folder, server) as pooler:
        url = pooler.url(database, "schema=mine")
        async with ServiceProcess(tmp_path, settings, "--database-url", url) as service:
            await hold_meetings(service.url)
    schemas = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'meetings%'"
    assert server.execute(schemas, database=database) == [("mine",)]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("a pooler again", ["direct_database_url: ", "give the address of the server itself"]),
        ("another database", ["database_url: ", "another database", "same database"]),
        ("another schema", ["database_url: ", 'schema "public"', '"other"', "same schema"]),
        ("statement mode", ["database_url: ", "statement mode", "transaction or session"]),
    ],
)
async def test_a_second_address_that_does_not_help_is_refused_in_one_line(
    *,
    server_folder: Path,
    server: Server,
    database: str,
    tmp_path: Path,
    kind: str,
    words: list[str],
) -> None:
    mode = "statement" if kind == "statement mode" else "transaction"
    with pooler_in(mode, server_folder, server) as pooler:
        direct = {
            "a pooler again": pooler.url(database),
            "another database": server.url("postgres"),
            "another schema": server.url(database, query="schema=other"),
            "statement mode": server.url(database),
        }[kind]
        config = tmp_path / "meetings.toml"
        config.write_text(f'direct_database_url = "{direct}"\n')
        said = await refused("--config", str(config), "--database-url", pooler.url(database))
    for part in words:
        assert part in said


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("TLS", ["offers no TLS", "leave sslmode out"]),
        ("password", ["does not accept the password", "%40"]),
        ("database", ['has no database "nowhere"', "createdb"]),
    ],
)
async def test_what_a_pooler_refuses_is_one_line(
    server_folder: Path, server: Server, database: str, kind: str, words: list[str]
) -> None:
    with pooler_in("session", server_folder, server) as pooler:
        url = {
            "TLS": pooler.url(database, "sslmode=require"),
            "password": f"postgresql://postgres:no@127.0.0.1:{pooler.port}/{database}",
            "database": pooler.url("nowhere"),
        }[kind]
        said = await refused("--database-url", url)
    for part in words:
        assert part in said
