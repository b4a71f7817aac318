"""Waiting for something unless a change, or a deadline, comes first."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import anyio

WaitOutcome: TypeAlias = Literal["done", "late", "changed"]


async def wait_unless(
    changed: anyio.Event, wait: Callable[[], Awaitable[None]], seconds: float | None
) -> WaitOutcome:
    """Run a waiting function until it ends, or until something interrupts it; return which.

    Units: `seconds` bounds the wait; None is no bound.
    """
    outcome: WaitOutcome = "late"

    async def wait_for_change(scope: anyio.CancelScope) -> None:
        await changed.wait()
        scope.cancel()

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_change, tasks.cancel_scope)
            await wait()
            outcome = "done"
            tasks.cancel_scope.cancel()
    if outcome == "done":
        return "done"
    return "changed" if changed.is_set() else "late"
