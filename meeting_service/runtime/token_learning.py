"""What is kept between meetings about how models count tokens: read at a start, written at an end.

Nothing here is in the way of an append: a meeting that has ended is read again in the background.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
import msgspec
from eventsourcing.persistence import PersistenceError, StoredEvent
from msgspec import Struct

from meeting_core.budget import NOTHING_LEARNT, LearntFactors, counted_calls, learnt_from
from meeting_core.errors import CorruptHistory
from meeting_core.model import (
    UNKNOWN_MODEL,
    Configuration,
    Meeting,
    MeetingId,
    ModelFactors,
    TokenFactors,
    bounded,
    highest,
)
from meeting_core.prompt import estimate_tokens
from meeting_service.background_loops import BackgroundLoops
from meeting_service.command_handler import FoldedEvent, MeetingNotFound, Meetings
from meeting_service.ports import ModelKey

log = logging.getLogger(__name__)

MAX_WAITING = 1_000
"""How many ended meetings may wait to be learnt from; more are passed over."""


class TokenizerProbe(Protocol):
    """Measures how the models behind a gateway count tokens."""

    async def measure(self, model: str) -> TokenFactors | None:
        """Count short texts; return None, after a line in the log, if that fails."""


class KnownGateway(Struct, frozen=True):
    """What the settings say of how a gateway's models count; an empty one says nothing."""

    start: TokenFactors = UNKNOWN_MODEL
    probe: TokenizerProbe | None = None


UNKNOWN_GATEWAY = KnownGateway()


class TokenLearning:
    """Knows how models count tokens, for meetings to come.

    With another counter than the estimate nothing is kept: the factors are those of the estimate.
    """

    def __init__(
        self,
        meetings: Meetings,
        gateways: Mapping[str, KnownGateway],
        loops: BackgroundLoops | None = None,
    ) -> None:
        self._meetings = meetings
        self._gateways = gateways
        self._loops = loops or BackgroundLoops()
        self._is_estimating = meetings.count is estimate_tokens
        self._ended: dict[MeetingId, None] = {}
        self._unmeasured: dict[ModelKey, None] = {}
        self._asked: set[ModelKey] = set()
        self._wake = anyio.Event()
        self.is_idle = anyio.Event()

    async def starting_factors(self, config: Configuration) -> tuple[ModelFactors, ...]:
        """Return the factors with which a meeting begins, by what is known of its models.

        A store that fails, or a row that cannot be read, leaves the start of an unknown model.
        """
        if not self._is_estimating:
            return ()
        keys = dict.fromkeys(
            (each.gateway, model)
            for each in config.participants
            for model in (each.model, *each.fallback_models)
        )
        try:
            rows = await self._meetings.recorder.select_token_factors(keys)
        except PersistenceError as error:
            log.warning("what is known of how models count cannot be read: %s", error)
            rows = {}
        by_model: dict[str, list[TokenFactors]] = {}
        for key in keys:
            known = self._gateways.get(key[0], UNKNOWN_GATEWAY)
            by_model.setdefault(key[1], []).append(_decoded(key, rows).over(known.start))
            self._measure_once(key, known)
        return tuple(ModelFactors(model, highest(tuple(each))) for model, each in by_model.items())

    def on_append(
        self, _: Meeting | None, events: Sequence[FoldedEvent], __: Sequence[StoredEvent]
    ) -> None:
        """Remember a meeting that is about to end; whether it has is seen when it is read."""
        if events and events[-1].after.has_ended and self._is_estimating:
            if len(self._ended) < MAX_WAITING:
                self._ended[events[-1].after.id] = None
            self._notify()

    @property
    def is_waiting(self) -> bool:
        """Whether something is left to learn."""
        return bool(self._ended or self._unmeasured)

    @asynccontextmanager
    async def learning(self) -> AsyncIterator[None]:
        """Learn from meetings that end, as long as the context lasts."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._loops.run, NAME, self.look, name=NAME)
            yield
            tasks.cancel_scope.cancel()

    async def look(self) -> None:
        """Wait for something to learn, and learn it; what fails is still there for the next time.

        Raises: the store's error.
        """
        while not self.is_waiting:
            self._wake = anyio.Event()
            self.is_idle.set()
            await self._wake.wait()
        for key in tuple(self._unmeasured):
            await self._measure(key)
            del self._unmeasured[key]
        for meeting_id in tuple(self._ended):
            await self._learn_from(meeting_id)
            del self._ended[meeting_id]

    async def _learn_from(self, meeting_id: MeetingId) -> None:
        try:
            meeting, history = await self._meetings.history(meeting_id)
        except (CorruptHistory, MeetingNotFound) as error:
            log.warning("nothing is learnt from meeting %s: %s", meeting_id, error)
            return
        if not meeting.has_ended:
            return
        calls = counted_calls(history)
        rows = await self._meetings.recorder.select_token_factors(calls.keys())
        for key, counted in calls.items():
            known = _decoded(key, rows)
            learnt = learnt_from(known, counted)
            if learnt != known:
                await self._save(key, learnt)

    def _measure_once(self, key: ModelKey, known: KnownGateway) -> None:
        if known.probe is not None and key not in self._asked:
            self._asked.add(key)
            self._unmeasured[key] = None
            self._notify()

    async def _measure(self, key: ModelKey) -> None:
        probe = self._gateways[key[0]].probe
        factors = None if probe is None else await probe.measure(key[1])
        if factors is not None:
            names = TokenFactors.__struct_fields__
            await self._save(key, LearntFactors(bounded(factors), names))

    async def _save(self, key: ModelKey, learnt: LearntFactors) -> None:
        text = msgspec.json.encode(learnt).decode()
        await self._meetings.recorder.save_token_factors(*key, text)
        log.info("how %s at %s counts tokens: %s", key[1] or "the model", key[0], learnt.factors)

    def _notify(self) -> None:
        self.is_idle = anyio.Event()
        self._wake.set()


NAME = "token factors"


def _decoded(key: ModelKey, rows: Mapping[ModelKey, str]) -> LearntFactors:
    """Read a row; one that cannot be true counts as none."""
    if key not in rows:
        return NOTHING_LEARNT
    try:
        learnt = msgspec.json.decode(rows[key], type=LearntFactors)
    except (msgspec.MsgspecError, ValueError) as error:
        log.warning("the row of %s at %s is passed over: %s", key[1], key[0], error)
        return NOTHING_LEARNT
    if bounded(learnt.factors) != learnt.factors:
        log.warning("the row of %s at %s is passed over: out of bounds", key[1], key[0])
        return NOTHING_LEARNT
    return learnt
