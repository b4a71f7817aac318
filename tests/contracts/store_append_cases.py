"""What every store does with appends and reads."""

from collections import Counter
from uuid import UUID, uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint
from eventsourcing.persistence import DataError, IntegrityError, ProgrammingError

from meeting_service.ports import (
    Fenced,
    ReadModels,
    Recorder,
    RoomTaken,
    TooManyLive,
    VersionConflict,
)
from tests.contracts.store_world import (
    Store,
    convene,
    end,
    event,
    events,
    outcome,
    summary,
    together,
    turn,
    until,
    versions,
)


class AppendContract:
    async def test_an_append_returns_the_positions_of_its_events(self, recorder: Recorder):
        meeting_id = uuid4()
        assert await recorder.insert_events(events(meeting_id, 1, 2, 3)) == [1, 2, 3]
        assert await recorder.insert_events(events(meeting_id, 4)) == [4]
        assert await recorder.max_notification_id() == 4

    async def test_nothing_to_append_changes_nothing(self, recorder: Recorder):
        assert not await recorder.insert_events([])
        assert await recorder.max_notification_id() is None

    async def test_events_come_back_as_they_were_stored(self, recorder: Recorder):
        meeting_id = uuid4()
        stored = events(meeting_id, 1, 2, 3, 4)
        await recorder.insert_events(stored)
        await recorder.insert_events(events(uuid4(), 1))
        assert list(await recorder.select_events(meeting_id)) == stored

    async def test_events_are_read_between_two_versions(self, recorder: Recorder):
        meeting_id = uuid4()
        stored = events(meeting_id, 1, 2, 3, 4, 5)
        await recorder.insert_events(stored)
        read = recorder.select_events
        assert list(await read(meeting_id, gt=2)) == stored[2:]
        assert list(await read(meeting_id, lte=2)) == stored[:2]
        assert list(await read(meeting_id, gt=1, lte=4, limit=2)) == stored[1:3]
        assert list(await read(meeting_id, desc=True, limit=2)) == stored[:2:-1]
        assert list(await read(meeting_id, gt=5)) == []

    async def test_a_taken_version_is_a_conflict_and_stores_nothing(self, recorder: Recorder):
        meeting_id = uuid4()
        await recorder.insert_events(events(meeting_id, 1, 2))
        with pytest.raises(VersionConflict):
            await recorder.insert_events(events(meeting_id, 2, 3, 4))
        assert await versions(recorder, meeting_id) == [1, 2]

    async def test_the_same_version_twice_in_an_append_stores_nothing(self, recorder: Recorder):
        meeting_id = uuid4()
        with pytest.raises(VersionConflict):
            await recorder.insert_events(events(meeting_id, 1, 1))
        with pytest.raises(VersionConflict):
            await recorder.insert_events(events(meeting_id, 1, 2, 2))
        assert await versions(recorder, meeting_id) == []

    async def test_of_rivals_for_a_version_exactly_one_wins(self, recorder: Recorder):
        meeting_id = uuid4()
        results = await together(
            *(recorder.insert_events([event(meeting_id, 1, f"rival-{n}")]) for n in range(20))
        )
        assert sum(isinstance(result, VersionConflict) for result in results) == 19
        assert await versions(recorder, meeting_id) == [1]

    async def test_one_conflict_among_many_appends_fails_no_other(self, recorder: Recorder):
        meetings = [uuid4() for _ in range(50)]
        await together(*(recorder.insert_events(events(id_, 1)) for id_ in meetings[::10]))
        results = await together(*(recorder.insert_events(events(id_, 1, 2)) for id_ in meetings))
        failed = [id_ for id_, result in zip(meetings, results, strict=True) if _failed(result)]
        assert failed == meetings[::10]
        assert await versions(recorder, meetings[0]) == [1]
        assert await versions(recorder, meetings[1]) == [1, 2]

    async def test_an_append_that_cannot_be_stored_fails_no_other(self, recorder: Recorder):
        bad, odd, good = uuid4(), uuid4(), uuid4()
        results = await together(
            recorder.insert_events(
                events(bad, 1), read_models=ReadModels(summary(bad, title="a\x00b"))
            ),
            recorder.insert_events(events(odd, 1, 1)),
            recorder.insert_events(events(good, 1)),
            recorder.insert_events(
                events(bad, 1), read_models=ReadModels(summary(bad, title="a\ud800b"))
            ),
        )
        assert [type(result) for result in results] == [
            DataError,
            VersionConflict,
            list,
            DataError,
        ]
        assert await versions(recorder, bad) == []

    async def test_an_append_is_of_one_meeting_only(self, recorder: Recorder):
        with pytest.raises(ProgrammingError):
            await recorder.insert_events([event(uuid4()), event(uuid4())])
        for rows in (ReadModels(summary()), ReadModels(None, (turn(uuid4()),))):
            with pytest.raises(ProgrammingError):
                await recorder.insert_events([event(uuid4())], read_models=rows)
        assert await recorder.max_notification_id() is None

    async def test_appends_of_one_meeting_keep_their_order(self, recorder: Recorder):
        meeting_id = uuid4()
        appends = [recorder.insert_events(events(meeting_id, n)) for n in range(1, 41)]
        assert await together(*appends) == [[n] for n in range(1, 41)]

    async def test_a_cancelled_append_is_committed_all_the_same(self, recorder: Recorder):
        meetings = [uuid4() for _ in range(30)]
        begun: list[UUID] = []

        async def append(meeting_id: UUID) -> None:
            begun.append(meeting_id)
            await recorder.insert_events(events(meeting_id, 1, 2))

        async with anyio.create_task_group() as tasks:
            for meeting_id in meetings:
                tasks.start_soon(append, meeting_id)
            while len(begun) < len(meetings):
                await checkpoint()
            tasks.cancel_scope.cancel()

        async def all_are_stored() -> bool:
            return await recorder.max_notification_id() == 60

        await until(all_are_stored)
        assert [await versions(recorder, meeting_id) for meeting_id in meetings] == [[1, 2]] * 30

    async def test_notifications_are_all_events_in_commit_order(self, recorder: Recorder):
        first, second = uuid4(), uuid4()
        await recorder.insert_events(events(first, 1, 2))
        await recorder.insert_events([event(second, 1, "other")])
        await recorder.insert_events(events(first, 3))
        read = recorder.select_notifications
        found = [(n.id, n.originator_id, n.originator_version) for n in await read(None, 10)]
        assert found == [(1, first, 1), (2, first, 2), (3, second, 1), (4, first, 3)]
        assert [n.id for n in await read(2, 10)] == [2, 3, 4]
        assert [n.id for n in await read(2, 10, inclusive_of_start=False)] == [3, 4]
        assert [n.id for n in await read(1, 10, stop=3)] == [1, 2, 3]
        assert [n.id for n in await read(None, 10, topics=["other"])] == [3]
        assert [n.id for n in await read(None, 2)] == [1, 2]

    async def test_a_subscriber_is_notified_of_an_append_by_anyone(self, store: Store):
        notified = anyio.Event()
        store.recorder.subscribe(notified.set)
        other = await store.another_process()
        await other.insert_events(events(uuid4(), 1))
        with anyio.fail_after(10):
            await notified.wait()

    async def test_every_subscriber_is_notified(self, recorder: Recorder):
        notified: list[str] = []
        recorder.subscribe(lambda: notified.append("one"))
        recorder.subscribe(lambda: notified.append("two"))
        await recorder.insert_events(events(uuid4(), 1))

        async def both_were() -> bool:
            return {"one", "two"} <= set(notified)

        await until(both_were)

    async def test_a_room_takes_one_live_meeting(self, recorder: Recorder):
        holder = await convene(recorder, room_id="lab")
        other = uuid4()
        with pytest.raises(RoomTaken) as refused:
            await convene(recorder, meeting_id=other, room_id="lab")
        assert (refused.value.room_id, refused.value.meeting_id) == ("lab", holder)
        assert await versions(recorder, other) == []

    async def test_an_ended_meeting_gives_its_room_up(self, recorder: Recorder):
        holder = await convene(recorder, room_id="lab")
        await end(recorder, holder, 2, room_id="lab")
        await convene(recorder, room_id="lab")
        assert await recorder.count_live() == 1

    async def test_the_holder_of_a_room_may_change_its_row(self, recorder: Recorder):
        holder = await convene(recorder, room_id="lab")
        row = summary(holder, room_id="lab", state="round_2")
        assert await recorder.insert_events(events(holder, 2), read_models=ReadModels(row))

    async def test_of_rivals_for_a_room_exactly_one_wins(self, store: Store):
        recorders = [store.recorder, await store.another_process()]
        results = await together(
            *(outcome(convene(recorders[n % 2], room_id="lab")) for n in range(20))
        )
        assert sum(isinstance(result, RoomTaken) for result in results) == 19
        assert await store.recorder.count_live() == 1

    async def test_only_so_many_meetings_may_be_live(self, recorder: Recorder):
        first = await convene(recorder, owner="a", max_live=2)
        await convene(recorder, owner="a", max_live=2)
        late = uuid4()
        with pytest.raises(TooManyLive) as refused:
            await convene(recorder, owner="a", max_live=2, meeting_id=late)
        assert refused.value.max_live == 2
        assert await versions(recorder, late) == []
        await end(recorder, first, 2)
        await convene(recorder, owner="a", max_live=2, meeting_id=late)

    async def test_a_start_that_is_sent_again_finds_itself_whatever_the_limit(
        self, recorder: Recorder
    ):
        meeting_id = await convene(recorder, owner="a", max_live=1)
        with pytest.raises(VersionConflict):
            await convene(recorder, owner="a", max_live=1, meeting_id=meeting_id)

    async def test_concurrent_starts_do_not_pass_the_limit(self, store: Store):
        recorders = [store.recorder, await store.another_process()]
        await convene(store.recorder, room_id="taken")
        # A start that is refused for another reason takes no place.
        starts = (
            convene(
                recorders[n % 2], owner="a", max_live=8, room_id="taken" if n % 5 == 0 else None
            )
            for n in range(40)
        )
        results = await together(*(outcome(start) for start in starts))
        counts = Counter(type(result) for result in results)
        assert counts == {UUID: 7, RoomTaken: 8, TooManyLive: 25}
        assert await store.recorder.count_live() == 8

    async def test_the_first_refusal_is_the_taken_version(self, recorder: Recorder):
        # So that a retried append finds itself, even if the lease was lost meanwhile.
        meeting_id = await convene(recorder, owner="a")
        for second in ([], events(meeting_id, 2)):
            with pytest.raises(VersionConflict):
                await recorder.insert_events([event(meeting_id, 1), *second], epoch=9)

    async def test_refusals_are_what_the_library_calls_integrity_errors(self):
        assert all(
            issubclass(refusal, IntegrityError)
            for refusal in (VersionConflict, Fenced, RoomTaken, TooManyLive)
        )

    async def test_an_ended_turn_is_stored_with_its_event(self, store: Store):
        meeting_id = await convene(store.recorder)
        await store.recorder.insert_events(
            events(meeting_id, 2, 3), read_models=ReadModels(None, (turn(meeting_id),))
        )
        row = turn(meeting_id, 1, skipped_reason="timed_out", usage_source="unknown")
        await store.recorder.insert_events(
            events(meeting_id, 4, 5, 6), read_models=ReadModels(None, (row,))
        )
        stored = await store.recorder.select_read_models(meeting_id)
        assert stored == ReadModels(summary(meeting_id), (turn(meeting_id), row))

    async def test_a_refused_append_leaves_the_rows_as_they_were(self, recorder: Recorder):
        meeting_id = await convene(recorder)
        for version in ([1], [1, 2]):
            late = ReadModels(summary(meeting_id, state="complete"), (turn(meeting_id),))
            with pytest.raises(VersionConflict):
                await recorder.insert_events(events(meeting_id, *version), read_models=late)
            with pytest.raises(VersionConflict):
                await recorder.insert_events(
                    events(meeting_id, *version), read_models=ReadModels(None, late.turns)
                )
        assert await recorder.select_read_models(meeting_id) == ReadModels(summary(meeting_id))

    async def test_a_row_written_again_is_replaced(self, recorder: Recorder):
        meeting_id = await convene(recorder)
        for version, tokens in ((2, 10), (3, 2**40)):
            row = turn(meeting_id, prompt_tokens=tokens)
            await recorder.insert_events(
                events(meeting_id, version), read_models=ReadModels(None, (row,))
            )
        assert (await recorder.select_read_models(meeting_id)).turns == (row,)


def _failed(result: object) -> bool:
    return isinstance(result, VersionConflict)
