"""A service asked to stop while meetings run and streams are open."""

import anyio
import httpx2
import pytest

from tests.crash.world import World, assert_sound

pytestmark = pytest.mark.anyio

MEETINGS = 20
STREAMS = 50
DRAIN_SECONDS = 5.0


async def test_a_terminated_service_ends_by_itself_and_its_meetings_go_on(world: World) -> None:
    hold = anyio.Event()
    all_asked = anyio.Event()

    async def hold_call(call_key: str) -> None:
        await world.check_intent(call_key)
        if len(world.peer.seen) >= MEETINGS:
            all_asked.set()
        await hold.wait()

    world.peer.before_reply = hold_call
    world.service = world.new_service(f"drain_seconds = {DRAIN_SECONDS}")
    await world.service.start()
    meeting_ids = [await world.convene(title=f"Meeting {n}") for n in range(MEETINGS)]
    with anyio.fail_after(20):
        await all_asked.wait()
    opened = 0
    all_open = anyio.Event()

    async def watch(meeting_id: str) -> None:
        nonlocal opened
        url = f"{world.service.url}/api/meetings/{meeting_id}/events"
        async with httpx2.AsyncClient(timeout=60) as client, client.stream("GET", url) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            opened += 1
            if opened == STREAMS:
                all_open.set()
            async for _ in lines:
                pass

    async with anyio.create_task_group() as streams:
        for n in range(STREAMS):
            streams.start_soon(watch, meeting_ids[n % MEETINGS])
        await all_open.wait()
        world.service.terminate()
        with anyio.fail_after(DRAIN_SECONDS + 3):
            code = await world.service.ended()
    assert code == 0
    hold.set()
    world.peer.before_reply = world.check_intent
    await world.service.start()
    for meeting_id in meeting_ids:
        meeting = await world.ended(meeting_id)
        assert_sound(meeting, await world.history(meeting_id))


async def test_calls_that_end_in_time_are_kept_when_the_service_stops(world: World) -> None:
    asked = anyio.Event()
    release = anyio.Event()

    async def hold_call(call_key: str) -> None:
        await world.check_intent(call_key)
        asked.set()
        await release.wait()

    world.peer.before_reply = hold_call
    await world.service.start()
    meeting_id = await world.convene()
    await asked.wait()
    world.service.terminate()
    release.set()
    assert await world.service.ended() == 0
    world.peer.before_reply = world.check_intent
    await world.service.start()
    assert_sound(await world.ended(meeting_id), await world.history(meeting_id))
    assert len(world.peer.seen) == len(set(world.peer.seen)) == 7
