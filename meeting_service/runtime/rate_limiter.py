"""Permits to call: how many calls may be under way at once, and how many may start a minute."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count

import anyio
from msgspec import Struct

from meeting_core.model import MeetingId
from meeting_service.ports import Clock

MINUTE_SECONDS = 60.0


class CallRules(Struct, frozen=True):
    """How much one gateway may be asked. None is no bound.

    Units: calls of this process.
    """

    most_at_once: int | None = None
    most_per_minute: int | None = None


UNBOUNDED = CallRules()


class Waiting(Struct, frozen=True):
    """What a meeting that waits for a permit waits for.

    Units: `calls_ahead` counts those for the same gateway that came before it.
    """

    gateway: str
    began_at: datetime
    calls_ahead: int


def _now() -> datetime:
    return datetime.now(UTC)


class CallLimiter:
    """Lets the runners of one process call its gateways, first come, first served.

    Shape: `per_process` bounds all gateways together; a gateway without rules has no bound of
    its own. Invariant: a meeting holds at most one permit of a gateway; taking it again changes
    nothing, nor does giving back what is not held. Who could go on does not wait: each waiter's
    gateway has no room, or the process has none.
    """

    def __init__(
        self,
        per_process: int | None = None,
        rules: Mapping[str, CallRules] | None = None,
        *,
        clock: Clock = _now,
    ) -> None:
        self._per_process = per_process
        self._rules = dict(rules or {})
        self._clock = clock
        self._is_bounded = per_process is not None or any(
            each != UNBOUNDED for each in self._rules.values()
        )
        self._gates: dict[str, _Gate] = {}
        self._under_way = 0
        self._tickets = count()
        self._waiters: dict[MeetingId, _Waiter] = {}

    def try_take(self, gateway: str, meeting_id: MeetingId) -> bool:
        """Take a permit if there is one and nobody waits for it; say whether it is held now."""
        if not self._is_bounded:
            return True
        gate = self._gate(gateway)
        if meeting_id in gate.holders:
            return True
        # While the process has room, whoever waits does so for a gateway without: see the class.
        now = _loop_time()
        if gate.queue or self._is_full or not gate.has_room(now):
            return False
        gate.enter(meeting_id, now)
        self._under_way += 1
        return True

    async def take(self, gateway: str, meeting_id: MeetingId) -> None:
        """Take a permit, once everybody who came before has theirs."""
        if self.try_take(gateway, meeting_id):
            return
        gate = self._gate(gateway)
        waiter = _Waiter(gate, next(self._tickets), self._clock())
        gate.queue[meeting_id] = self._waiters[meeting_id] = waiter
        self._serve()
        try:
            await waiter.admitted.wait()
        except BaseException:
            self._leave(waiter, meeting_id)
            raise

    def release(self, gateway: str, meeting_id: MeetingId, *, was_used: bool = True) -> None:
        """Give a permit back, to whoever waits for it; one that was not used started no call."""
        if not self._is_bounded:
            return
        gate = self._gate(gateway)
        if meeting_id in gate.holders:
            gate.leave(meeting_id, was_used=was_used)
            self._under_way -= 1
            self._serve()

    def waiting(self, meeting_id: MeetingId) -> Waiting | None:
        """Tell what the meeting waits for, if it waits."""
        waiter = self._waiters.get(meeting_id)
        if waiter is None:
            return None
        queue = waiter.gate.queue.values()
        ahead = sum(other.ticket < waiter.ticket for other in queue)
        return Waiting(waiter.gate.name, waiter.began_at, ahead)

    @property
    def _is_full(self) -> bool:
        return self._per_process is not None and self._under_way >= self._per_process

    def _gate(self, gateway: str) -> "_Gate":
        gate = self._gates.get(gateway)
        if gate is None:
            gate = _Gate(gateway, self._rules.get(gateway, UNBOUNDED))
            self._gates[gateway] = gate
        return gate

    def _serve(self) -> None:
        """Admit waiters as long as there is room, and see to it that time's passing does so."""
        while not self._is_full:
            now = _loop_time()
            open_gates = [g for g in self._gates.values() if g.queue and g.has_room(now)]
            if not open_gates:
                break
            gate = min(open_gates, key=lambda each: each.first_ticket)
            meeting_id, waiter = gate.queue.popitem(last=False)
            del self._waiters[meeting_id]
            gate.enter(meeting_id, now)
            self._under_way += 1
            waiter.admitted.set()
        for gate in self._gates.values():
            gate.watch_the_clock(self._serve)

    def _leave(self, waiter: "_Waiter", meeting_id: MeetingId) -> None:
        """Forget a waiter that was cancelled, also when it had just been admitted."""
        gate = waiter.gate
        if waiter.admitted.is_set():
            self.release(gate.name, meeting_id, was_used=False)
        else:
            del gate.queue[meeting_id], self._waiters[meeting_id]


class _Waiter:
    """A meeting in a queue."""

    def __init__(self, gate: "_Gate", ticket: int, began_at: datetime) -> None:
        self.gate = gate
        self.ticket = ticket
        self.began_at = began_at
        self.admitted = anyio.Event()


class _Gate:
    """The calls of one gateway: who is in, who waits, and when the last ones started.

    Units: a start is in seconds of the event loop's clock.
    """

    def __init__(self, name: str, rules: CallRules) -> None:
        self.name = name
        self.holders: dict[MeetingId, float] = {}
        # Unlike a dict's, its first entry is found at once however many have left before.
        self.queue: OrderedDict[MeetingId, _Waiter] = OrderedDict()
        self._rules = rules
        self._starts: deque[float] = deque(maxlen=rules.most_per_minute or 0)
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def first_ticket(self) -> int:
        return next(iter(self.queue.values())).ticket

    def has_room(self, now: float) -> bool:
        return self._has_place and self._next_start_at <= now

    def enter(self, meeting_id: MeetingId, now: float) -> None:
        self.holders[meeting_id] = now
        self._starts.append(now)

    def leave(self, meeting_id: MeetingId, *, was_used: bool) -> None:
        started_at = self.holders.pop(meeting_id)
        if not was_used:
            # Older than a minute's calls, it is not among them any more.
            with suppress(ValueError):
                self._starts.remove(started_at)

    def watch_the_clock(self, notify: Callable[[], None]) -> None:
        """Have `ring` called when a start is next allowed, if that is what somebody waits for."""
        is_late = self._has_place and self._next_start_at > _loop_time()
        if self.queue and is_late and self._alarm is None:
            # The loop's own timer, because no waiter can be trusted to stay and keep the watch.
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(self._next_start_at, self._notify, notify)

    def _notify(self, notify: Callable[[], None]) -> None:
        self._alarm = None
        notify()

    @property
    def _has_place(self) -> bool:
        most = self._rules.most_at_once
        return most is None or len(self.holders) < most

    @property
    def _next_start_at(self) -> float:
        starts = self._starts
        return starts[0] + MINUTE_SECONDS if starts and len(starts) == starts.maxlen else 0.0


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
