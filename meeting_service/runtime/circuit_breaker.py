"""The circuit breaker: while a gateway is unreachable, every meeting waits and one probes it.

A probe that succeeds lets one call through; its answer lets all the others go on.
"""

import logging
from collections import OrderedDict

import anyio

from meeting_service.runtime.gateway_probe import GatewayProbe

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 5.0
TRIAL_SECONDS = 15.0
"""How long the others wait for the answer to the trial call."""


class CircuitBreaker:
    """Keeps the runners of one process from calling a gateway that is unreachable.

    Units: pauses are in seconds, and each probe is followed by twice the pause before it;
    `_next_probe_at` and `_trial_ends_at` are seconds of the event loop's clock.
    Shape: `_queue` holds an event for each meeting that waits, set when it is the first or when
    the breaker closes; `_trial` is the meeting that makes the trial call.
    Invariant: at most one probe is under way, and only while a meeting waits.
    """

    def __init__(self, name: str, probe: GatewayProbe) -> None:
        self.name = name
        self.is_open = False
        self.probes = 0
        self._gateway_probe = probe
        self._closed = anyio.Event()
        self._changed = anyio.Event()
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._next_probe_at = 0.0
        self._trial: str | None = None
        self._trial_ends_at = 0.0
        # Unlike a dict's, its first entry is found at once however many have left before.
        self._queue: OrderedDict[anyio.Event, None] = OrderedDict()

    def may_call(self, meeting_id: str) -> bool:
        """Return whether a meeting may call now: always while the breaker is closed, and else only
        the one that makes the trial call.
        """
        if not self.is_open:
            return True
        now = anyio.current_time()
        if not self._queue and now >= max(self._next_probe_at, self._trial_ends_at):
            self._begin_trial(meeting_id)
        return self._trial == meeting_id

    def record_unreachable(self) -> None:
        """Record that a call found the gateway unreachable: the breaker opens."""
        if self.is_open:
            self._end_trial()
            return
        log.warning("gateway %s is unreachable", self.name)
        self.is_open = True
        self._closed = anyio.Event()
        self._next_probe_at = anyio.current_time() + self._pause_seconds

    def record_end(self) -> None:
        """Record that a call ended without showing whether the gateway is reachable."""
        if self.is_open:
            self._end_trial()

    def record_answer(self) -> None:
        """Record that a call was answered: the breaker closes."""
        # Only a call proves this. A provider may answer probes and fail every call: were the
        # pause to start anew with each probe that succeeds, that one would be hammered.
        self._pause_seconds = FIRST_PAUSE_SECONDS
        if not self.is_open:
            return
        log.info("gateway %s is reachable again", self.name)
        self.is_open = False
        self._trial, self._trial_ends_at = None, 0.0
        self._closed.set()
        self._notify_prober()
        for turn in self._queue:
            turn.set()

    async def wait_until_reachable(self, meeting_id: str) -> None:
        """Wait until the meeting may call again: as the one that makes the trial call after a
        probe that succeeded, or because another one's trial call was answered.
        """
        if not self.is_open:
            return
        # Taken now: a waiter may go on after this outage's end, though another one has begun.
        closed = self._closed
        my_turn = anyio.Event()
        self._queue[my_turn] = None
        try:
            self._wake_first()
            await my_turn.wait()
            while not closed.is_set() and self._trial != meeting_id:
                await self._probe(closed, meeting_id)
        finally:
            # A waiter that is cancelled hands over; an event set twice is set.
            del self._queue[my_turn]
            self._wake_first()

    async def _probe(self, closed: anyio.Event, meeting_id: str) -> None:
        """Wait for the next probe's time, and for the end of another's trial; then probe."""
        changed = self._changed
        wait_ends_at = max(self._next_probe_at, self._trial_ends_at)
        with anyio.CancelScope(deadline=wait_ends_at):
            await changed.wait()
            return
        self.probes += 1
        try:
            is_reachable = await self._gateway_probe.is_reachable()
        finally:
            # Also after a cancelled one: those who take over must not probe one after another.
            pause = min(2 * self._pause_seconds, MAX_PAUSE_SECONDS)
            self._pause_seconds = pause
            self._next_probe_at = anyio.current_time() + pause
        if is_reachable and closed is self._closed and not closed.is_set():
            self._begin_trial(meeting_id)

    def _begin_trial(self, meeting_id: str) -> None:
        self._trial = meeting_id
        self._trial_ends_at = anyio.current_time() + TRIAL_SECONDS

    def _end_trial(self) -> None:
        """End the trial call without an answer: probe the gateway again after a pause."""
        self._trial, self._trial_ends_at = None, 0.0
        earliest = anyio.current_time() + self._pause_seconds
        self._next_probe_at = max(self._next_probe_at, earliest)
        self._notify_prober()

    def _wake_first(self) -> None:
        for turn in self._queue:
            turn.set()
            return

    def _notify_prober(self) -> None:
        """Wake the meeting that probes, so that it checks the state again."""
        self._changed.set()
        self._changed = anyio.Event()
