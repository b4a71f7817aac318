"""A provider that asks to be left alone for a while is, to the second, also across a kill -9."""

from datetime import UTC, datetime
from typing import Any

import anyio
import httpx2
import pytest

from meeting_core.model import AttemptFailed
from tests.crash.world import World, assert_sound
from tests.model_peer import Speech, speak_once

pytestmark = pytest.mark.anyio

LATEST_SECONDS = 1.0
TIMEOUT_SECONDS = 20.0
CALL = "round-1-dev"


class BusyModel:
    """Refuses the first call for one turn, asking to wait; notes when it answered, and was asked.

    Units: seconds of the wall clock, so that it can be compared with what is recorded.
    """

    def __init__(self, world: World, retry_after_seconds: float) -> None:
        self.wait = retry_after_seconds
        self.refused = anyio.Event()
        self.refused_at = 0.0
        self.asked_again = anyio.Event()
        self.asked_at: list[float] = []
        world.peer.answer = self.answer
        world.peer.before_reply = self.before_reply
        world.peer.after_reply = self.after_reply

    def answer(self, call_key: str, body: dict[str, Any]) -> Speech:
        if f"/{CALL}/" in call_key and not self.refused.is_set():
            # Before it is sent: whoever hears it later can only be later.
            self.refused_at = datetime.now(UTC).timestamp()
            return Speech("", status=429, retry_after_seconds=self.wait)
        return speak_once(call_key, body)

    async def before_reply(self, call_key: str) -> None:
        if f"/{CALL}/" in call_key and self.refused.is_set():
            self.asked_at.append(datetime.now(UTC).timestamp())
            self.asked_again.set()

    async def after_reply(self, call_key: str) -> None:
        if f"/{CALL}/" in call_key and not self.refused.is_set():
            self.refused.set()


async def shown(world: World, meeting_id: str, event: str) -> None:
    """Watch the feed until it tells this."""
    url = f"{world.service.url}/api/meetings/{meeting_id}/events"
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with httpx2.AsyncClient() as client, client.stream("GET", url) as stream:
            async for line in stream.aiter_lines():
                if line == f"event: {event}":
                    return
    raise AssertionError(f"{event} was never shown")


async def recorded_retry_at(world: World, meeting_id: str) -> float:
    facts = [event.fact for event in await world.history(meeting_id)]
    failed = [fact for fact in facts if isinstance(fact, AttemptFailed)]
    assert len(failed) == 1
    assert failed[0].retry_at is not None
    return failed[0].retry_at.timestamp()


async def assert_asked_once_more(world: World, meeting_id: str, model: BusyModel) -> None:
    assert_sound(await world.ended(meeting_id), await world.history(meeting_id))
    assert len(model.asked_at) == 1
    calls = [call.partition("/")[2] for call in world.peer.seen]
    assert calls[:3] == ["round-1-planner/1", f"{CALL}/1", f"{CALL}/2"]
    assert len(calls) == len(set(calls))


async def test_a_wait_that_a_provider_asks_for_is_kept_to_the_second(world: World) -> None:
    model = BusyModel(world, retry_after_seconds=3)
    await world.service.start()
    meeting_id = await world.convene()
    with anyio.fail_after(TIMEOUT_SECONDS):
        await model.asked_again.wait()
    waited = model.asked_at[0] - model.refused_at
    assert 3.0 <= waited <= 3.0 + LATEST_SECONDS
    await assert_asked_once_more(world, meeting_id, model)


@pytest.mark.parametrize("is_dead_throughout", [False, True])
async def test_a_wait_is_kept_though_the_process_is_killed_in_it(
    world: World, *, is_dead_throughout: bool
) -> None:
    model = BusyModel(world, retry_after_seconds=3)
    await world.service.start()
    meeting_id = await world.convene()
    await shown(world, meeting_id, "meeting-warning")
    world.service.kill()
    await world.service.ended()
    retry_at = await recorded_retry_at(world, meeting_id)
    assert retry_at >= model.refused_at + 3
    if is_dead_throughout:
        with anyio.move_on_after(retry_at - datetime.now(UTC).timestamp()):
            await model.asked_again.wait()
    assert not model.asked_again.is_set()
    await world.service.start()
    ready_at = datetime.now(UTC).timestamp()
    assert not is_dead_throughout or ready_at > retry_at
    with anyio.fail_after(TIMEOUT_SECONDS):
        await model.asked_again.wait()
    assert retry_at <= model.asked_at[0] <= max(retry_at, ready_at) + LATEST_SECONDS
    await assert_asked_once_more(world, meeting_id, model)
