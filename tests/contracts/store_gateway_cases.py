"""What every store does with meetings whose gateways a process lacks."""

from uuid import UUID

import pytest

from meeting_service.ports import MissingGateway, Recorder
from tests.contracts.store_lease_cases import claim, register
from tests.contracts.store_world import LONG, Store, convene, end

POLL = 10.0


async def waits(recorder: Recorder, *gateways: str) -> dict[UUID, tuple[str, float]]:
    """Wait as a process with these gateways; give the missing one and the time by meeting."""
    found = await recorder.wait_for_gateways(gateways, seconds=POLL)
    assert all(isinstance(each, MissingGateway) for each in found)
    return {each.meeting_id: (each.gateway, each.waited_seconds) for each in found}


class GatewayContract:
    async def test_a_process_claims_only_meetings_whose_gateways_it_has(self, recorder: Recorder):
        both = await convene(recorder, gateways=("local", "cloud"))
        local = await convene(recorder, gateways=("local",))
        assert await claim(recorder, "a", gateways=()) == []
        (lease,) = await claim(recorder, "a", gateways=["local"])
        assert lease.meeting_id == local
        (lease,) = await claim(recorder, "b", gateways={"cloud", "other", "local"})
        assert lease.meeting_id == both

    async def test_a_limit_counts_only_meetings_that_can_be_claimed(self, recorder: Recorder):
        for _ in range(3):
            await convene(recorder, gateways=("cloud",))
        local = await convene(recorder, gateways=("local",))
        claimed = await claim(recorder, "a", limit=1, gateways=["local"])
        assert [lease.meeting_id for lease in claimed] == [local]

    async def test_a_meeting_waits_for_the_first_gateway_that_is_missing(self, recorder: Recorder):
        first = await convene(recorder, gateways=("local", "cloud", "lab"))
        await convene(recorder, gateways=("local",))
        assert await waits(recorder, "local") == {first: ("cloud", 0.0)}

    async def test_nothing_waits_where_every_gateway_is_there(self, recorder: Recorder):
        await convene(recorder, gateways=("local",))
        assert await waits(recorder, "local", "cloud") == {}

    async def test_only_meetings_that_nobody_runs_wait(self, store: Store):
        recorder = store.recorder
        await register(recorder, "a")
        run = await convene(recorder, owner="a", gateways=("cloud",))
        ended = await convene(recorder, gateways=("cloud",))
        await end(recorder, ended, 2)
        assert await waits(recorder, "local") == {}
        await store.expire("a")
        assert await waits(recorder, "local") == {run: ("cloud", 0.0)}

    async def test_time_counts_up_to_a_bound_from_one_note_to_the_next(self, store: Store):
        recorder = store.recorder
        meeting_id = await convene(recorder, gateways=("cloud",))
        seconds = []
        for passed in (0.0, 4.0, 6.0, 3_600.0, 0.0):
            await store.pass_time(passed)
            seconds += [waited for _, waited in (await waits(recorder, "local")).values()]
        assert seconds == pytest.approx([0, 4, 10, 20, 20], abs=2)
        assert await waits(recorder, "cloud") == {}
        assert (await waits(recorder))[meeting_id][1] == pytest.approx(20, abs=2)

    async def test_several_processes_count_the_same_time_once(self, store: Store):
        recorders = [store.recorder, await store.another_process()]
        await convene(store.recorder, gateways=("cloud", "lab"))
        await waits(recorders[0], "cloud")
        await store.pass_time(POLL)
        found = [await waits(recorders[1], "lab"), await waits(recorders[0], "cloud")]
        ((gateway, first),) = found[0].values()
        ((other, second),) = found[1].values()
        assert (gateway, other) == ("cloud", "lab")
        assert [first, second] == pytest.approx([POLL, POLL], abs=2)

    async def test_a_claim_sets_the_time_back(self, store: Store):
        recorder = store.recorder
        meeting_id = await convene(recorder, gateways=("cloud",))
        await waits(recorder)
        await store.pass_time(POLL)
        await claim(recorder, "a", gateways=["cloud"])
        assert await waits(recorder) == {}
        await recorder.release_leases("a")
        assert await waits(recorder) == {meeting_id: ("cloud", 0.0)}

    async def test_a_claim_of_one_meeting_sets_the_time_back_too(self, store: Store):
        recorder = store.recorder
        meeting_id = await convene(recorder, gateways=("cloud",))
        await waits(recorder)
        await store.pass_time(POLL)
        await register(recorder, "a")
        assert await recorder.claim_meeting("a", meeting_id, lease_seconds=LONG)
        await recorder.release_leases("a")
        assert await waits(recorder) == {meeting_id: ("cloud", 0.0)}
