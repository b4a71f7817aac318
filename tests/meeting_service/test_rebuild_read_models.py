"""Rebuilding the read models: what was wrong is reported, and is right afterwards."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from msgspec.structs import replace

from meeting_core import Fact, MeetingMapper, fold
from meeting_core.model import Cancelled
from meeting_service.ports import ReadModels
from meeting_service.projections import read_models
from meeting_service.rebuild_read_models import Difference, Rebuilt, rebuild
from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.builders import convened, history, round_opened, spoken, whole_meeting
from tests.contracts.store_world import PostgresStore, summary, turn

pytestmark = pytest.mark.anyio

MAPPER = MeetingMapper()
NOTHING_WRONG: tuple[Difference, ...] = ()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    async with AsyncExitStack() as stack:
        store = PostgresStore(database_url, stack)
        store.recorder = await store.another_process()
        yield store


async def hold(store: PostgresStore, number: int, *facts: Fact) -> UUID:
    """Store a meeting with its rows, in one append."""
    meeting_id = UUID(int=number)
    events = [replace(event, originator_id=meeting_id) for event in history(*facts)]
    await store.recorder.insert_events(
        [MAPPER.to_stored_event(event) for event in events],
        read_models=read_models(None, fold(events)),
    )
    return meeting_id


async def plant(store: PostgresStore, meeting_id: UUID, rows: ReadModels) -> None:
    """Put rows into the read models that the events do not explain."""
    await store.recorder.correct_read_models(meeting_id, lambda _: rows)


async def rebuilt(store: PostgresStore) -> Rebuilt:
    """Rebuild, and see that a second time nothing is left to do."""
    recorder = store.recorder
    assert isinstance(recorder, PostgresRecorder)
    result = await rebuild(recorder, MAPPER)
    assert (await rebuild(recorder, MAPPER)).differences == NOTHING_WRONG
    return result


async def test_right_rows_are_left_alone(store: PostgresStore):
    for number in range(1, 6):
        await hold(store, number, *whole_meeting())
    assert await rebuilt(store) == Rebuilt(5, NOTHING_WRONG, ())


async def test_an_empty_store_has_nothing_to_rebuild(store: PostgresStore):
    assert await rebuilt(store) == Rebuilt(0, NOTHING_WRONG, ())


async def test_every_column_of_a_summary_that_differs_is_told_and_replaced(store: PostgresStore):
    meeting_id = await hold(store, 1, *whole_meeting(title="Weekly"))
    before = await store.recorder.select_read_models(meeting_id)
    await store.run("UPDATE meetings_summaries SET title = 'Daily', is_live = true")
    result = await rebuilt(store)
    columns = ("title", "is_live")
    assert result.differences == (Difference(meeting_id, "meetings_summaries", (), columns),)
    assert await store.recorder.select_read_models(meeting_id) == before


async def test_a_turn_that_differs_is_told_by_its_place(store: PostgresStore):
    meeting_id = await hold(store, 1, convened(), round_opened(1), *spoken("ann"), *spoken("bob"))
    await store.run("UPDATE meetings_turns SET response_tokens = 1 WHERE agent_id = 'bob'")
    (difference,) = (await rebuilt(store)).differences
    assert difference == Difference(meeting_id, "meetings_turns", (1, 1), ("response_tokens",))
    assert str(difference) == f"meetings_turns {meeting_id} 1 1: response_tokens"


async def test_missing_rows_are_told_and_written(store: PostgresStore):
    meeting_id = await hold(store, 1, convened(), round_opened(1), *spoken("ann"))
    await store.run("DELETE FROM meetings_summaries")
    await store.run("DELETE FROM meetings_turns")
    assert (await rebuilt(store)).differences == (
        Difference(meeting_id, "meetings_summaries", ()),
        Difference(meeting_id, "meetings_turns", (1, 0)),
    )


async def test_rows_that_no_event_explains_are_told_and_removed(store: PostgresStore):
    meeting_id = await hold(store, 2, *whole_meeting())
    unknown, unknown_too = UUID(int=1), UUID(int=3)
    right = await store.recorder.select_read_models(meeting_id)
    await plant(store, unknown, ReadModels(summary(unknown)))
    await plant(store, unknown_too, ReadModels(None, (turn(unknown_too),)))
    await plant(store, meeting_id, replace(right, turns=(*right.turns, turn(meeting_id, 9))))
    assert (await rebuilt(store)).differences == (
        Difference(unknown, "meetings_summaries", ()),
        Difference(meeting_id, "meetings_turns", (1, 9)),
        Difference(unknown_too, "meetings_turns", (1, 0)),
    )


async def test_a_history_that_makes_no_sense_is_told_and_its_rows_are_left(store: PostgresStore):
    meeting_id = await hold(store, 1, convened(), Cancelled())
    await hold(store, 2, *whole_meeting())
    await store.run("UPDATE meetings_events SET topic = 'nonsense' WHERE topic ~ 'cancelled'")
    rows = await store.recorder.select_read_models(meeting_id)
    result = await rebuild(store.recorder, MAPPER)
    assert (result.meetings, result.differences) == (2, NOTHING_WRONG)
    ((unreadable, reason),) = result.unreadable
    assert unreadable == meeting_id
    assert "nonsense" in reason
    assert await store.recorder.select_read_models(meeting_id) == rows


async def test_a_room_that_a_wrong_row_claims_goes_back_to_its_holder(store: PostgresStore):
    holder = await hold(store, 1, convened(room_id="lab"))
    other = await hold(store, 2, convened(room_id="attic"))
    await store.run("UPDATE meetings_summaries SET room_id = NULL WHERE meeting_id = $1", holder)
    await store.run("UPDATE meetings_summaries SET room_id = 'lab' WHERE meeting_id = $1", other)
    differences = (await rebuilt(store)).differences
    assert {(found.meeting_id, found.columns) for found in differences} == {
        (holder, ("room_id",)),
        (other, ("room_id",)),
    }


async def test_meetings_are_replayed_page_by_page(store: PostgresStore, monkeypatch):
    monkeypatch.setattr("meeting_service.rebuild_read_models.PAGE", 3)
    for number in range(1, 9):
        await hold(store, number, convened())
    assert (await rebuilt(store)).meetings == 8
