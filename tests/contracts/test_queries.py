"""Every statement the store may send is right for the schema, and is sent somewhere."""

from collections.abc import AsyncIterator
from importlib.resources import files

import asyncpg
import pytest

from meeting_service.store.postgres.statements import QUERIES

pytestmark = pytest.mark.anyio

FOLDER = files("meeting_service.store.postgres")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_the_database_understands_every_statement(connection: asyncpg.Connection):
    for statement in QUERIES.values():
        assert await connection.prepare(statement)


@pytest.mark.parametrize("name", QUERIES)
def test_somebody_sends(name: str):
    sources = (file for file in FOLDER.iterdir() if file.name.endswith(".py"))
    assert any(f'"{name}"' in source.read_text() for source in sources)


@pytest.mark.parametrize("name", QUERIES)
def test_a_statement_says_what_it_does(name: str):
    _, _, rest = FOLDER.joinpath("statements.sql").read_text().partition(f"\n-- {name}:\n")
    assert rest.startswith("-- ")


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("select_events", "meetings_events_pkey"),
        ("select_events_newest_first", "meetings_events_pkey"),
        ("select_notifications", "meetings_events_notification_id_idx"),
    ],
)
async def test_events_are_found_by_index_whatever_is_asked(
    connection: asyncpg.Connection, name: str, index: str
):
    await connection.execute(
        "INSERT INTO meetings_events SELECT gen_random_uuid(), n, 'topic', 'state'"
        " FROM generate_series(1, 10000) n"
    )
    await connection.execute("ANALYZE meetings_events")
    await connection.execute("SET plan_cache_mode TO force_generic_plan")
    await connection.execute(f"PREPARE asked AS {QUERIES[name]}")
    plan = await connection.fetch("EXPLAIN EXECUTE asked (NULL, NULL, NULL, NULL)")
    lines = "\n".join(line for (line,) in plan)
    assert f"using {index}" in lines
    assert "Seq Scan" not in lines
    assert "Sort" not in lines
