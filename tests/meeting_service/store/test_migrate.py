"""Bringing a database to the newest schema."""

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict

from meeting_service.store.postgres import migrate as schema
from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.contracts.store_world import convene, together

pytestmark = pytest.mark.anyio


async def run(dsn: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        records: list[asyncpg.Record] = await connection.fetch(statement)
        return records
    finally:
        await connection.close()


async def tables(dsn: str) -> set[str]:
    records = await run(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {record["tablename"] for record in records}


async def test_an_empty_database_gets_the_schema(empty_database_url: str):
    assert await schema.current(empty_database_url) is None
    await schema.upgrade(empty_database_url)
    assert await schema.current(empty_database_url) == schema.HEAD
    async with await PostgresRecorder.open(empty_database_url) as recorder:
        await convene(recorder)


async def test_a_second_upgrade_changes_nothing(database_url: str):
    async with await PostgresRecorder.open(database_url) as recorder:
        await convene(recorder)
        await schema.upgrade(database_url)
        assert await recorder.count_live() == 1


@pytest.mark.parametrize("level", ["read committed", "serializable"])
async def test_of_processes_that_start_together_one_upgrades(empty_database_url: str, level: str):
    name = conninfo_to_dict(empty_database_url)["dbname"]
    await run(
        empty_database_url,
        f"ALTER DATABASE {name} SET default_transaction_isolation TO '{level}'",
    )
    outcomes = await together(*(schema.upgrade(empty_database_url) for _ in range(4)))
    assert outcomes == [None] * 4
    assert await schema.current(empty_database_url) == schema.HEAD


async def test_a_migration_that_fails_says_why_and_changes_nothing(empty_database_url: str):
    await run(empty_database_url, "CREATE TABLE meetings_turns (mine text)")
    with pytest.raises(
        schema.MigrationError, match=r"\"meetings_turns\" already exists$"
    ) as failed:
        await schema.upgrade(empty_database_url)
    assert failed.value.__cause__ is not None
    assert await tables(empty_database_url) == {"meetings_turns"}
    assert await schema.current(empty_database_url) is None


async def test_a_database_that_is_unreachable_cannot_be_upgraded():
    with pytest.raises(schema.MigrationError):
        await schema.upgrade("postgresql://postgres@/x?host=/nowhere&port=1")


async def test_a_database_from_the_future_is_refused(database_url: str):
    await run(database_url, f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(schema.MigrationError, match="9999"):
        await schema.upgrade(database_url)


async def test_other_tables_are_none_of_our_business(empty_database_url: str):
    await run(empty_database_url, "CREATE TABLE alembic_version (version_num text)")
    await run(empty_database_url, "INSERT INTO alembic_version VALUES ('somebody else''s')")
    await schema.upgrade(empty_database_url)
    (version,) = await run(empty_database_url, "SELECT version_num FROM alembic_version")
    assert version["version_num"] == "somebody else's"


def test_the_head_we_name_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", "meeting_service.store.postgres:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


async def test_a_downgrade_leaves_nothing_behind(database_url: str):
    def downgrade(connection) -> None:
        from alembic import command

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "meeting_service.store.postgres:migrations")
        command.downgrade(config, "base")

    await schema.run_in_transaction(database_url, downgrade)
    assert await tables(database_url) == {schema.VERSION_TABLE}
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    assert await run(database_url, functions) == []
