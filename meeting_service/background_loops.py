"""The one failure boundary of everything that runs in the background of a process."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable

import anyio
from eventsourcing.persistence import PersistenceError
from msgspec import Struct

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 10.0
MAX_FAILURES_IN_A_ROW = 5
"""A loop that fails more often than this without a pass between makes the process unready."""


def is_cancellation(error: BaseException) -> bool:
    """Return whether the error is the cancellation of the task that runs now.

    A stray `CancelledError` is none: it comes of awaiting something that others have cancelled,
    such as a task within a library, while nobody has cancelled the one that awaits it.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    is_requested = task is not None and task.cancelling() > 0
    # A scope may be cancelled, and not have reached the task yet.
    return is_requested or anyio.current_effective_deadline() == -math.inf


class LoopState(Struct):
    """How one loop fares: failures in all and in a row, and the last one in words."""

    failures: int = 0
    failures_in_a_row: int = 0
    last_failure: str = ""
    has_ended: bool = False


class BackgroundLoops:
    """Runs the loops of one process, and knows whether they are well.

    Any error of a pass is logged and counted, a stray `CancelledError` too; the loop backs off
    and goes on. Only its own cancellation ends it. Units: seconds.
    """

    def __init__(
        self,
        *,
        first_backoff_seconds: float = FIRST_BACKOFF_SECONDS,
        max_backoff_seconds: float = MAX_BACKOFF_SECONDS,
    ) -> None:
        self._first_backoff_seconds = first_backoff_seconds
        self._max_backoff_seconds = max_backoff_seconds
        self.states: dict[str, LoopState] = {}

    @property
    def problem(self) -> str | None:
        """Return why the process is not ready; None while no loop fails."""
        for name, state in self.states.items():
            if state.has_ended:
                return f"the background loop {name!r} has ended"
            if state.failures_in_a_row > MAX_FAILURES_IN_A_ROW:
                return f"the background loop {name!r} keeps failing: {state.last_failure}"
        return None

    async def run(
        self,
        name: str,
        one_pass: Callable[[], Awaitable[None]],
        *,
        pause_seconds: float = 0.0,
        max_backoff_seconds: float | None = None,
    ) -> None:
        """Run a pass again and again, with a pause after each, until cancelled.

        A pass that does not wait for anything needs a pause, or it keeps the event loop busy. One
        that keeps something alive needs a bound on the time between two passes that fail.
        """
        max_backoff = self._max_backoff_seconds
        if max_backoff_seconds is not None:
            max_backoff = min(max_backoff, max_backoff_seconds)
        state = self.states[name] = LoopState()
        try:
            while True:
                try:
                    await one_pass()
                # The boundary: one failure must not end the process.
                except (Exception, asyncio.CancelledError) as error:
                    if is_cancellation(error):
                        raise
                    self._record_failure(name, state, error)
                    backoff = self._first_backoff_seconds * 2.0 ** min(
                        state.failures_in_a_row - 1, 30
                    )
                    await anyio.sleep(min(backoff, max_backoff))
                else:
                    state.failures_in_a_row = 0
                    await anyio.sleep(pause_seconds)
        except anyio.get_cancelled_exc_class():
            del self.states[name]
            raise
        finally:
            state.has_ended = True

    def _record_failure(self, name: str, state: LoopState, error: BaseException) -> None:
        """Count a failure, and log it unless it is that of the pass before."""
        state.failures += 1
        state.failures_in_a_row += 1
        former, state.last_failure = state.last_failure, f"{type(error).__name__}: {error}"
        if state.failures_in_a_row > 1 and state.last_failure == former:
            log.debug("background loop %s fails as before: %s", name, state.last_failure)
        elif isinstance(error, PersistenceError):
            log.warning("background loop %s waits for the database: %s", name, error)
        else:
            log.error("background loop %s failed", name, exc_info=error)
