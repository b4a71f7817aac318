"""The rate limiter: how many calls may be under way at once, and how many may start a minute."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count

import anyio
from msgspec import Struct

from meeting_core.model import MeetingId
from meeting_service.ports import Clock

MINUTE_SECONDS = 60.0
SYSTEM_CLOCK: Clock = partial(datetime.now, UTC)


class CallRules(Struct, frozen=True):
    """The bounds on the calls of one gateway. None is no bound.

    Units: calls of this process.
    """

    max_at_once: int | None = None
    max_per_minute: int | None = None


UNBOUNDED = CallRules()


class CallSlotWait(Struct, frozen=True):
    """The wait of a meeting for a call slot.

    Units: `calls_ahead` counts those for the same gateway that came before it.
    """

    gateway: str
    began_at: datetime
    calls_ahead: int


class CallLimiter:
    """Lets the runners of one process call its gateways, first come, first served.

    Shape: `per_process` bounds all gateways together; a gateway without rules has no bound of
    its own. Invariant: a meeting holds at most one slot of a gateway; acquiring it again changes
    nothing, nor does releasing one that is not held. A meeting waits only while its gateway, or
    the process, has no free slot.
    """

    def __init__(
        self,
        per_process: int | None = None,
        rules: Mapping[str, CallRules] | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._per_process = per_process
        self._rules = dict(rules or {})
        self._clock = clock
        self.is_bounded = per_process is not None or any(
            each != UNBOUNDED for each in self._rules.values()
        )
        self._gateways: dict[str, _GatewaySlots] = {}
        self._under_way = 0
        self._arrivals = count()
        self._waiters: dict[MeetingId, _Waiter] = {}

    def try_acquire(self, gateway: str, meeting_id: MeetingId) -> bool:
        """Take a slot if one is free and no other meeting waits for it; return whether the
        meeting holds one now.
        """
        slots = self._slots(gateway)
        if meeting_id in slots.holders:
            return True
        # While the process has a free slot, a waiter's gateway has no free slot: see the class.
        now = _loop_time()
        if slots.queue or self._is_full or not slots.is_free(now):
            return False
        slots.take(meeting_id, now)
        self._under_way += 1
        return True

    async def acquire(self, gateway: str, meeting_id: MeetingId) -> None:
        """Wait until every meeting that came before has its slot, and take one."""
        if self.try_acquire(gateway, meeting_id):
            return
        slots = self._slots(gateway)
        waiter = _Waiter(slots, next(self._arrivals), self._clock())
        slots.queue[meeting_id] = self._waiters[meeting_id] = waiter
        self._admit_waiters()
        try:
            await waiter.admitted.wait()
        except BaseException:
            self._remove(waiter, meeting_id)
            raise

    def release(self, gateway: str, meeting_id: MeetingId, *, was_used: bool = True) -> None:
        """Release a slot, for the meetings that wait; an unused slot started no call."""
        slots = self._slots(gateway)
        if meeting_id in slots.holders:
            slots.give_back(meeting_id, was_used=was_used)
            self._under_way -= 1
            self._admit_waiters()

    def wait_of(self, meeting_id: MeetingId) -> CallSlotWait | None:
        """Return what the meeting waits for; None if it does not wait."""
        waiter = self._waiters.get(meeting_id)
        if waiter is None:
            return None
        queue = waiter.slots.queue.values()
        ahead = sum(other.arrival < waiter.arrival for other in queue)
        return CallSlotWait(waiter.slots.name, waiter.began_at, ahead)

    @property
    def _is_full(self) -> bool:
        return self._per_process is not None and self._under_way >= self._per_process

    def _slots(self, gateway: str) -> "_GatewaySlots":
        slots = self._gateways.get(gateway)
        if slots is None:
            slots = _GatewaySlots(gateway, self._rules.get(gateway, UNBOUNDED))
            self._gateways[gateway] = slots
        return slots

    def _admit_waiters(self) -> None:
        """Admit waiters while there are free slots, and again when time frees the next one."""
        while not self._is_full:
            now = _loop_time()
            free = [each for each in self._gateways.values() if each.queue and each.is_free(now)]
            if not free:
                break
            slots = min(free, key=lambda each: each.first_arrival)
            meeting_id, waiter = slots.queue.popitem(last=False)
            del self._waiters[meeting_id]
            slots.take(meeting_id, now)
            self._under_way += 1
            waiter.admitted.set()
        for slots in self._gateways.values():
            slots.schedule(self._admit_waiters)

    def _remove(self, waiter: "_Waiter", meeting_id: MeetingId) -> None:
        """Remove a waiter that was cancelled, also when it had just been admitted."""
        slots = waiter.slots
        if waiter.admitted.is_set():
            self.release(slots.name, meeting_id, was_used=False)
        else:
            del slots.queue[meeting_id], self._waiters[meeting_id]


class _Waiter:
    """A meeting in a queue."""

    def __init__(self, slots: "_GatewaySlots", arrival: int, began_at: datetime) -> None:
        self.slots = slots
        self.arrival = arrival
        self.began_at = began_at
        self.admitted = anyio.Event()


class _GatewaySlots:
    """The call slots of one gateway: who holds them, who waits, and when the last were taken.

    Units: a start is in seconds of the event loop's clock.
    """

    def __init__(self, name: str, rules: CallRules) -> None:
        self.name = name
        self.holders: dict[MeetingId, float] = {}
        # Unlike a dict's, its first entry is found at once however many have left before.
        self.queue: OrderedDict[MeetingId, _Waiter] = OrderedDict()
        self._rules = rules
        self._starts: deque[float] = deque(maxlen=rules.max_per_minute or 0)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def first_arrival(self) -> int:
        return next(iter(self.queue.values())).arrival

    def is_free(self, now: float) -> bool:
        return self._has_place and self._next_start_at <= now

    def take(self, meeting_id: MeetingId, now: float) -> None:
        self.holders[meeting_id] = now
        self._starts.append(now)

    def give_back(self, meeting_id: MeetingId, *, was_used: bool) -> None:
        started_at = self.holders.pop(meeting_id)
        if not was_used:
            # Older than a minute's calls, it is not among them any more.
            with suppress(ValueError):
                self._starts.remove(started_at)

    def schedule(self, admit_waiters: Callable[[], None]) -> None:
        """Call `admit_waiters` when a start is next allowed, if a waiter waits only for that."""
        is_late = self._has_place and self._next_start_at > _loop_time()
        if self.queue and is_late and self._timer is None:
            # The loop's own timer, because any waiter may be cancelled.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._next_start_at, self._on_timer, admit_waiters)

    def _on_timer(self, admit_waiters: Callable[[], None]) -> None:
        self._timer = None
        admit_waiters()

    @property
    def _has_place(self) -> bool:
        bound = self._rules.max_at_once
        return bound is None or len(self.holders) < bound

    @property
    def _next_start_at(self) -> float:
        starts = self._starts
        return starts[0] + MINUTE_SECONDS if starts and len(starts) == starts.maxlen else 0.0


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
