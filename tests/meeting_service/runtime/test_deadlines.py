"""Deadlines on one timer: each comes at its own time, whatever the others do."""

import asyncio

import anyio
import pytest

from meeting_service.deadlines import Deadlines
from tests.virtual_time import BACKEND

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return BACKEND


@pytest.fixture
def deadlines() -> Deadlines:
    return Deadlines()


async def told(deadlines: Deadlines, seconds: float, *, done_after: float = 1_000.0) -> float:
    """Do something that takes so long unless it is told to stop; give the time of its end."""
    stop = anyio.Event()
    deadlines.watch(stop.set, seconds)
    with anyio.move_on_after(done_after):
        await stop.wait()
    deadlines.forget(stop.set)
    return anyio.current_time()


async def at_once(*calls) -> list[float]:
    return list(await asyncio.gather(*calls))


@pytest.mark.parametrize("seconds", [(3, 5, 8), (8, 5, 3), (5, 8, 3), (5, 5, 5)])
async def test_everybody_is_told_at_their_own_time(deadlines: Deadlines, seconds):
    assert await at_once(*(told(deadlines, each) for each in seconds)) == list(seconds)


async def test_who_is_done_in_time_is_left_alone(deadlines: Deadlines):
    all_three = (told(deadlines, 3, done_after=1), told(deadlines, 5), told(deadlines, 7))
    assert await at_once(*all_three) == [1, 5, 7]


async def test_it_goes_on_after_everybody_was_done(deadlines: Deadlines):
    assert await told(deadlines, 3, done_after=1) == 1
    await anyio.sleep(10)
    assert await told(deadlines, 3) == 14


async def test_who_is_told_may_ask_for_more_time(deadlines: Deadlines):
    times = []

    def again() -> None:
        times.append(anyio.current_time())
        if len(times) < 3:
            deadlines.watch(again, 2)

    deadlines.watch(again, 2)
    await anyio.sleep(10)
    assert times == [2, 4, 6]
