"""How appends are put together, by a commit that the test controls."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    OperationalError,
    StoredEvent,
)

from meeting_service.ports import NO_READ_MODELS, ReadModels
from meeting_service.store.postgres import group_commit as writer
from meeting_service.store.postgres.append_request import Append
from meeting_service.store.postgres.group_commit import GroupCommit
from tests.contracts.store_world import events, outcome, summary

pytestmark = pytest.mark.anyio


class Database:
    """Takes batches, keeps them, and answers as the test sets it."""

    def __init__(self) -> None:
        self.batches: list[list[Append]] = []
        self.group = GroupCommit()
        self.gate = anyio.Event()
        self.refuses: dict[UUID, Exception] = {}
        self.is_lost = False
        self.results: dict[int, object] = {}

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    async def commit(self, batch: Sequence[Append]) -> None:
        self.batches.append(list(batch))
        await self.gate.wait()
        for append in batch:
            if append.meeting_id in self.refuses:
                raise self.refuses[append.meeting_id]
        for append in batch:
            append.accept([append.version])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Database"]:
        self.group.open()
        async with anyio.create_task_group() as tasks:
            self.tasks = tasks
            tasks.start_soon(self._serve)
            yield self
            self.gate.set()
            self.group.close()

    async def _serve(self) -> None:
        self.served = await outcome(self.group.serve(self.commit, lambda: self.is_lost))

    async def send(self, *appends: Append) -> None:
        """Start appends in this order, and return once they are queued."""
        for append in appends:
            self.tasks.start_soon(self._append, len(self.results), append)
            self.results[len(self.results)] = None
        for _ in range(3):
            await checkpoint()

    async def _append(self, number: int, append: Append) -> None:
        self.results[number] = await outcome(self.group.append(append))


def append(
    meeting_id: UUID | None = None,
    version: int = 1,
    room: str | None = None,
    stored: list[StoredEvent] | None = None,
) -> Append:
    meeting_id = meeting_id or uuid4()
    rows = ReadModels(summary(meeting_id, room_id=room)) if room else NO_READ_MODELS
    return Append(stored or events(meeting_id, version), None, None, rows)


async def test_an_append_alone_does_not_wait_for_company():
    async with Database().serving() as database:
        database.gate.set()
        await database.send(append())
        assert database.sizes == [1]
    assert database.results == {0: [1]}


async def test_what_comes_during_a_commit_goes_together_into_the_next():
    async with Database().serving() as database:
        await database.send(append())
        await database.send(*(append() for _ in range(4)))
        database.gate.set()
    assert database.sizes == [1, 4]


async def test_of_many_three_quarters_go_first_so_that_they_run_on_while_the_last_is_committed():
    async with Database().serving() as database:
        await database.send(append())
        await database.send(*(append() for _ in range(100)))
        database.gate.set()
    assert database.sizes == [1, 75, 18, 5, 2]


async def test_a_batch_holds_one_append_of_a_meeting_and_keeps_their_order():
    one, other = uuid4(), uuid4()
    async with Database().serving() as database:
        await database.send(append())
        await database.send(
            append(one, 1), append(one, 2), append(other, 1), append(one, 3), append(other, 2)
        )
        database.gate.set()
    contents = [[(a.meeting_id, a.version) for a in batch] for batch in database.batches[1:]]
    assert contents == [
        [(one, 1), (other, 1)],
        [(one, 2), (other, 2)],
        [(one, 3)],
    ]


async def test_a_batch_holds_one_append_of_a_room_and_nothing_overtakes():
    late = uuid4()
    async with Database().serving() as database:
        await database.send(append())
        await database.send(append(room="lab"), append(late, 1, room="lab"), append(late, 2))
        database.gate.set()
    assert database.sizes == [1, 1, 1, 1]
    assert [batch[0].version for batch in database.batches[2:]] == [1, 2]


async def test_batches_are_bounded_by_appends_and_by_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "MAX_APPENDS", 10)
    monkeypatch.setattr(writer, "MAX_BYTES", 100)
    heavy = [append(stored=[StoredEvent(uuid4(), 1, "t", b"x" * 100)]) for _ in range(3)]
    async with Database().serving() as database:
        await database.send(append())
        await database.send(*(append() for _ in range(15)))
        await database.send(*heavy)
        database.gate.set()
    assert database.sizes == [1, 10, 5 + 1, 1, 1]


async def test_when_a_batch_cannot_be_stored_only_the_culprit_fails():
    culprit = append()
    async with Database().serving() as database:
        database.refuses[culprit.meeting_id] = DataError("no text")
        await database.send(append())
        await database.send(append(), culprit, append())
        database.gate.set()
    assert database.sizes == [1, 3, 1, 1, 1]
    assert [type(result) for result in database.results.values()] == [list, list, DataError, list]


async def test_a_refusal_is_for_the_one_refused():
    async with Database().serving() as database:
        lone = append()
        database.refuses[lone.meeting_id] = IntegrityError("taken")
        database.gate.set()
        await database.send(lone)
        await database.send(append())
    assert [type(result) for result in database.results.values()] == [IntegrityError, list]


async def test_a_lost_connection_fails_all_that_wait_and_all_that_come():
    under_way = append()
    async with Database().serving() as database:
        database.refuses[under_way.meeting_id] = OperationalError("gone")
        await database.send(under_way)
        await database.send(append(), append())
        database.is_lost = True
        database.gate.set()
        await checkpoint()
        await database.send(append())
        assert isinstance(database.served, OperationalError)
    assert database.sizes == [1]
    assert [type(result) for result in database.results.values()] == [OperationalError] * 4
    # Errors raised for several callers are not the same object: each grows its own traceback.
    assert len({id(result) for result in database.results.values()}) == 4


async def test_a_database_that_is_too_busy_fails_one_batch_and_goes_on():
    busy = append()
    async with Database().serving() as database:
        database.refuses[busy.meeting_id] = OperationalError("lock timeout")
        database.gate.set()
        await database.send(busy)
        await database.send(append())
    assert [type(result) for result in database.results.values()] == [OperationalError, list]


async def test_a_connection_lost_while_idle_is_noticed():
    async with Database().serving() as database:
        await database.send()
        database.is_lost = True
        database.group.wake()
        await database.send()
        assert isinstance(database.served, OperationalError)


async def test_closing_commits_what_is_queued_and_refuses_the_rest():
    async with Database().serving() as database:
        await database.send(append())
        await database.send(append(), append())
        database.group.close()
        await database.send(append())
        database.gate.set()
    assert [type(result) for result in database.results.values()] == [
        list,
        list,
        list,
        OperationalError,
    ]
    assert database.served is None


async def test_a_queue_that_is_not_open_takes_nothing():
    with pytest.raises(OperationalError):
        await GroupCommit().append(append())
