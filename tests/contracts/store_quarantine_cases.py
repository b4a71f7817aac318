"""What every store does with meetings that were put aside because they cannot be run."""

from uuid import UUID, uuid4

import pytest

from meeting_service.ports import Fenced, Lease, ReadModels, Recorder, RoomTaken, SummaryFilter
from tests.contracts.store_lease_cases import claim, register
from tests.contracts.store_world import (
    LONG,
    Store,
    convene,
    end,
    events,
    summary,
    turn,
    versions,
)

REASON = "event 4 does not decode"


async def quarantined(recorder: Recorder, reason: str = REASON, **changes: object) -> UUID:
    """Convene a meeting that owner `a` runs and puts aside."""
    await register(recorder, "a")
    meeting_id = await convene(recorder, owner="a", **changes)
    assert await recorder.quarantine(meeting_id, owner="a", epoch=1, reason=reason)
    return meeting_id


class QuarantineContract:
    async def test_nobody_claims_a_quarantined_meeting(self, store: Store):
        recorder = store.recorder
        meeting_id = await quarantined(recorder)
        await store.expire("a")
        for owner in "ab":
            assert await claim(recorder, owner, running=()) == []
            assert await recorder.claim_meeting(owner, meeting_id, lease_seconds=LONG) is None
        assert await recorder.wait_for_gateways([], seconds=1.0) == []

    async def test_the_owner_of_a_quarantined_meeting_is_fenced(self, recorder: Recorder):
        meeting_id = await quarantined(recorder)
        for version in ([2], [2, 3, 4, 5, 6]):
            with pytest.raises(Fenced):
                await recorder.insert_events(events(meeting_id, *version), epoch=1)
        assert await versions(recorder, meeting_id) == [1]

    async def test_only_the_holder_of_the_lease_can_put_a_meeting_aside(self, recorder: Recorder):
        await register(recorder, "a")
        meeting_id = await convene(recorder, owner="a")
        for owner, epoch in (("b", 1), ("a", 2)):
            assert not await recorder.quarantine(
                meeting_id, owner=owner, epoch=epoch, reason=REASON
            )
        assert not await recorder.quarantine(uuid4(), owner="a", epoch=1, reason=REASON)
        assert await recorder.quarantine_reason(meeting_id) is None
        assert await recorder.insert_events(events(meeting_id, 2), epoch=1)

    async def test_a_meeting_is_put_aside_once(self, recorder: Recorder):
        meeting_id = await quarantined(recorder)
        for epoch in (1, 2):
            assert not await recorder.quarantine(meeting_id, owner="a", epoch=epoch, reason="x")
        assert await recorder.quarantine_reason(meeting_id) == REASON

    async def test_a_quarantined_meeting_is_not_live(self, recorder: Recorder):
        await quarantined(recorder)
        assert await recorder.count_live() == 0
        await convene(recorder, owner="a", max_live=1)

    async def test_a_quarantined_meeting_does_not_hold_its_room(self, recorder: Recorder):
        aside = await quarantined(recorder, room_id="lab")
        await convene(recorder, room_id="lab")
        # A process that can read it may still change it; that takes no live meeting's room.
        row = summary(aside, room_id="lab", state="paused")
        assert await recorder.insert_events(events(aside, 2), read_models=ReadModels(row))

    async def test_the_list_shows_it_as_last_known_with_the_reason(self, recorder: Recorder):
        meeting_id = await quarantined(recorder, state="round_2")
        page = await recorder.select_summaries(SummaryFilter(state="round_2"))
        row = summary(meeting_id, state="round_2", is_live=False, quarantined=REASON)
        assert page.rows == (row,)

    async def test_no_append_writes_the_reason(self, recorder: Recorder):
        meeting_id = uuid4()
        rows = ReadModels(summary(meeting_id, quarantined="made up"))
        await recorder.insert_events(events(meeting_id, 1), read_models=rows)
        (row,) = (await recorder.select_summaries(SummaryFilter())).rows
        assert row.quarantined is None
        assert await recorder.quarantine_reason(meeting_id) is None
        assert (await recorder.select_read_models(meeting_id)).summary == summary(meeting_id)

    async def test_quarantined_meetings_are_listed_in_the_order_they_were_put_aside(
        self, store: Store
    ):
        recorder = store.recorder
        await convene(recorder)
        first = await quarantined(recorder, title="Weekly", state="round_2")
        await store.pass_time(1.0)
        second = await quarantined(recorder, "another")
        found = await recorder.select_quarantined(9)
        assert [(each.meeting_id, each.reason) for each in found] == [
            (first, REASON),
            (second, "another"),
        ]
        assert (found[0].title, found[0].state) == ("Weekly", "round_2")
        assert found[0].since < found[1].since
        assert await recorder.select_quarantined(1) == [found[0]]
        assert await recorder.quarantine_reason(second) == "another"
        assert await recorder.quarantine_reason(uuid4()) is None

    async def test_a_released_meeting_is_live_and_anyone_may_claim_it(self, recorder: Recorder):
        meeting_id = await quarantined(recorder)
        assert await recorder.release_quarantine(meeting_id)
        assert not await recorder.release_quarantine(meeting_id)
        assert await recorder.quarantine_reason(meeting_id) is None
        assert await recorder.count_live() == 1
        assert (await recorder.select_summaries(SummaryFilter())).rows == (summary(meeting_id),)
        with pytest.raises(Fenced):
            await recorder.insert_events(events(meeting_id, 2), epoch=1)
        assert await claim(recorder, "b") == [Lease(meeting_id, "b", 3, 1, None)]

    async def test_a_release_starts_the_count_of_claims_again(self, store: Store):
        recorder = store.recorder
        meeting_id = await convene(recorder)
        for owner in "abc":
            (lease,) = await claim(recorder, owner)
            await store.expire(owner)
        assert await recorder.quarantine(meeting_id, owner="c", epoch=lease.epoch, reason=REASON)
        await recorder.release_quarantine(meeting_id)
        (lease,) = await claim(recorder, "d")
        assert lease.claims == 1

    async def test_a_meeting_whose_room_is_taken_stays_in_quarantine(self, recorder: Recorder):
        aside = await quarantined(recorder, room_id="lab")
        holder = await convene(recorder, room_id="lab")
        with pytest.raises(RoomTaken) as refused:
            await recorder.release_quarantine(aside)
        assert (refused.value.room_id, refused.value.meeting_id) == ("lab", holder)
        assert await recorder.quarantine_reason(aside) == REASON
        await end(recorder, holder, 2, room_id="lab")
        assert await recorder.release_quarantine(aside)

    async def test_a_meeting_that_is_not_in_quarantine_cannot_be_released(self, recorder: Recorder):
        assert not await recorder.release_quarantine(await convene(recorder, owner="a"))
        assert not await recorder.release_quarantine(uuid4())

    async def test_the_end_of_a_meeting_is_the_end_of_its_quarantine(self, recorder: Recorder):
        meeting_id = await quarantined(recorder)
        await end(recorder, meeting_id, 2)
        assert await recorder.quarantine_reason(meeting_id) is None
        assert await recorder.select_quarantined(9) == []

    async def test_a_rebuild_keeps_a_quarantine(self, recorder: Recorder):
        meeting_id = await quarantined(recorder)
        right = ReadModels(summary(meeting_id), (turn(meeting_id),))
        stored = await recorder.correct_read_models(meeting_id, lambda _: right)
        assert stored == (ReadModels(summary(meeting_id)), right)
        assert await recorder.quarantine_reason(meeting_id) == REASON
        assert await recorder.count_live() == 0

    async def test_a_reason_is_kept_without_what_no_store_takes(self, recorder: Recorder):
        meeting_id = await quarantined(recorder, "a\x00b\ud800c")
        assert await recorder.quarantine_reason(meeting_id) == "abc"
