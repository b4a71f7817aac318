"""A service killed with -9 at any point: after the restart every meeting goes on, exactly once."""

import random

import anyio
import pytest

from meeting_core.model import Adopted, AttemptAbandoned
from tests.crash.world import World, assert_sound

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("moment", ["round-1-planner", "round-2-dev", "synthesis"])
async def test_a_meeting_killed_during_a_call_goes_on(world: World, moment: str) -> None:
    async def kill_once(call_key: str) -> None:
        await world.check_intent(call_key)
        if f"/{moment}/1" in call_key:
            world.service.kill()

    world.peer.before_reply = kill_once
    await world.service.start()
    meeting_id = await world.convene()
    await world.service.ended()
    await world.service.start()
    meeting = await world.ended(meeting_id)
    history = await world.history(meeting_id)
    assert_sound(meeting, history)
    facts = [event.fact for event in history]
    abandoned = [fact for fact in facts if isinstance(fact, AttemptAbandoned)]
    assert [(fact.task.key, fact.cause) for fact in abandoned] == [(moment, "restart")]
    assert abandoned[0].charged > 0
    assert sum(isinstance(fact, Adopted) for fact in facts) == 1


async def test_a_meeting_killed_between_the_last_turn_and_the_synthesis_goes_on(
    world: World,
) -> None:
    async def kill_after_last_turn(call_key: str) -> None:
        if "/round-2-qa/1" in call_key:
            world.service.kill()

    world.peer.after_reply = kill_after_last_turn
    await world.service.start()
    meeting_id = await world.convene()
    await world.service.ended()
    await world.service.start()
    assert_sound(await world.ended(meeting_id), await world.history(meeting_id))


async def test_many_meetings_survive_kills_at_random_points(world: World) -> None:
    chance = random.Random(7)
    await world.service.start()
    meeting_ids = [await world.convene(title=f"Meeting {n}") for n in range(6)]
    for _ in range(5):
        fatal = len(world.peer.seen) + chance.randint(1, 8)
        died = anyio.Event()

        async def kill_at(call_key: str, fatal: int = fatal, died: anyio.Event = died) -> None:
            await world.check_intent(call_key)
            if len(world.peer.seen) >= fatal and not died.is_set():
                died.set()
                world.service.kill()

        world.peer.before_reply = kill_at
        with anyio.move_on_after(10):
            await died.wait()
        world.service.kill()
        await world.service.ended()
        world.peer.before_reply = world.check_intent
        await world.service.start()
    for meeting_id in meeting_ids:
        assert_sound(await world.ended(meeting_id), await world.history(meeting_id))


async def test_a_meeting_that_kills_its_process_at_every_start_fails_after_five_claims(
    world: World,
) -> None:
    async def kill_always(_: str) -> None:
        world.service.kill()

    world.peer.before_reply = kill_always
    await world.service.start()
    meeting_id = await world.convene()
    for _ in range(5):
        await world.service.ended()
        await world.service.start()
    await world.service.ended()
    await world.service.start()
    meeting = await world.ended(meeting_id)
    assert (meeting.state, meeting.failure) == ("error", "crash_loop")
    assert len(world.peer.seen) == 6


async def test_a_meeting_fails_on_restart_where_recovery_is_set_to_fail(world: World) -> None:
    async def kill(_: str) -> None:
        world.service.kill()

    world.peer.before_reply = kill
    world.service = world.new_service('recovery = "fail"')
    await world.service.start()
    meeting_id = await world.convene()
    await world.service.ended()
    await world.service.start()
    meeting = await world.ended(meeting_id)
    assert (meeting.state, meeting.failure) == ("error", "orchestrator_restart")
