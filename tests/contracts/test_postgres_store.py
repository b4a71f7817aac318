"""What only a database can do to a store: other processes, other writers, lost connections."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from uuid import UUID, uuid4

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from eventsourcing.persistence import InterfaceError, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from meeting_service.ports import Fenced, Lease, Recorder, SummaryFilter
from meeting_service.store.postgres.group_commit import APPLICATION_NAME
from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.contracts.stock_library import stock_recorder
from tests.contracts.store_world import (
    LONG,
    PostgresStore,
    convene,
    event,
    events,
    outcome,
    together,
    until,
    versions,
)

pytestmark = pytest.mark.anyio

STOCK_APPENDS = 60


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    async with AsyncExitStack() as stack:
        store = PostgresStore(database_url, stack)
        store.recorder = await store.another_process()
        yield store


@pytest.mark.parametrize(("rounds", "at_once"), [(150, 1), (3, 100)])
async def test_no_append_lands_after_the_claim_that_fences_it(
    store: PostgresStore, rounds: int, at_once: int
):
    claimant = await store.another_process()
    for _ in range(rounds):
        await _race_a_claim(store, claimant, at_once)


async def _race_a_claim(store: PostgresStore, claimant: Recorder, at_once: int) -> None:
    await claimant.register_owner("b", lease_seconds=LONG)
    meetings = [await convene(store.recorder, owner="a") for _ in range(at_once)]
    seen_by_claimant: dict[UUID, list[int]] = {}

    async def run_until_fenced(meeting_id: UUID) -> None:
        for version in range(2, 10_000):
            try:
                await store.recorder.insert_events(events(meeting_id, version), epoch=1)
            except Fenced:
                return

    async def take_over(lease: Lease) -> None:
        seen_by_claimant[lease.meeting_id] = await versions(claimant, lease.meeting_id)

    async with anyio.create_task_group() as tasks:
        for meeting_id in meetings:
            tasks.start_soon(run_until_fenced, meeting_id)
        while len(seen_by_claimant) < at_once:
            leases = await claimant.claim_leases("b", lease_seconds=LONG, limit=7)
            await together(*(take_over(lease) for lease in leases))

    for meeting_id in meetings:
        assert await versions(claimant, meeting_id) == seen_by_claimant[meeting_id]


@pytest.mark.parametrize(("processes", "writers", "appends_each"), [(2, 64, 30), (8, 8, 150)])
async def test_a_reader_that_follows_misses_no_position(
    store: PostgresStore, processes: int, writers: int, appends_each: int
):
    # A writer alone in its process goes by the short statement, company by the other.
    recorders = [await store.another_process() for _ in range(processes)]
    reader = store.recorder
    read: list[int] = []
    is_over = anyio.Event()

    async def write(number: int) -> None:
        meeting_id = uuid4()
        for version in range(1, 2 * appends_each, 2):
            two = events(meeting_id, version, version + 1)
            await recorders[number % processes].insert_events(two)

    def write_as_the_stock_library_does() -> None:
        with stock_recorder(store.dsn) as stock:
            for _ in range(STOCK_APPENDS):
                stock.insert_events(events(uuid4(), 1, 2, 3))

    async def read_all() -> None:
        while True:
            was_over = is_over.is_set()
            last = read[-1] if read else 0
            page = await reader.select_notifications(last, 100, inclusive_of_start=False)
            read.extend(notification.id for notification in page)
            if was_over and not page:
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_all)
        async with anyio.create_task_group() as writing:
            writing.start_soon(to_thread.run_sync, write_as_the_stock_library_does)
            for number in range(writers):
                writing.start_soon(write, number)
        is_over.set()

    stored = await reader.select_notifications(None, 1_000_000)
    assert len(stored) == writers * appends_each * 2 + STOCK_APPENDS * 3
    assert read == [notification.id for notification in stored]


async def test_a_stock_writer_in_a_transaction_keeps_ours_out_until_it_commits(
    store: PostgresStore,
):
    meeting_id = uuid4()

    def write(until_released: anyio.Event) -> None:
        with stock_recorder(store.dsn) as stock, stock.datastore.transaction(commit=True) as curs:
            stock._insert_stored_events(curs, [event(meeting_id, 1)])
            anyio.from_thread.run(until_released.wait)

    released = anyio.Event()
    results: list[object] = []

    async def append() -> None:
        results.extend(
            await together(
                store.recorder.insert_events(events(uuid4(), 1)),
                store.recorder.insert_events(events(uuid4(), 1)),
            )
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_thread.run_sync, write, released)
        await until(lambda: _is_locked(store))
        tasks.start_soon(append)
        await until(lambda: _someone_waits(store))
        assert await store.recorder.max_notification_id() is None
        released.set()
    assert results == [[2], [3]]


async def test_leases_run_out_by_the_clock_of_the_database(store: PostgresStore):
    await store.recorder.register_owner("a", lease_seconds=0.2)
    await store.recorder.register_owner("b", lease_seconds=LONG)
    meeting_id = await convene(store.recorder, owner="a")
    assert not await store.recorder.claim_leases("b", lease_seconds=LONG, limit=9)

    async def b_gets_it() -> bool:
        leases = await store.recorder.claim_leases("b", lease_seconds=LONG, limit=9)
        return [lease.meeting_id for lease in leases] == [meeting_id]

    await until(b_gets_it)


async def test_neither_slow_reads_nor_a_claim_that_waits_hold_a_renewal_up(store: PostgresStore):
    recorder = store.recorder
    await recorder.register_owner("a", lease_seconds=LONG)
    waiting = [recorder.select_summaries(SummaryFilter()) for _ in range(12)]
    claim = recorder.claim_leases("a", lease_seconds=LONG, limit=9)
    async with store.transaction() as connection, anyio.create_task_group() as tasks:
        await connection.execute("LOCK TABLE meetings_summaries IN ACCESS EXCLUSIVE MODE")
        tasks.start_soon(together, claim, *waiting)

        async def nine_wait() -> bool:
            return len(await store.run("SELECT FROM pg_locks WHERE NOT granted")) == 9

        await until(nine_wait)
        with anyio.fail_after(5):
            assert await recorder.renew_leases("a", lease_seconds=LONG)
        await connection.execute("ROLLBACK")


async def test_a_claim_that_waits_for_a_lease_holds_no_renewal_up(store: PostgresStore):
    recorder = store.recorder
    for owner in ("a", "gone"):
        await recorder.register_owner(owner, lease_seconds=LONG)
    orphan = await convene(recorder, owner="gone")
    await store.run("UPDATE meetings_owners SET expires_at = now() WHERE owner = 'gone'")
    claimed: list[Lease] = []

    async def claim() -> None:
        claimed.extend(await recorder.claim_leases("a", lease_seconds=LONG, limit=9))

    async with anyio.create_task_group() as tasks, store.transaction() as connection:
        await connection.execute(
            "SELECT FROM meetings_leases WHERE meeting_id = $1 FOR UPDATE", orphan
        )
        tasks.start_soon(claim)
        await until(lambda: _someone_waits(store))
        with anyio.fail_after(5):
            assert await recorder.renew_leases("a", lease_seconds=LONG)
    assert [lease.meeting_id for lease in claimed] == [orphan]


async def test_a_claim_renews_the_claimants_own_life(store: PostgresStore):
    await store.recorder.register_owner("a", lease_seconds=LONG)
    meeting_id = await convene(store.recorder)
    await store.run("UPDATE meetings_owners SET expires_at = now() - interval '1 second'")
    leases = await store.recorder.claim_leases("a", lease_seconds=LONG, limit=9)
    assert [lease.meeting_id for lease in leases] == [meeting_id]
    assert await store.run("SELECT FROM meetings_owners WHERE expires_at > now()")


async def test_a_read_that_gets_no_connection_says_so(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("meeting_service.store.postgres.readers.MAX_ACQUIRE_SECONDS", 0.05)
    async with await PostgresRecorder.open(store.dsn, max_readers=1) as busy:
        async with store.transaction() as connection, anyio.create_task_group() as tasks:
            await connection.execute("LOCK TABLE meetings_summaries IN ACCESS EXCLUSIVE MODE")
            tasks.start_soon(busy.select_summaries, SummaryFilter())
            await until(lambda: _someone_waits(store))
            for read in (busy.ping, busy.count_live, partial(busy.select_read_models, uuid4())):
                with pytest.raises(OperationalError, match="no connection for reading was free"):
                    await read()
            await connection.execute("ROLLBACK")
        await busy.ping()


async def test_a_renewal_that_hangs_is_given_up_and_the_next_one_gets_through(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("meeting_service.store.postgres.leases.MIN_RENEWAL_SECONDS", 0.3)
    await store.recorder.register_owner("a", lease_seconds=LONG)
    async with store.transaction() as connection:
        await connection.execute("LOCK TABLE meetings_owners IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperationalError, match=r"did not answer within 0.3 s"):
            await store.recorder.renew_leases("a", lease_seconds=0.1)
    assert await store.recorder.renew_leases("a", lease_seconds=LONG)


async def test_renewals_and_claims_reconnect_by_themselves(admin_dsn: str, store: PostgresStore):
    recorder = store.recorder
    await recorder.register_owner("a", lease_seconds=LONG)
    await recorder.claim_leases("a", lease_seconds=LONG, limit=9)
    await _hang_up(admin_dsn, store, "meetings: renewals")
    await _hang_up(admin_dsn, store, "meetings: claims")
    meeting_id = await convene(recorder)

    async def renews() -> bool:
        return (await outcome(recorder.renew_leases("a", lease_seconds=LONG))) is True

    async def claims() -> bool:
        found = await outcome(recorder.claim_leases("a", lease_seconds=LONG, limit=9))
        return isinstance(found, list) and [lease.meeting_id for lease in found] == [meeting_id]

    await until(renews)
    await until(claims)


async def test_no_connection_sends_parameters_that_a_pooler_refuses(store: PostgresStore):
    recorder = store.recorder
    assert isinstance(recorder, PostgresRecorder)
    await recorder.register_owner("a", lease_seconds=LONG)
    await recorder.claim_leases("a", lease_seconds=LONG, limit=9)
    others = (recorder._writer, recorder._renewals, recorder._claims)
    sent, names = set(), set()
    async with recorder._readers._pool.acquire() as reading:
        for connection in (reading, *(other._connection for other in others)):
            assert connection is not None
            settings = await connection.fetch(
                "SELECT name, setting, source FROM pg_settings"
                " WHERE source = 'client' OR name = 'application_name'"
            )
            sent |= {name for name, _, source in settings if source == "client"}
            names |= {setting for name, setting, _ in settings if name == "application_name"}
    assert sent <= {"client_encoding"}
    assert names == {f"meetings: {use}" for use in ("appends", "claims", "reads", "renewals")}


async def test_a_meeting_somebody_holds_in_a_transaction_does_not_hold_claims_up(
    store: PostgresStore,
):
    held, free = [await convene(store.recorder) for _ in range(2)]
    await store.recorder.register_owner("a", lease_seconds=LONG)
    async with store.transaction() as connection:
        await connection.execute(
            "SELECT FROM meetings_summaries WHERE meeting_id = $1 FOR UPDATE", held
        )
        leases = await store.recorder.claim_leases("a", lease_seconds=LONG, limit=9)
    assert [lease.meeting_id for lease in leases] == [free]


async def test_an_idle_store_is_in_no_transaction(store: PostgresStore):
    async with store.transaction() as connection:
        await connection.execute("LOCK TABLE meetings_events IN ACCESS EXCLUSIVE MODE NOWAIT")
    await store.recorder.insert_events(events(uuid4(), 1))
    async with store.transaction() as connection:
        await connection.execute("LOCK TABLE meetings_events IN ACCESS EXCLUSIVE MODE NOWAIT")


async def test_a_lost_connection_fails_what_is_under_way_and_comes_back(
    admin_dsn: str, store: PostgresStore
):
    recorder = store.recorder
    meeting_id = uuid4()
    async with store.transaction() as connection:
        await connection.execute("LOCK TABLE meetings_events IN EXCLUSIVE MODE")
        async with anyio.create_task_group() as tasks:
            results: list[object] = []

            async def append(version: int) -> None:
                results.append(await outcome(recorder.insert_events(events(meeting_id, version))))

            for version in range(1, 11):
                tasks.start_soon(append, version)
            await until(lambda: _someone_waits(store))
            await _hang_up(admin_dsn, store)
        assert [type(result) for result in results] == [OperationalError] * 10

    async def answers() -> bool:
        return not isinstance(await outcome(recorder.ping()), OperationalError | InterfaceError)

    await until(answers)
    assert await recorder.insert_events(events(meeting_id, 1))
    assert await versions(recorder, meeting_id) == [1]


async def test_an_append_that_takes_too_long_fails_and_the_next_one_gets_through(
    store: PostgresStore,
):
    async with await PostgresRecorder.open(store.dsn, timeout_seconds=0.3) as hasty:
        async with store.transaction() as connection:
            await connection.execute("LOCK TABLE meetings_events IN EXCLUSIVE MODE")
            with pytest.raises(OperationalError):
                await hasty.insert_events(events(uuid4(), 1))

        async def gets_through() -> bool:
            return isinstance(await outcome(hasty.insert_events(events(uuid4(), 1))), list)

        await until(gets_through)


async def test_an_append_fails_at_once_while_the_database_is_unreachable(
    admin_dsn: str, store: PostgresStore
):
    name = conninfo_to_dict(store.dsn)["dbname"]
    admin = PostgresStore(admin_dsn, AsyncExitStack())
    await admin.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await _hang_up(admin_dsn, store)

    async def is_unreachable() -> bool:
        return isinstance(await outcome(store.recorder.ping()), OperationalError)

    await until(is_unreachable)
    with pytest.raises(OperationalError):
        await store.recorder.insert_events(events(uuid4(), 1))


async def test_subscribers_are_notified_after_the_connection_was_lost(
    admin_dsn: str, store: PostgresStore
):
    notified = anyio.Event()
    store.recorder.subscribe(notified.set)
    await _hang_up(admin_dsn, store)
    with anyio.fail_after(20):
        await notified.wait()


async def test_closing_commits_what_is_queued_and_takes_no_more(store: PostgresStore):
    recorder = await store.another_process()
    results: list[object] = []
    begun = 0

    async def append() -> None:
        nonlocal begun
        begun += 1
        results.append(await outcome(recorder.insert_events(events(uuid4(), 1))))

    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(append)
        while begun < 300:
            await checkpoint()
        await recorder.aclose()
    assert [type(result) for result in results] == [list] * 300
    for call in (
        recorder.insert_events(events(uuid4(), 1)),
        recorder.renew_leases("a", lease_seconds=LONG),
    ):
        with pytest.raises(OperationalError, match="the store is closed"):
            await call


async def test_a_database_without_our_schema_is_refused(empty_database_url: str):
    with pytest.raises(ProgrammingError, match="meetings_append"):
        await PostgresRecorder.open(empty_database_url)


async def test_a_database_that_is_not_there_is_refused(database_url: str):
    with pytest.raises(ProgrammingError, match="does not exist"):
        await PostgresRecorder.open(database_url.replace("/test_", "/no_such_"))
    with pytest.raises(OperationalError):
        await PostgresRecorder.open("postgresql://postgres@/x?host=/nowhere&port=1")


async def _is_locked(store: PostgresStore) -> bool:
    table = "mode = 'ExclusiveLock' AND relation = 'meetings_events'::regclass"
    return bool(await store.run(f"SELECT FROM pg_locks WHERE {table}"))


async def _someone_waits(store: PostgresStore) -> bool:
    return bool(await store.run("SELECT FROM pg_locks WHERE NOT granted"))


async def _hang_up(
    admin_dsn: str, store: PostgresStore, application_name: str = APPLICATION_NAME
) -> None:
    """End a connection, by default the one that writes and listens."""
    ended = await PostgresStore(admin_dsn, AsyncExitStack()).run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = $1 AND application_name = $2",
        conninfo_to_dict(store.dsn)["dbname"],
        application_name,
    )
    assert len(ended) == 1
