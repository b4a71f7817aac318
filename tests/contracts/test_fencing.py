"""Nothing is appended by what was true before the wait for the lock: not by either statement, not
under any isolation level that a database has by default.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import anyio
import asyncpg
import pytest
from eventsourcing.persistence import StoredEvent

from meeting_service.ports import Fenced, RoomTaken, TooManyLive, VersionConflict
from meeting_service.store.postgres.append_request import MAX_EVENTS_ALONE
from tests.contracts.store_world import (
    LONG,
    PostgresStore,
    convene,
    events,
    together,
    until,
    versions,
)

pytestmark = pytest.mark.anyio

LOCK = "SELECT pg_advisory_xact_lock(7882818273441376115)"
CHANGES: dict[str, tuple[str, type[Exception]]] = {
    "claimed": ("UPDATE meetings_leases SET owner = 'b', epoch = 2", Fenced),
    "given up": ("DELETE FROM meetings_leases", Fenced),
    "quarantined": (
        "UPDATE meetings_leases SET owner = NULL, epoch = 2, quarantined = 'x'",
        Fenced,
    ),
    "appended to": (
        "INSERT INTO meetings_events SELECT meeting_id, 2, 'topic', '' FROM meetings_leases",
        VersionConflict,
    ),
}


def short(meeting_id: UUID) -> list[StoredEvent]:
    """The events of an append that the short statement takes, where it comes alone."""
    return events(meeting_id, 2, 3)


def long(meeting_id: UUID) -> list[StoredEvent]:
    """The events of an append that only the other statement takes."""
    return events(meeting_id, *range(2, MAX_EVENTS_ALONE + 3))


@pytest.fixture(params=["read committed", "repeatable read", "serializable"])
async def store(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[PostgresStore]:
    async with AsyncExitStack() as stack:
        store = PostgresStore(database_url, stack)
        await store.isolate_by_default(request.param)
        store.recorder = await store.another_process()
        yield store


async def while_locked(store: PostgresStore, change: str, *calls) -> list[object]:
    """Make calls that wait for the lock while its holder changes something and commits."""
    results: list[object] = []

    async def make_them() -> None:
        results.extend(await together(*calls))

    async def one_waits() -> bool:
        return bool(await store.run("SELECT FROM pg_locks WHERE NOT granted"))

    connection = await asyncpg.connect(store.dsn)
    try:
        async with anyio.create_task_group() as tasks:
            await connection.execute(f"BEGIN; {LOCK}")
            tasks.start_soon(make_them)
            await until(one_waits)
            await connection.execute(f"{change}; COMMIT")
    finally:
        await connection.close()
    return results


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("written", [short, long])
async def test_what_changed_during_the_wait_refuses_the_append(
    store: PostgresStore, written: Callable[[UUID], list[StoredEvent]], change: str
):
    meeting_id = await convene(store.recorder, owner="a")
    statement, refusal = CHANGES[change]
    append = store.recorder.insert_events(written(meeting_id), epoch=1)
    (result,) = await while_locked(store, statement, append)
    assert type(result) is refusal
    assert await versions(store.recorder, meeting_id) in ([1], [1, 2])


async def test_a_room_taken_during_the_wait_is_taken(store: PostgresStore):
    holder = await convene(store.recorder)
    result = await while_locked(
        store,
        "UPDATE meetings_summaries SET room_id = 'lab'",
        convene(store.recorder, room_id="lab"),
    )
    assert [(type(each), each.meeting_id) for each in result] == [(RoomTaken, holder)]


async def test_a_meeting_that_is_live_since_the_wait_counts(store: PostgresStore):
    ended = await convene(store.recorder)
    await store.run("UPDATE meetings_summaries SET is_live = false")
    start = convene(store.recorder, owner="a", max_live=1)
    (result,) = await while_locked(store, "UPDATE meetings_summaries SET is_live = true", start)
    assert type(result) is TooManyLive
    assert await versions(store.recorder, ended) == [1]


async def test_a_meeting_claimed_during_the_wait_is_not_claimed_again(store: PostgresStore):
    await convene(store.recorder)
    for owner in "ab":
        await store.recorder.register_owner(owner, lease_seconds=LONG)
    claimed = "INSERT INTO meetings_leases SELECT meeting_id, 'a', 1, 1, 0 FROM meetings_summaries"
    claim = store.recorder.claim_leases("b", lease_seconds=LONG, limit=9)
    assert await while_locked(store, claimed, claim) == [[]]


async def test_a_meeting_claimed_during_the_wait_is_not_put_aside(store: PostgresStore):
    meeting_id = await convene(store.recorder, owner="a")
    statement, _ = CHANGES["claimed"]
    call = store.recorder.quarantine(meeting_id, owner="a", epoch=1, reason="odd")
    assert await while_locked(store, statement, call) == [False]


async def test_a_room_taken_during_the_wait_keeps_a_meeting_in_quarantine(store: PostgresStore):
    await store.recorder.register_owner("a", lease_seconds=LONG)
    aside = await convene(store.recorder, owner="a", room_id="lab")
    await store.recorder.quarantine(aside, owner="a", epoch=1, reason="odd")
    other = await convene(store.recorder, meeting_id=uuid4())
    taken = f"UPDATE meetings_summaries SET room_id = 'lab' WHERE meeting_id = '{other}'"
    (result,) = await while_locked(store, taken, store.recorder.release_quarantine(aside))
    assert type(result) is RoomTaken
    assert await store.recorder.quarantine_reason(aside) == "odd"
