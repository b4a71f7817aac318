"""Circuit breakers: while a gateway's provider is away, everybody waits and one probes it."""

import logging
from collections import OrderedDict

import anyio

from meeting_service.ports import GatewayFault, Gateways, Unavailable

log = logging.getLogger(__name__)


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

    def is_away(self, name: str) -> bool:
        """Say whether the gateway's provider was last found to be away."""
        breaker = self._breakers.get(name)
        return breaker is not None and breaker.is_open

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

    def note_answer(self, name: str) -> None:
        """Take note that a call to the gateway was answered: everybody may go on."""
        breaker = self._breakers.get(name)
        if breaker is not None:
            # Only a call proves this. A provider may answer probes and fail every call: were the
            # pause to start anew with each probe that succeeds, that one would be hammered.
            breaker.pause_seconds = self._first_pause_seconds
            self._close(name, breaker)

    async def until_reachable(self, name: str) -> None:
        """Return when the gateway's provider was reached since it was found away, if it was."""
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
            while not closed.is_set():
                await self._probe(name, breaker, closed)
        finally:
            # A driver that is cancelled hands over; an event set twice is set.
            del breaker.queue[my_turn]
            breaker.wake_first()

    async def _probe(self, name: str, breaker: "_Breaker", closed: anyio.Event) -> None:
        """Wait for the next probe's time, and make it."""
        with anyio.CancelScope(deadline=breaker.next_probe_at):
            await closed.wait()
            return
        breaker.probes += 1
        try:
            is_reachable = await self._is_reachable(name)
        finally:
            # Also after a cancelled one: those who take over must not probe one after another.
            pause = min(2 * breaker.pause_seconds, self._longest_pause_seconds)
            breaker.pause_seconds = pause
            breaker.next_probe_at = anyio.current_time() + pause
        if is_reachable and closed is breaker.closed:
            self._close(name, breaker)

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

    Units: `next_probe_at` is in seconds of the event loop's clock. Shape: `queue` holds an event
    for each who waits, set when it is the first or when the breaker closes.
    """

    def __init__(self, pause_seconds: float) -> None:
        self.is_open = False
        self.closed = anyio.Event()
        self.pause_seconds = pause_seconds
        self.next_probe_at = 0.0
        self.probes = 0
        # Unlike a dict's, its first entry is found at once however many have left before.
        self.queue: OrderedDict[anyio.Event, None] = OrderedDict()

    def open(self) -> None:
        self.is_open = True
        self.closed = anyio.Event()
        self.next_probe_at = anyio.current_time() + self.pause_seconds

    def close(self) -> None:
        self.is_open = False
        self.closed.set()
        for turn in self.queue:
            turn.set()

    def wake_first(self) -> None:
        for turn in self.queue:
            turn.set()
            return
