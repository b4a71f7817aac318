"""What every store does with leases: who may run a meeting, and who may no longer."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from meeting_service.ports import Fenced, Lease, ReadModels, Recorder
from tests.contracts.store_world import (
    LONG,
    START,
    Store,
    convene,
    end,
    events,
    summary,
    together,
    turn,
    versions,
)


async def register(recorder: Recorder, owner: str) -> None:
    await recorder.register_owner(owner, lease_seconds=LONG)


async def claim(recorder: Recorder, owner: str, limit: int = 100, **wanted: Any) -> list[Lease]:
    """Claim as a registered owner."""
    await register(recorder, owner)
    return list(await recorder.claim_leases(owner, lease_seconds=LONG, limit=limit, **wanted))


async def speak(recorder: Recorder, meeting_id: UUID, version: int, turn_index: int) -> None:
    """End one turn."""
    await recorder.insert_events(
        events(meeting_id, version), read_models=ReadModels(None, (turn(meeting_id, turn_index),))
    )


class LeaseContract:
    async def test_the_first_lease_comes_with_the_first_append(self, recorder: Recorder):
        await register(recorder, "a")
        meeting_id = await convene(recorder, owner="a")
        assert await recorder.insert_events(events(meeting_id, 2), epoch=1)
        assert await recorder.insert_events(events(meeting_id, 3, 4, 5), epoch=1)

    async def test_an_append_with_another_epoch_is_fenced(self, recorder: Recorder):
        meeting_id = await convene(recorder, owner="a")
        for version in ([2], [2, 3], [2, 3, 4]):
            for epoch in (0, 2):
                with pytest.raises(Fenced):
                    await recorder.insert_events(events(meeting_id, *version), epoch=epoch)
        assert await versions(recorder, meeting_id) == [1]

    async def test_an_append_with_an_epoch_needs_a_lease(self, recorder: Recorder):
        meeting_id = await convene(recorder)
        with pytest.raises(Fenced):
            await recorder.insert_events(events(meeting_id, 2), epoch=1)

    async def test_an_append_without_an_epoch_needs_no_lease(self, recorder: Recorder):
        meeting_id = await convene(recorder, owner="a")
        await claim(recorder, "b")
        assert await recorder.insert_events(events(meeting_id, 2))

    async def test_one_fenced_append_among_many_fails_no_other(self, recorder: Recorder):
        stale, *others = [await convene(recorder, owner="a") for _ in range(20)]
        results = await together(
            recorder.insert_events(events(stale, 2), epoch=7),
            *(recorder.insert_events(events(id_, 2), epoch=1) for id_ in others),
        )
        assert isinstance(results[0], Fenced)
        assert [type(result) for result in results[1:]] == [list] * 19

    async def test_nobody_claims_what_a_living_owner_holds(self, recorder: Recorder):
        await register(recorder, "a")
        await convene(recorder, owner="a")
        assert await claim(recorder, "b") == []

    async def test_what_an_owner_held_is_claimed_when_its_time_is_over(self, store: Store):
        recorder = store.recorder
        await register(recorder, "a")
        meeting_id = await convene(recorder, owner="a")
        await store.expire("a")
        assert await claim(recorder, "b") == [Lease(meeting_id, "b", 2, 1, "a")]
        assert await claim(recorder, "c") == []

    async def test_the_owner_before_is_fenced_from_the_claim_on(self, store: Store):
        recorder = store.recorder
        await register(recorder, "a")
        meeting_id = await convene(recorder, owner="a")
        await store.expire("a")
        # No owner has claimed the meeting yet, so no other process can be running it.
        assert await recorder.insert_events(events(meeting_id, 2), epoch=1)
        await claim(recorder, "b")
        await recorder.renew_leases("a", lease_seconds=LONG)
        with pytest.raises(Fenced):
            await recorder.insert_events(events(meeting_id, 3), epoch=1)
        assert await recorder.insert_events(events(meeting_id, 3), epoch=2)

    async def test_an_owner_that_is_back_in_time_keeps_its_leases(self, store: Store):
        recorder = store.recorder
        await register(recorder, "a")
        await convene(recorder, owner="a")
        await store.expire("a")
        assert await recorder.renew_leases("a", lease_seconds=LONG)
        assert await claim(recorder, "b") == []

    async def test_one_renewal_is_for_all_the_leases(self, store: Store):
        recorder = store.recorder
        await register(recorder, "a")
        for _ in range(5):
            await convene(recorder, owner="a")
        await store.expire("a")
        assert len(await claim(recorder, "b")) == 5
        await store.expire("b")
        assert await recorder.renew_leases("b", lease_seconds=LONG)
        assert await claim(recorder, "c") == []

    async def test_a_claim_renews_its_claimant(self, store: Store):
        recorder = store.recorder
        meeting_id = await convene(recorder)
        await register(recorder, "a")
        await store.expire("a")
        (lease,) = await recorder.claim_leases("a", lease_seconds=LONG, limit=9)
        assert lease == Lease(meeting_id, "a", lease.epoch, 1, None)
        assert await claim(recorder, "b") == []

    async def test_nothing_brings_a_released_owner_back_but_registering(self, recorder: Recorder):
        await register(recorder, "a")
        held = await convene(recorder, owner="a")
        await recorder.release_leases("a")
        assert not await recorder.renew_leases("a", lease_seconds=LONG)
        assert not await recorder.claim_leases("a", lease_seconds=LONG, limit=9, running=())
        assert await recorder.claim_meeting("a", held, lease_seconds=LONG) is None
        assert [lease.meeting_id for lease in await claim(recorder, "b")] == [held]
        assert not await recorder.renew_leases("a", lease_seconds=LONG)

    async def test_an_owner_that_was_never_registered_is_not_renewed(self, recorder: Recorder):
        assert not await recorder.renew_leases("a", lease_seconds=LONG)

    async def test_an_owner_gets_back_what_it_has_held_for_long_and_does_not_run(
        self, store: Store
    ):
        recorder = store.recorder
        await register(recorder, "a")
        # Its clock may be hours late or early: when it was convened does not matter.
        lost = await convene(recorder, owner="a", created_at=START + timedelta(days=1))
        run = await convene(recorder, owner="a", created_at=START - timedelta(days=1))
        assert await claim(recorder, "a", running={run}) == []
        await store.expire("a")
        assert await claim(recorder, "a", running={run}) == [Lease(lost, "a", 2, 1, "a")]
        assert await claim(recorder, "a", running={run}) == []

    async def test_one_meeting_is_claimed_by_its_id(self, store: Store):
        recorder = store.recorder
        await register(recorder, "a")
        await register(recorder, "b")
        meeting_id = await convene(recorder, owner="a", gateways=("local",))
        await convene(recorder)
        assert await recorder.claim_meeting("b", meeting_id, lease_seconds=LONG) is None
        await recorder.release_leases("a")
        lease = await recorder.claim_meeting("b", meeting_id, lease_seconds=LONG)
        assert lease == Lease(meeting_id, "b", 2, 1, "a")
        await end(recorder, meeting_id, 2)
        await recorder.release_leases("b")
        await register(recorder, "c")
        assert await recorder.claim_meeting("c", meeting_id, lease_seconds=LONG) is None
        assert await recorder.claim_meeting("c", uuid4(), lease_seconds=LONG) is None

    async def test_a_lost_lease_starts_above_any_epoch_there_was(self, recorder: Recorder):
        await convene(recorder)
        (lease,) = await claim(recorder, "a")
        assert lease.epoch > 1_000_000_000

    async def test_nobody_claims_its_own_meetings(self, store: Store):
        recorder = store.recorder
        await register(recorder, "a")
        await convene(recorder, owner="a")
        await store.expire("a")
        assert await claim(recorder, "a") == []

    async def test_released_leases_can_be_claimed_at_once(self, recorder: Recorder):
        await register(recorder, "a")
        held = {await convene(recorder, owner="a") for _ in range(3)}
        await recorder.release_leases("a")
        assert {lease.meeting_id for lease in await claim(recorder, "b")} == held

    async def test_ended_meetings_are_not_claimed(self, recorder: Recorder):
        meeting_id = await convene(recorder, owner="a")
        await end(recorder, meeting_id, 2)
        assert await claim(recorder, "b") == []

    async def test_the_end_of_a_meeting_is_the_end_of_its_lease(self, recorder: Recorder):
        meeting_id = await convene(recorder, owner="a")
        await end(recorder, meeting_id, 2)
        with pytest.raises(Fenced):
            await recorder.insert_events(events(meeting_id, 3), epoch=1)

    async def test_claims_without_a_turn_in_between_are_counted(self, store: Store):
        recorder = store.recorder
        await convene(recorder, owner="a")
        counts = []
        for owner in "bcdef":
            counts += [lease.claims for lease in await claim(recorder, owner)]
            await store.expire(owner)
        assert counts == [1, 2, 3, 4, 5]

    async def test_an_ended_turn_starts_the_count_again(self, store: Store):
        recorder = store.recorder
        meeting_id = await convene(recorder, owner="a")
        await speak(recorder, meeting_id, 2, 0)
        counts = []
        for owner in "bcdef":
            counts += [lease.claims for lease in await claim(recorder, owner)]
            if owner == "c":
                await speak(recorder, meeting_id, 3, 1)
            await store.expire(owner)
        assert counts == [1, 2, 1, 2, 3]

    async def test_leases_given_up_in_good_order_do_not_count(self, recorder: Recorder):
        await convene(recorder, owner="a")
        counts = []
        for owner in "bcdef":
            counts += [lease.claims for lease in await claim(recorder, owner)]
            await recorder.release_leases(owner)
        assert counts == [1, 1, 1, 1, 1]

    async def test_epochs_only_grow(self, store: Store):
        await convene(store.recorder, owner="a")
        epochs = []
        for owner in "bcdef":
            epochs += [lease.epoch for lease in await claim(store.recorder, owner)]
            await store.expire(owner)
        assert epochs == [2, 3, 4, 5, 6]

    async def test_claims_are_limited_and_the_oldest_comes_first(self, recorder: Recorder):
        ages = [3, 1, 2]
        meetings = {
            age: await convene(recorder, created_at=START - timedelta(hours=age)) for age in ages
        }
        first = await claim(recorder, "a", limit=2)
        assert {lease.meeting_id for lease in first} == {meetings[3], meetings[2]}
        assert [lease.meeting_id for lease in await claim(recorder, "b")] == [meetings[1]]

    async def test_two_claimants_never_get_the_same_meeting(self, store: Store):
        recorders = [store.recorder, await store.another_process()]
        meetings = [await convene(store.recorder) for _ in range(60)]
        claims = await together(
            *(claim(recorders[n % 2], f"owner-{n}", limit=7) for n in range(10))
        )
        claimed = [lease.meeting_id for leases in claims for lease in leases]  # type: ignore[attr-defined]
        assert sorted(claimed) == sorted(meetings)

    async def test_a_meeting_that_came_back_to_life_in_the_list_can_be_claimed(
        self, recorder: Recorder
    ):
        meeting_id = await convene(recorder, owner="a")
        await end(recorder, meeting_id, 2)
        row = summary(meeting_id, is_live=True)
        await recorder.insert_events(events(meeting_id, 3), read_models=ReadModels(row))
        assert [lease.meeting_id for lease in await claim(recorder, "b")] == [meeting_id]
