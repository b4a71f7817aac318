"""Which of an address's hosts is taken, and how a connection leaves one that only reads."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import psycopg
import pytest
from eventsourcing.persistence import OperationalError, PersistenceError

from meeting_service.database_address import parse_address
from meeting_service.store.postgres.connect import Connector, connector_for, keep_alive
from meeting_service.store.postgres.persistence_errors import NotWritableError
from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.contracts.store_world import LONG, convene, until

pytestmark = pytest.mark.anyio

CLOSED = "127.0.0.1:1"
READ_ONLY = "ALTER DATABASE {} SET default_transaction_read_only = on"


@pytest.fixture
def silent_host() -> Iterator[str]:
    """A host that takes connections and never says a word, as one that vanished does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def with_hosts_before(url: str, *hosts: str, query: str = "") -> str:
    """Put hosts before the only one of an address, which is a socket's folder."""
    before, _, folder = url.partition("?host=")
    return f"{before}?host={','.join(hosts)}&host={folder}{query and '&' + query}"


async def test_hosts_that_are_not_there_are_passed_over(database_url: str) -> None:
    url = with_hosts_before(database_url, CLOSED, "no-such-host.invalid")
    await (await connector_for(url).connect("test")).close()


async def test_a_wait_that_is_given_up_begins_with_the_next_host(
    database_url: str, silent_host: str
) -> None:
    """A renewal has less time than a host that vanished takes to be given up."""
    connector = connector_for(with_hosts_before(database_url, silent_host))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connector.connect("test")
    await (await connector.connect("test", 5.0)).close()


async def test_of_hosts_that_fail_each_is_named(silent_host: str) -> None:
    url = f"postgresql://{CLOSED},{silent_host}/d?connect_timeout=1"
    with pytest.raises(NotWritableError) as failed:
        await connector_for(url).connect("test", 0.2)
    said = str(failed.value)
    assert said.startswith("none of the hosts can be written to: ")
    assert f"{CLOSED}: " in said
    assert f"{silent_host}: no answer in time" in said


async def test_a_server_that_only_reads_is_not_taken_for_a_primary(database_url: str) -> None:
    name = parse_address(database_url).database
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(READ_ONLY.format(name).encode())
    with pytest.raises(NotWritableError, match="it only reads"):
        await connector_for(database_url).connect("test")


async def test_a_connection_that_turned_read_only_is_left_for_another(database_url: str) -> None:
    async with await PostgresRecorder.open(database_url) as recorder:
        await recorder.register_owner("a", lease_seconds=LONG)
        await convene(recorder)  # to be claimed
        kept = [recorder._writer._connection, recorder._renewals._connection]
        kept.append(recorder._claims._connection)
        for connection in kept:
            assert connection is not None
            await connection.execute("SET default_transaction_read_only = on")
        for write in (
            lambda: recorder.renew_leases("a", lease_seconds=LONG),
            lambda: recorder.claim_leases("a", lease_seconds=LONG, limit=1),
            # Last, for once it connected anew so do the others.
            lambda: convene(recorder),
        ):
            with pytest.raises(OperationalError, match="only reads"):
                await write()
            await until(lambda write=write: succeeds(write))
        assert all(connection.is_closed() for connection in kept)


async def test_after_the_writer_connected_anew_so_do_all_others(database_url: str) -> None:
    """They may be connected to an old primary that still answers, and knows nothing new."""
    async with await PostgresRecorder.open(database_url) as recorder:
        await recorder.register_owner("a", lease_seconds=LONG)
        async with recorder._readers.lend() as reading:
            before = {reading.get_server_pid()}
        before |= {
            own._connection.get_server_pid() for own in (recorder._renewals, recorder._claims)
        }
        recorder._writer._connection.terminate()
        await until(lambda: succeeds(lambda: convene(recorder)))
        await recorder.renew_leases("a", lease_seconds=LONG)
        await recorder.claim_leases("a", lease_seconds=LONG, limit=1)
        async with recorder._readers.lend() as reading:
            after = {reading.get_server_pid()}
        after |= {
            own._connection.get_server_pid() for own in (recorder._renewals, recorder._claims)
        }
        assert not before & after


async def succeeds(write: Callable) -> bool:
    with suppress(PersistenceError):
        await write()
        return True
    return False


@pytest.mark.parametrize(
    ("query", "wanted"),
    [("", 30), ("keepalives_idle=7&tcp_user_timeout=900", 7), ("keepalives=0", None)],
)
async def test_a_host_that_vanished_is_noticed_by_who_only_listens(
    query: str, wanted: int | None
) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sock = stack.enter_context(socket.create_connection(listener.getsockname()))
        keep_alive(sock, parse_address(f"postgresql://h/d?{query}").keepalive)
        is_on = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert is_on == (wanted is not None)
        if wanted is not None and hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == wanted


async def test_a_pooler_that_lends_sessions_is_sent_no_settings_and_no_named_statements(
    database_url: str,
) -> None:
    readers = Connector(parse_address(database_url), keeps_session=False)
    async with await PostgresRecorder.open(database_url, readers=readers) as recorder:
        await convene(recorder)
        assert await recorder.count_live() == 1
        async with recorder._readers.lend() as reading:
            level = await reading.fetchval("SHOW transaction_isolation")
            changed = await reading.fetch(
                "SELECT name FROM pg_settings WHERE source = 'session' AND name NOT LIKE 'transac%'"
            )
            prepared = await reading.fetch("SELECT name FROM pg_prepared_statements")
        assert level == "read committed"
        assert changed == []
        assert prepared == []
