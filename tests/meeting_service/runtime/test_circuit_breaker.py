"""Circuit breakers: who waits for a provider that is away, and who asks whether it is back."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from meeting_service.ports import GatewayReply, GatewayRequest, Rejected, Unavailable
from meeting_service.runtime.circuit_breaker import TRIAL_SECONDS, CircuitBreaker
from meeting_service.runtime.gateway_probe import GatewayProbe
from tests.virtual_time import BACKEND

pytestmark = pytest.mark.anyio

PROBE_SECONDS = 0.1
PAUSES = [0.5, 1, 2, 4, 5, 5]


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return BACKEND


class Provider:
    """A gateway that is away until it is told otherwise, and keeps the times of its probes."""

    def __init__(self) -> None:
        self.fault: BaseException | None = Unavailable(
            "nobody there", reached=False, is_unreachable=True
        )
        self.probed_at: list[float] = []
        self.under_way = 0
        self.probing = anyio.Event()

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        raise AssertionError("a probe makes no call")

    async def probe(self) -> None:
        assert self.under_way == 0
        self.under_way += 1
        self.probed_at.append(anyio.current_time())
        self.probing.set()
        try:
            await anyio.sleep(PROBE_SECONDS)
        finally:
            self.under_way -= 1
        if self.fault is not None:
            raise self.fault

    async def aclose(self) -> None: ...

    @property
    def pauses(self) -> list[float]:
        """The time before each probe, from the end of the one before."""
        ends = [0.0, *(at + PROBE_SECONDS for at in self.probed_at)]
        return [round(at - end, 3) for at, end in zip(self.probed_at, ends, strict=False)]

    async def probed(self) -> None:
        """Wait until one more probe is under way."""
        self.probing = anyio.Event()
        await self.probing.wait()


class World:
    """A gateway `main` that is unreachable, and tasks that wait for it."""

    def __init__(self, tasks: TaskGroup) -> None:
        self.main = Provider()
        self.breaker = CircuitBreaker("main", GatewayProbe("main", self.main))
        self.gone_on: list[int] = []
        self._tasks = tasks
        self._scopes: dict[int, anyio.CancelScope] = {}

    async def come(self, *numbers: int) -> None:
        for number in numbers:
            self._tasks.start_soon(self._wait, number)
        await anyio.wait_all_tasks_blocked()

    async def cancel(self, number: int) -> None:
        self._scopes[number].cancel()
        await anyio.wait_all_tasks_blocked()

    async def _wait(self, number: int) -> None:
        with anyio.CancelScope() as self._scopes[number]:
            await self.breaker.wait_until_reachable(str(number))
            self.gone_on.append(number)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with anyio.create_task_group() as tasks:
        yield World(tasks)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def starting_at_zero() -> AsyncIterator[World]:
    """A world whose gateway is found away when its clock, too, is read as 0."""
    async with anyio.create_task_group() as tasks:
        made = World(tasks)
        made.breaker.record_unreachable()
        began = anyio.current_time()
        yield made
        made.main.probed_at = [at - began for at in made.main.probed_at]
        tasks.cancel_scope.cancel()


async def test_a_gateway_that_was_never_found_unreachable_is_not_asked(world: World) -> None:
    await world.come(1)
    world.breaker.record_answer()
    assert world.gone_on == [1]
    assert not world.breaker.is_open
    assert world.breaker.probes == 0


async def test_a_hundred_wait_and_one_asks_until_it_is_back() -> None:
    async with starting_at_zero() as world:
        await world.come(*range(100))
        for _ in PAUSES:
            await world.main.probed()
        assert world.gone_on == []
        assert world.breaker.is_open
        assert world.breaker.probes == len(PAUSES)
        world.main.fault = None
        await anyio.sleep(PROBE_SECONDS)
        await anyio.wait_all_tasks_blocked()
        assert world.gone_on == [0]
        world.breaker.record_answer()
        await anyio.wait_all_tasks_blocked()
        assert sorted(world.gone_on) == list(range(100))
        assert not world.breaker.is_open
        await anyio.sleep(60)
        assert world.breaker.probes == len(PAUSES)
    assert world.main.pauses == PAUSES


async def test_found_unreachable_by_many_at_once_it_is_so_once(world: World) -> None:
    for _ in range(100):
        world.breaker.record_unreachable()
    world.main.fault = None
    await world.come(1)
    await anyio.sleep(1)
    assert world.gone_on == [1]
    assert world.breaker.probes == 1


async def test_nobody_asks_while_nobody_waits(world: World) -> None:
    world.breaker.record_unreachable()
    await anyio.sleep(60)
    assert world.breaker.probes == 0
    await world.come(1)
    # Its time has come long ago.
    assert world.breaker.probes == 1


@pytest.mark.parametrize("moment", ["between probes", "in a probe"])
async def test_if_the_one_that_asks_is_cancelled_the_next_goes_on_asking(
    world: World, moment: str
) -> None:
    world.breaker.record_unreachable()
    await world.come(1, 2, 3)
    await world.main.probed()
    if moment == "between probes":
        await anyio.sleep(PROBE_SECONDS + 0.2)
    await world.cancel(1)
    world.main.fault = None
    assert world.main.under_way == 0
    await world.main.probed()
    await world.cancel(3)
    await anyio.sleep(PROBE_SECONDS)
    await anyio.wait_all_tasks_blocked()
    assert world.gone_on == [2]
    # It kept to the pause, whoever made the probe before.
    first, second = world.main.probed_at
    assert second - first >= 1.0


async def test_that_those_who_ask_are_cancelled_in_a_row_asks_no_faster(world: World) -> None:
    world.breaker.record_unreachable()
    await world.come(*range(20))
    for number in range(20):
        await world.main.probed()
        await world.cancel(number)
    assert all(late - early >= 1 for early, late in pairwise(world.main.probed_at))
    assert world.gone_on == []


async def test_an_answer_to_a_call_lets_everybody_go_on_at_once(world: World) -> None:
    world.breaker.record_unreachable()
    await world.come(1, 2)
    world.breaker.record_answer()
    await anyio.wait_all_tasks_blocked()
    assert sorted(world.gone_on) == [1, 2]
    assert world.breaker.probes == 0


async def test_an_outage_during_the_last_probe_of_another_has_its_own_probe(world: World) -> None:
    world.breaker.record_unreachable()
    await world.come(1)
    await world.main.probed()
    world.main.fault = None
    world.breaker.record_answer()
    world.breaker.record_unreachable()
    await world.come(2)
    # Asked before the new outage, it says nothing about that.
    await anyio.sleep(PROBE_SECONDS)
    await anyio.wait_all_tasks_blocked()
    assert world.gone_on == [1]
    assert world.breaker.is_open
    await anyio.sleep(2)
    assert world.gone_on == [1, 2]
    assert world.breaker.probes == 2


async def test_a_provider_that_answers_probes_and_no_calls_is_asked_ever_less() -> None:
    async with starting_at_zero() as world:
        world.main.fault = None
        for _ in PAUSES:
            await world.breaker.wait_until_reachable("0")
            world.breaker.record_unreachable()
    assert world.main.pauses == PAUSES


async def test_a_call_that_was_answered_makes_the_next_outage_a_first_one(world: World) -> None:
    for _ in range(3):
        began = anyio.current_time()
        world.main.fault = None
        world.breaker.record_unreachable()
        await world.breaker.wait_until_reachable("0")
        assert anyio.current_time() - began == pytest.approx(0.5 + PROBE_SECONDS)
        world.breaker.record_answer()


async def test_any_other_refusal_of_a_probe_is_left_to_the_call(world: World) -> None:
    world.breaker.record_unreachable()
    world.main.fault = Rejected("there is no such gateway", reached=False)
    await world.breaker.wait_until_reachable("0")
    assert world.breaker.may_call("0")


async def test_after_a_probe_one_call_tries_for_all(world: World) -> None:
    world.breaker.record_unreachable()
    await world.come(*range(10))
    world.main.fault = None
    for tried in range(3):
        await anyio.sleep(5 + PROBE_SECONDS)
        assert world.gone_on == list(range(tried + 1))
        assert [n for n in range(12) if world.breaker.may_call(str(n))] == [tried]
        world.breaker.record_unreachable()
    assert world.breaker.probes == 3


async def test_a_try_that_tells_nothing_is_followed_by_another(world: World) -> None:
    world.breaker.record_unreachable()
    await world.come(1, 2, 3)
    world.main.fault = None
    await anyio.sleep(1)
    assert world.gone_on == [1]
    world.breaker.record_end()
    await anyio.sleep(5)
    assert world.gone_on == [1, 2]
    await anyio.sleep(TRIAL_SECONDS + 5)  # nothing is heard of this one
    assert world.gone_on == [1, 2, 3]


async def test_where_nobody_waits_the_next_call_tries(world: World) -> None:
    world.breaker.record_unreachable()
    assert not world.breaker.may_call("1")
    await anyio.sleep(60)
    assert [n for n in range(3) if world.breaker.may_call(str(n))] == [0]


@pytest.mark.parametrize("fault", [RuntimeError("oops"), asyncio.CancelledError()], ids=repr)
async def test_a_probe_that_breaks_is_one_that_failed(
    world: World, caplog: pytest.LogCaptureFixture, fault: BaseException
) -> None:
    world.breaker.record_unreachable()
    world.main.fault = fault
    await world.come(1)
    with caplog.at_level(logging.ERROR):
        await world.main.probed()
        await world.main.probed()
    assert "broke its contract" in caplog.text
    assert world.gone_on == []
