"""Permits: who may call a gateway now, who waits, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st

from meeting_service.runtime.rate_limiter import CallLimiter, CallRules, CallSlotWait
from tests.virtual_time import BACKEND

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 10, 45, tzinfo=UTC)
IDS = [UUID(int=n) for n in range(1, 101)]
FIRST, SECOND, THIRD, FOURTH = IDS[:4]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return BACKEND


def limiter(per_process: int | None = None, **rules: CallRules) -> CallLimiter:
    return CallLimiter(per_process, rules, clock=lambda: NOW)


class Waiters:
    """Tasks that wait for slots; `admitted` lists those that got theirs, in that order."""

    def __init__(self, asked: CallLimiter, tasks: TaskGroup) -> None:
        self.admitted: list[UUID] = []
        self._asked = asked
        self._tasks = tasks
        self._scopes: dict[UUID, anyio.CancelScope] = {}

    async def come(self, gateway: str, *meeting_ids: UUID) -> None:
        for meeting_id in meeting_ids:
            self._tasks.start_soon(self._wait, gateway, meeting_id)
        await anyio.wait_all_tasks_blocked()

    async def settled(self) -> list[UUID]:
        await anyio.wait_all_tasks_blocked()
        return self.admitted

    def cancel(self, meeting_id: UUID) -> None:
        self._scopes[meeting_id].cancel()

    async def _wait(self, gateway: str, meeting_id: UUID) -> None:
        with anyio.CancelScope() as self._scopes[meeting_id]:
            await self._asked.acquire(gateway, meeting_id)
            self.admitted.append(meeting_id)


@asynccontextmanager
async def waiters(asked: CallLimiter) -> AsyncIterator[Waiters]:
    async with anyio.create_task_group() as tasks:
        yield Waiters(asked, tasks)
        tasks.cancel_scope.cancel()


async def test_without_bounds_everybody_may_call() -> None:
    free = limiter(main=CallRules())
    for meeting_id in IDS:
        assert free.try_acquire("main", meeting_id)
        await free.acquire("other", meeting_id)
        free.release("main", meeting_id)
    assert not free.is_bounded


async def test_a_gateway_has_so_many_slots_and_no_more() -> None:
    bounded = limiter(main=CallRules(max_at_once=2))
    taken = [bounded.try_acquire("main", meeting_id) for meeting_id in (FIRST, SECOND, THIRD)]
    assert taken == [True, True, False]
    assert bounded.try_acquire("other", THIRD)
    bounded.release("main", FIRST)
    assert bounded.try_acquire("main", FOURTH)


async def test_the_process_bounds_all_its_gateways_together() -> None:
    bounded = limiter(2)
    assert bounded.try_acquire("main", FIRST)
    assert bounded.try_acquire("other", SECOND)
    assert not bounded.try_acquire("third", THIRD)
    bounded.release("other", SECOND)
    assert bounded.try_acquire("third", THIRD)


async def test_a_call_slot_taken_or_given_back_twice_is_one() -> None:
    bounded = limiter(main=CallRules(max_at_once=1))
    assert bounded.try_acquire("main", FIRST)
    assert bounded.try_acquire("main", FIRST)
    bounded.release("main", FIRST)
    bounded.release("main", FIRST)
    assert bounded.try_acquire("main", SECOND)
    assert not bounded.try_acquire("main", THIRD)
    bounded.release("main", THIRD)
    assert not bounded.try_acquire("main", THIRD)


async def test_who_came_first_goes_first_and_nobody_overtakes() -> None:
    bounded = limiter(main=CallRules(max_at_once=1))
    bounded.try_acquire("main", FIRST)
    async with waiters(bounded) as queue:
        await queue.come("main", SECOND, THIRD)
        bounded.release("main", FIRST)
        # The slot is the second's already, though its task has not run since.
        assert not bounded.try_acquire("main", FOURTH)
        assert await queue.settled() == [SECOND]
        bounded.release("main", SECOND)
        assert await queue.settled() == [SECOND, THIRD]


async def test_a_busy_gateway_does_not_hold_up_another() -> None:
    bounded = limiter(3, slow=CallRules(max_at_once=1), quick=CallRules(max_at_once=1))
    bounded.try_acquire("slow", FIRST)
    bounded.try_acquire("quick", SECOND)
    async with waiters(bounded) as queue:
        await queue.come("slow", THIRD)
        await queue.come("quick", FOURTH)
        bounded.release("quick", SECOND)
        assert await queue.settled() == [FOURTH]
        assert bounded.try_acquire("third", SECOND)


async def test_a_place_in_the_process_goes_to_who_waited_longest_at_any_gateway() -> None:
    bounded = limiter(1)
    bounded.try_acquire("main", FIRST)
    async with waiters(bounded) as queue:
        await queue.come("one", SECOND)
        await queue.come("two", THIRD)
        await queue.come("one", FOURTH)
        for gateway, meeting_id in (("main", FIRST), ("one", SECOND), ("two", THIRD)):
            bounded.release(gateway, meeting_id)
            await queue.settled()
        assert queue.admitted == [SECOND, THIRD, FOURTH]


async def test_it_can_be_told_who_waits_for_what() -> None:
    bounded = limiter(main=CallRules(max_at_once=1))
    bounded.try_acquire("main", FIRST)
    async with waiters(bounded) as queue:
        await queue.come("main", SECOND, THIRD)
        assert bounded.wait_of(FIRST) is None
        assert bounded.wait_of(SECOND) == CallSlotWait("main", NOW, 0)
        assert bounded.wait_of(THIRD) == CallSlotWait("main", NOW, 1)
        bounded.release("main", FIRST)
        assert bounded.wait_of(SECOND) is None
        assert bounded.wait_of(THIRD) == CallSlotWait("main", NOW, 0)


async def test_a_waiter_that_leaves_leaves_nothing_behind() -> None:
    bounded = limiter(main=CallRules(max_at_once=1))
    bounded.try_acquire("main", FIRST)
    async with waiters(bounded) as queue:
        await queue.come("main", SECOND, THIRD)
        queue.cancel(SECOND)
        await queue.settled()
        assert bounded.wait_of(SECOND) is None
        bounded.release("main", FIRST)
        assert await queue.settled() == [THIRD]


async def test_a_waiter_cancelled_just_as_it_is_admitted_passes_the_call_slot_on() -> None:
    bounded = limiter(main=CallRules(max_at_once=1, max_per_minute=2))
    bounded.try_acquire("main", FIRST)
    async with waiters(bounded) as queue:
        # A scope's cancellation would let it go on; a task's own does not.
        second = asyncio.ensure_future(bounded.acquire("main", SECOND))
        await anyio.wait_all_tasks_blocked()
        await queue.come("main", THIRD)
        bounded.release("main", FIRST)
        second.cancel()
        # Its start counts no more either: two a minute are the first's and the third's.
        assert await queue.settled() == [THIRD]
        assert second.cancelled()


class TestPerMinute:
    async def test_so_many_calls_start_in_any_minute(self) -> None:
        bounded = limiter(main=CallRules(max_per_minute=3))
        begun = anyio.current_time()
        at: list[float] = []
        for meeting_id in IDS[:7]:
            await anyio.sleep(10)
            await bounded.acquire("main", meeting_id)
            bounded.release("main", meeting_id)
            at.append(round(anyio.current_time() - begun, 3))
        assert at == [10, 20, 30, 70, 80, 90, 130]

    async def test_a_waiter_goes_on_when_its_minute_has_come_whoever_else_left(self) -> None:
        bounded = limiter(main=CallRules(max_per_minute=1))
        begun = anyio.current_time()
        bounded.try_acquire("main", FIRST)
        async with waiters(bounded) as queue:
            await queue.come("main", SECOND, THIRD)
            assert bounded.wait_of(THIRD) == CallSlotWait("main", NOW, 1)
            queue.cancel(SECOND)
            await anyio.sleep(59.9)
            assert queue.admitted == []
            await anyio.sleep(0.2)
            assert queue.admitted == [THIRD]
        assert anyio.current_time() - begun < 61

    async def test_a_minute_alone_is_not_enough_while_the_gateway_is_full(self) -> None:
        bounded = limiter(main=CallRules(max_at_once=1, max_per_minute=1))
        bounded.try_acquire("main", FIRST)
        async with waiters(bounded) as queue:
            await queue.come("main", SECOND)
            await anyio.sleep(90)
            assert queue.admitted == []
            bounded.release("main", FIRST)
            assert await queue.settled() == [SECOND]

    async def test_a_call_slot_given_back_unused_started_no_call(self) -> None:
        bounded = limiter(main=CallRules(max_per_minute=1))
        assert bounded.try_acquire("main", FIRST)
        bounded.release("main", FIRST, was_used=False)
        assert bounded.try_acquire("main", SECOND)
        bounded.release("main", SECOND)
        assert not bounded.try_acquire("main", THIRD)


COUNTS = st.none() | st.integers(1, 3)
RULES = st.builds(CallRules, COUNTS, COUNTS)


@given(
    per_process=COUNTS,
    rules=st.fixed_dictionaries({"a": RULES, "b": RULES}),
    calls=st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(0, 90), st.integers(0, 90), st.integers(0, 400)
        ),
        max_size=20,
    ),
)
def test_bounds_hold_and_each_gateway_is_fair_whatever_comes(
    per_process: int | None,
    rules: dict[str, CallRules],
    calls: list[tuple[str, int, int, int]],
) -> None:
    """Each call comes at a time, takes a time, and is given up when it has waited too long."""
    asked = CallLimiter(per_process, rules)
    log: list[tuple[str, int, float]] = []
    under_way = {"a": 0, "b": 0}

    async def call(number: int, gateway: str, comes_at: int, takes: int, waits: int) -> None:
        await anyio.sleep(comes_at)
        with anyio.move_on_after(waits):
            await asked.acquire(gateway, IDS[number])
            log.append((gateway, number, anyio.current_time()))
            under_way[gateway] += 1
            check_bounds()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(takes)
            under_way[gateway] -= 1
        asked.release(gateway, IDS[number])

    def check_bounds() -> None:
        assert sum(under_way.values()) <= (per_process or len(calls))
        for gateway, each in rules.items():
            assert under_way[gateway] <= (each.max_at_once or len(calls))

    async def all_calls() -> None:
        async with anyio.create_task_group() as tasks:
            for number, each in enumerate(calls):
                tasks.start_soon(call, number, *each)

    anyio.run(all_calls, backend_options=BACKEND[1])
    came_at = [comes_at for _, comes_at, _, _ in calls]
    for gateway, each in rules.items():
        numbers = [number for at, number, _ in log if at == gateway]
        assert all(came_at[one] <= came_at[next_one] for one, next_one in pairwise(numbers))
        starts = [at for name, _, at in log if name == gateway]
        if each.max_per_minute is not None:
            later = starts[each.max_per_minute :]
            gaps = [late - early for early, late in zip(starts, later, strict=False)]
            assert all(gap >= 60 - 1e-6 for gap in gaps)
    # Nobody is left in, and nobody is left waiting.
    assert not vars(asked)["_waiters"]
    assert vars(asked)["_under_way"] == 0
