"""The failure boundary of background loops."""

import asyncio
import logging

import anyio
import pytest
from eventsourcing.persistence import OperationalError

from meeting_service.background_loops import MAX_FAILURES_IN_A_ROW, BackgroundLoops

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = 10


class Work:
    """Raises what it is given, one pass each, then works and sets `succeeded`."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.passes = 0
        self.succeeded = anyio.Event()

    async def one_pass(self) -> None:
        self.passes += 1
        if self.failures:
            raise self.failures.pop(0)
        self.succeeded.set()


def quick_loops() -> BackgroundLoops:
    return BackgroundLoops(first_backoff_seconds=0.001, max_backoff_seconds=0.002)


@pytest.mark.parametrize(
    "failure",
    [
        OperationalError("away"),
        ValueError("odd"),
        ExceptionGroup("both", [KeyError("x")]),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
async def test_whatever_a_pass_raises_the_loop_goes_on(failure, caplog):
    loops, work = quick_loops(), Work(failure)
    failures = None
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loops.run, "work", work.one_pass)
            await work.succeeded.wait()
            failures = (loops.states["work"].failures, loops.problem)
            tasks.cancel_scope.cancel()
    # Out here: a loop that cancels the group would end the block above without a word.
    assert failures == (1, None)
    assert "background loop work" in caplog.text


async def test_a_failure_that_is_not_the_databases_is_logged_with_its_traceback(caplog):
    loops, work = quick_loops(), Work(ValueError("odd"))
    with anyio.fail_after(TIMEOUT_SECONDS), caplog.at_level(logging.ERROR):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loops.run, "work", work.one_pass)
            await work.succeeded.wait()
            tasks.cancel_scope.cancel()
    assert "ValueError: odd" in caplog.text


async def test_a_loop_that_keeps_failing_is_a_problem_until_it_succeeds():
    loops = quick_loops()
    problems: list[str | None] = []
    done = anyio.Event()
    passes = 0

    async def one_pass() -> None:
        nonlocal passes
        passes += 1
        problems.append(loops.problem)
        if passes <= MAX_FAILURES_IN_A_ROW + 1:
            raise ValueError("odd")
        if passes > MAX_FAILURES_IN_A_ROW + 2:
            done.set()
            await anyio.sleep_forever()

    with anyio.fail_after(TIMEOUT_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(loops.run, "renewal", one_pass)
            await done.wait()
            tasks.cancel_scope.cancel()
    problem = "the background loop 'renewal' keeps failing: ValueError: odd"
    assert problems == [None] * (MAX_FAILURES_IN_A_ROW + 1) + [problem, None]


async def test_a_loop_that_ends_for_another_reason_than_a_cancellation_is_a_problem():
    loops, work = quick_loops(), Work(SystemExit(1))
    with pytest.raises(SystemExit):
        await loops.run("work", work.one_pass)
    assert loops.problem == "the background loop 'work' has ended"


async def test_a_cancelled_loop_is_no_problem():
    loops, work = quick_loops(), Work()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(loops.run, "work", work.one_pass)
        await work.succeeded.wait()
        tasks.cancel_scope.cancel()
    assert loops.problem is None
