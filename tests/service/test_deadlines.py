"""The deadlines of many calls: each expires at its own time, whatever the others do."""

import asyncio

import anyio
import pytest

from meeting_service.runtime.deadlines import Deadlines
from tests.virtual_time import BACKEND

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return BACKEND


@pytest.fixture
def deadlines() -> Deadlines:
    return Deadlines()


async def call(deadlines: Deadlines, seconds: float, *, lasts: float = 1_000.0) -> float:
    """Make a call that lasts so long; give the time at which it was over."""
    try:
        async with asyncio.timeout(None) as scope:
            deadlines.watch(scope, seconds)
            await anyio.sleep(lasts)
    except TimeoutError:
        assert scope.expired()
    deadlines.forget(scope)
    return anyio.current_time()


async def at_once(*calls) -> list[float]:
    return list(await asyncio.gather(*calls))


@pytest.mark.parametrize("seconds", [(3, 5, 8), (8, 5, 3), (5, 8, 3), (5, 5, 5)])
async def test_every_call_expires_at_its_own_time(deadlines: Deadlines, seconds):
    assert await at_once(*(call(deadlines, each) for each in seconds)) == list(seconds)


async def test_a_call_that_is_over_in_time_is_left_alone(deadlines: Deadlines):
    calls = [call(deadlines, 3, lasts=1), call(deadlines, 5), call(deadlines, 7, lasts=6)]
    assert await at_once(*calls) == [1, 5, 6]


async def test_deadlines_go_on_after_all_calls_were_over(deadlines: Deadlines):
    assert await call(deadlines, 3, lasts=1) == 1
    await anyio.sleep(10)
    assert await call(deadlines, 3) == 14


async def test_a_call_that_was_aborted_before_its_deadline_expires_once(deadlines: Deadlines):
    async def aborted() -> None:
        async with asyncio.timeout(None) as scope:
            deadlines.watch(scope, 2)
            scope.reschedule(asyncio.get_running_loop().time())
            try:
                await anyio.sleep(1)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(5)  # what an adapter takes to clean up

    with pytest.raises(TimeoutError):
        await aborted()
    assert anyio.current_time() == 5
