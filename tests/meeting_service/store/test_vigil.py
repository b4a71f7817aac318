"""Staying awake for commits, by a clock that goes on by a fixed step whenever it is looked at."""

import pytest
from anyio.lowlevel import checkpoint

from meeting_service.store.postgres.vigil import (
    FIRST_REST_SECONDS,
    MAX_REST_SECONDS,
    MAX_SECONDS,
    Vigil,
)

pytestmark = pytest.mark.anyio

LOOKS = 20
"""How often the clock may be looked at in the time a vigil lasts at most."""


class Clock:
    """Counts how often it was looked at."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        self.seconds += MAX_SECONDS / LOOKS
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vigil(clock: Clock) -> Vigil:
    return Vigil(clock, processors=2)


async def looks_during(clock: Clock, rounds: int) -> int:
    """Count the looks while the event loop goes round so often, at least."""
    before = clock.looks
    for _ in range(rounds):
        await checkpoint()
    return clock.looks - before


async def slow_commit(vigil: Vigil, clock: Clock) -> bool:
    """Let a commit take longer than any vigil; say whether one was kept."""
    vigil.begin()
    looks = await looks_during(clock, 3 * LOOKS)
    vigil.end()
    return looks > 0


async def test_it_looks_every_time_round_until_the_commit_is_over(clock, vigil):
    vigil.begin()
    assert await looks_during(clock, LOOKS // 2) >= LOOKS // 2 - 1
    vigil.end()
    await checkpoint()
    assert await looks_during(clock, LOOKS) == 0


async def test_commits_that_follow_at_once_are_kept_one_vigil(clock, vigil):
    for _ in range(50):
        vigil.begin()
        vigil.end()
    vigil.begin()
    assert await looks_during(clock, LOOKS // 2) <= LOOKS // 2 + 1


async def test_it_gives_up_on_a_slow_commit_and_sleeps_through_the_next(clock, vigil):
    assert await slow_commit(vigil, clock)
    assert await looks_during(clock, LOOKS) == 0
    assert not await slow_commit(vigil, clock)
    clock.seconds += FIRST_REST_SECONDS
    assert await slow_commit(vigil, clock)


async def test_each_slow_commit_doubles_the_rest_up_to_a_bound(clock, vigil):
    rest = FIRST_REST_SECONDS
    for _ in range(10):
        assert await slow_commit(vigil, clock)
        clock.seconds += rest * 0.9
        assert not await slow_commit(vigil, clock)
        clock.seconds += rest * 0.1
        rest = min(2 * rest, MAX_REST_SECONDS)


async def test_a_quick_commit_ends_the_long_rests(clock, vigil):
    for _ in range(4):
        assert await slow_commit(vigil, clock)
        clock.seconds += MAX_REST_SECONDS
    vigil.begin()
    await checkpoint()
    vigil.end()
    assert await slow_commit(vigil, clock)
    clock.seconds += FIRST_REST_SECONDS
    assert await slow_commit(vigil, clock)


async def test_it_never_keeps_the_only_processor_from_the_database(clock):
    assert not await slow_commit(Vigil(clock, processors=1), clock)
