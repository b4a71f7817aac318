"""A database that the service cannot start on is one true line that says what to do."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from meeting_service.app.database import open_recorder
from meeting_service.settings import DatabaseUrl, Settings, SettingsError
from meeting_service.store.postgres.connect_problems import UnavailableDatabase
from tests.conftest import _database
from tests.contracts.store_world import convene

pytestmark = pytest.mark.anyio

ROLE = "visitor"


def as_role(url: str, role: str = ROLE) -> str:
    return url.replace("postgresql://postgres@", f"postgresql://{role}@")


def with_query(url: str, query: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}"))


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def refusal(url: str, **more: DatabaseUrl) -> str:
    with pytest.raises((SettingsError, UnavailableDatabase)) as refused:
        async with open_recorder(Settings(database_url=DatabaseUrl(url), **more)):
            pass
    said = str(refused.value)
    if isinstance(refused.value, SettingsError):
        assert said.startswith(("database_url: ", "direct_database_url: "))
    return said


@pytest.fixture
def role(admin_dsn: str) -> Iterator[str]:
    """A user that owns nothing."""
    execute(admin_dsn, f"CREATE ROLE {ROLE} LOGIN")
    yield ROLE
    execute(admin_dsn, f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")


@pytest.fixture
def visited_url(role: str, empty_database_url: str) -> Iterator[str]:
    """An empty database as a user that owns nothing sees it."""
    yield as_role(empty_database_url, role)
    execute(empty_database_url, f"DROP OWNED BY {role}")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "WIN1252"])
async def test_a_database_in_another_encoding_is_refused(
    admin_dsn: str, postgres_server, encoding: str
) -> None:
    name = f"encoded_{encoding.lower()}"
    template = f"template0 ENCODING '{encoding}' LOCALE 'C' LOCALE_PROVIDER libc"
    with _database(admin_dsn, name, template):
        said = await refusal(postgres_server.dsn(name))
    assert f'"{name}" is encoded in {encoding}' in said
    assert "ENCODING 'UTF8'" in said


async def test_a_user_without_a_right_on_public_is_told_what_to_grant(visited_url: str) -> None:
    said = await refusal(visited_url)
    assert 'the user "visitor" may not create tables in the schema "public"' in said
    assert 'GRANT CREATE ON SCHEMA public TO "visitor"' in said


async def test_a_user_who_may_not_even_look_at_public_is_told_so(
    visited_url: str, empty_database_url: str
) -> None:
    execute(empty_database_url, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    said = await refusal(visited_url)
    assert "no schema on the search path" in said
    assert "schema=NAME" in said


async def test_a_user_who_may_not_write_the_tables_is_told_which(
    role: str, database_url: str
) -> None:
    said = await refusal(as_role(database_url))
    assert "may not use meetings_events, meetings_events_notification_id_seq, " in said
    assert "GRANT SELECT, INSERT, UPDATE, DELETE" in said
    assert "GRANT USAGE ON ALL SEQUENCES" in said
    execute(database_url, f"DROP OWNED BY {role}")


async def test_a_user_with_rights_alone_can_work_and_need_not_change_events(
    role: str, database_url: str
) -> None:
    execute(
        database_url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"REVOKE UPDATE, DELETE ON meetings_events FROM {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    )
    settings = Settings(database_url=DatabaseUrl(as_role(database_url)))
    async with open_recorder(settings) as recorder:
        await convene(recorder)
    execute(database_url, f"DROP OWNED BY {role}")


@pytest.mark.parametrize("limit", [1, 3])
async def test_too_few_connections_are_refused_with_how_many_are_needed(
    admin_dsn: str, visited_url: str, limit: int
) -> None:
    execute(admin_dsn, f"ALTER ROLE {ROLE} CONNECTION LIMIT {limit}")
    execute(
        visited_url.replace(f"{ROLE}@", "postgres@"), f"GRANT CREATE ON SCHEMA public TO {ROLE}"
    )
    said = await refusal(visited_url)
    assert f"may have {limit} connections" in said
    assert "needs 4 and wants 11" in said


async def test_with_few_connections_there_are_fewer_readers(
    admin_dsn: str, visited_url: str
) -> None:
    execute(admin_dsn, f"ALTER ROLE {ROLE} CONNECTION LIMIT 5")
    execute(
        visited_url.replace(f"{ROLE}@", "postgres@"), f"GRANT CREATE ON SCHEMA public TO {ROLE}"
    )
    async with open_recorder(Settings(database_url=DatabaseUrl(visited_url))) as recorder:
        await convene(recorder)
        assert recorder._readers._pool.get_max_size() == 2


async def test_connections_that_others_have_are_said_to_be_missing(
    admin_dsn: str, visited_url: str
) -> None:
    execute(admin_dsn, f"ALTER ROLE {ROLE} CONNECTION LIMIT 4")
    execute(
        visited_url.replace(f"{ROLE}@", "postgres@"), f"GRANT CREATE ON SCHEMA public TO {ROLE}"
    )
    with psycopg.connect(visited_url):
        said = await refusal(visited_url)
    assert "no connection left" in said
    assert "max_connections" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace("/empty_", "/no_"), ["has no database", "createdb"]),
        (lambda url: as_role(url, "nobody_at_all"), ['no user "nobody_at_all"', "createuser"]),
        (lambda url: with_query(url, "port=1"), ["no PostgreSQL answers", "start it"]),
        (lambda _: "postgresql://127.0.0.1:1/x", ["connection refused", "start it"]),
        (lambda _: "postgresql://no-such-host.invalid/x", ["cannot be found"]),
        (lambda _: "postgresql://127.0.0.1:1,127.0.0.1:2/x", ["none of the hosts", "127.0.0.1:2"]),
        (
            lambda url: with_query(url, "options=-c%20default_transaction_read_only%3Don"),
            ["cannot be written to", "leave it out"],
        ),
        (
            lambda url: with_query(url, "options=-c%20search_path%3Dpg_catalog"),
            ['"pg_catalog", which is the server\'s own', "schema=NAME"],
        ),
        (
            lambda url: with_query(url, "options=-c%20search_path%3Dinformation_schema"),
            ['"information_schema"', "schema=NAME"],
        ),
        (
            lambda url: with_query(url, "options=-c%20statement_timeout%3Dx"),
            ["statement_timeout", "correct it in options="],
        ),
    ],
)
async def test_a_database_that_is_not_there_is_said_to_be(
    empty_database_url: str, change, words: list[str]
) -> None:
    said = await refusal(change(empty_database_url))
    for part in words:
        assert part in said


@pytest.mark.parametrize("name", ["PGSSLMODE", "PGSSLNEGOTIATION", "PGGSSLIB"])
async def test_a_variable_of_the_driver_is_named_instead_of_the_address(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "bogus")
    with pytest.raises(SettingsError, match=f"^{name}: is not known: write "):
        async with open_recorder(Settings(database_url=DatabaseUrl("postgresql://u@h/d"))):
            pass


async def test_a_schema_of_ones_own_is_created_and_used(visited_url: str) -> None:
    owner = visited_url.replace(f"{ROLE}@", "postgres@")
    url = with_query(visited_url, "schema=My%20own")
    said = await refusal(url)
    assert 'CREATE SCHEMA "My own" AUTHORIZATION "visitor"' in said
    execute(owner, f'CREATE SCHEMA "My own" AUTHORIZATION {ROLE}')
    async with open_recorder(Settings(database_url=DatabaseUrl(url))) as recorder:
        await convene(recorder)
        assert await recorder.count_live() == 1
    async with open_recorder(
        Settings(database_url=DatabaseUrl(with_query(owner, "schema=another")))
    ) as recorder:
        assert await recorder.count_live() == 0
    with psycopg.connect(owner) as connection:
        found = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'meetings%'"
        ).fetchall()
    assert {name for (name,) in found} == {"My own", "another"}


async def test_an_application_name_shows_on_every_connection(empty_database_url: str) -> None:
    url = with_query(empty_database_url, "application_name=mine")
    async with open_recorder(Settings(database_url=DatabaseUrl(url))):
        with psycopg.connect(empty_database_url) as connection:
            names = connection.execute(
                "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchall()
    wanted = {f"mine: {use}" for use in ("appends", "claims", "reads", "renewals")}
    assert wanted <= {name for (name,) in names}


async def test_what_has_no_meaning_is_logged_without_secrets(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = with_query(empty_database_url, "pgbouncer=true&connection_limit=1&password=sesame")
    async with open_recorder(Settings(database_url=DatabaseUrl(url))):
        pass
    assert "database_url: these have no meaning here: pgbouncer, connection_limit" in caplog.text
    assert "sesame" not in caplog.text


async def test_two_addresses_without_a_pooler_do_too(empty_database_url: str) -> None:
    url = DatabaseUrl(empty_database_url)
    async with open_recorder(Settings(database_url=url, direct_database_url=url)) as recorder:
        await convene(recorder)
        assert await recorder.count_live() == 1


async def test_two_addresses_of_different_databases_are_refused(
    empty_database_url: str, admin_dsn: str
) -> None:
    said = await refusal(admin_dsn, direct_database_url=DatabaseUrl(empty_database_url))
    assert said.startswith("database_url: it leads to another database")
