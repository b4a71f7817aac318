"""Circuit breakers: while a gateway's provider is away, everybody waits and one probes it.

A probe that succeeds lets one call through; its answer lets everybody go on.
"""

import logging
from collections import OrderedDict

import anyio

from meeting_service.ports import GatewayFault, Gateways, Unavailable

log = logging.getLogger(__name__)

TRIAL_SECONDS = 15.0
"""How long the others wait for the answer to the one call that tries for them all."""


class Breakers:
    """Keeps the runners of one process from calling gateways whose providers are away.

    Units: seconds; each probe is followed by twice the pause of the one before it. Invariant:
    however many wait, at most one probe of a gateway is under way, and none when nobody waits.
    """

    def __init__(
        self,
        gateways: Gateways,
        *,
        first_pause_seconds: float = 0.5,
        longest_pause_seconds: float = 5.0,
    ) -> None:
        self._gateways = gateways
        self._first_pause_seconds = first_pause_seconds
        self._longest_pause_seconds = longest_pause_seconds
        self._breakers: dict[str, _Breaker] = {}

    def is_unreachable(self, name: str) -> bool:
        """Say whether the gateway's provider was last found to be away."""
        breaker = self._breakers.get(name)
        return breaker is not None and breaker.is_open

    def has_known(self, name: str) -> bool:
        """Say whether the gateway's provider was ever found to be away."""
        return name in self._breakers

    def may_call(self, name: str, meeting_id: str) -> bool:
        """Say whether a meeting may call now: anybody, or while it is not known whether the
        provider is back, the one that tries it for all.
        """
        breaker = self._breakers.get(name)
        if breaker is None or not breaker.is_open:
            return True
        now = anyio.current_time()
        if not breaker.queue and now >= max(breaker.next_probe_at, breaker.trial_ends_at):
            breaker.begin_trial(meeting_id)
        return breaker.trial == meeting_id

    def probes(self, name: str) -> int:
        """Count the probes of the gateway that were begun."""
        breaker = self._breakers.get(name)
        return breaker.probes if breaker is not None else 0

    def note_away(self, name: str) -> None:
        """Take note that a call found the gateway's provider away."""
        breaker = self._breakers.get(name)
        if breaker is None:
            breaker = self._breakers[name] = _Breaker(self._first_pause_seconds)
        if not breaker.is_open:
            log.warning("the provider of gateway %s is away", name)
            breaker.open()
        else:
            breaker.end_trial()

    def note_end(self, name: str) -> None:
        """Take note that a call has ended and told nothing of whether the provider is there."""
        breaker = self._breakers.get(name)
        if breaker is not None and breaker.is_open:
            breaker.end_trial()

    def note_answer(self, name: str) -> None:
        """Take note that a call to the gateway was answered: everybody may go on."""
        breaker = self._breakers.get(name)
        if breaker is not None:
            # Only a call proves this. A provider may answer probes and fail every call: were the
            # pause to start anew with each probe that succeeds, that one would be hammered.
            breaker.pause_seconds = self._first_pause_seconds
            self._close(name, breaker)

    async def until_reachable(self, name: str, meeting_id: str) -> None:
        """Return when the meeting may call the gateway again: as the first to try it after a probe
        that succeeded, or when another one's try was answered.
        """
        breaker = self._breakers.get(name)
        if breaker is None or not breaker.is_open:
            return
        # Taken now: who waits may go on after this outage's end, though another one has begun.
        closed = breaker.closed
        my_turn = anyio.Event()
        breaker.queue[my_turn] = None
        try:
            breaker.wake_first()
            await my_turn.wait()
            while not closed.is_set() and breaker.trial != meeting_id:
                await self._probe(name, breaker, closed, meeting_id)
        finally:
            # A driver that is cancelled hands over; an event set twice is set.
            del breaker.queue[my_turn]
            breaker.wake_first()

    async def _probe(
        self, name: str, breaker: "_Breaker", closed: anyio.Event, meeting_id: str
    ) -> None:
        """Wait for the next probe's time, and for the end of another's try; then make it."""
        changed = breaker.changed
        wait_ends_at = max(breaker.next_probe_at, breaker.trial_ends_at)
        with anyio.CancelScope(deadline=wait_ends_at):
            await changed.wait()
            return
        breaker.probes += 1
        try:
            is_reachable = await self._is_reachable(name)
        finally:
            # Also after a cancelled one: those who take over must not probe one after another.
            pause = min(2 * breaker.pause_seconds, self._longest_pause_seconds)
            breaker.pause_seconds = pause
            breaker.next_probe_at = anyio.current_time() + pause
        if is_reachable and closed is breaker.closed and not closed.is_set():
            breaker.begin_trial(meeting_id)

    async def _is_reachable(self, name: str) -> bool:
        try:
            await self._gateways[name].probe()
        except Unavailable as fault:
            log.debug("gateway %s is still away: %s", name, fault.detail)
            return False
        except GatewayFault:
            return True  # whatever it refuses, the call will tell better
        except Exception:  # whatever an adapter breaks, those who wait go on waiting
            log.exception("the probe of gateway %s broke its contract", name)
            return False
        return True

    def _close(self, name: str, breaker: "_Breaker") -> None:
        if breaker.is_open:
            log.info("the provider of gateway %s can be reached again", name)
            breaker.close()


class _Breaker:
    """What is known of one gateway, and who waits for it: the first in the queue probes.

    Units: `next_probe_at` and `trial_ends_at` are in seconds of the event loop's clock. Shape:
    `queue` holds an event for each who waits, set when it is the first or when the breaker closes;
    `trial` is the meeting that tries for all, after a probe that succeeded.
    """

    def __init__(self, pause_seconds: float) -> None:
        self.is_open = False
        self.closed = anyio.Event()
        self.changed = anyio.Event()
        self.pause_seconds = pause_seconds
        self.next_probe_at = 0.0
        self.trial: str | None = None
        self.trial_ends_at = 0.0
        self.probes = 0
        # Unlike a dict's, its first entry is found at once however many have left before.
        self.queue: OrderedDict[anyio.Event, None] = OrderedDict()

    def open(self) -> None:
        self.is_open = True
        self.closed = anyio.Event()
        self.next_probe_at = anyio.current_time() + self.pause_seconds

    def begin_trial(self, meeting_id: str) -> None:
        self.trial = meeting_id
        self.trial_ends_at = anyio.current_time() + TRIAL_SECONDS

    def end_trial(self) -> None:
        """Have the provider probed again, after a pause."""
        self.trial, self.trial_ends_at = None, 0.0
        self.next_probe_at = max(self.next_probe_at, anyio.current_time() + self.pause_seconds)
        self._tell()

    def close(self) -> None:
        self.is_open = False
        self.trial, self.trial_ends_at = None, 0.0
        self.closed.set()
        self._tell()
        for turn in self.queue:
            turn.set()

    def wake_first(self) -> None:
        for turn in self.queue:
            turn.set()
            return

    def _tell(self) -> None:
        """Have whoever drives look again."""
        self.changed.set()
        self.changed = anyio.Event()
