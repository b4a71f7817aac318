"""The feed: one reader of new events a process, for every stream that is open.

`Feed` is what the rest of the service uses::

    feed = Feed(meetings, poll_seconds=1.0)
    async with feed.following():             # in the application's lifespan
        feed.emit_delta(meeting, agent_id, text)   # a `ports.EmitDelta`, for the runners
        with feed.meeting_stream(meeting_id, after=0) as stream:
            frames = await stream.take()
    feed.drain()                           # on SIGTERM: every response ends its stream

The event table is the truth: what is shown, and in which order, is read from it. A notification
only wakes the reader; the poll behind it finds what it missed. Events that this process stores
itself are encoded before that, from the meeting its runner has folded; the reader uses them when
the table shows the same. Nothing is read and nothing encoded while no stream is open.
"""

import logging
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import anyio
from anyio.lowlevel import checkpoint
from eventsourcing.persistence import Notification, StoredEvent
from msgspec import Struct

from meeting_core.model import (
    AgentId,
    Meeting,
    MeetingId,
    OpenAttempt,
    TurnTask,
    Version,
    clean_text,
)
from meeting_service.background_loops import BackgroundLoops
from meeting_service.command_handler import FoldedEvent, Meetings
from meeting_service.feed.current_warnings import Warnings
from meeting_service.feed.encoded_events import (
    Delta,
    EncodedEvent,
    EventEncoder,
    LiveEvent,
    open_attempt,
)
from meeting_service.feed.frames import delta_frame
from meeting_service.feed.streams import GlobalStream, MeetingStream, Source, Subscriptions
from meeting_service.ports import Clock

log = logging.getLogger(__name__)

PAGE = 200
MIN_PASS_SECONDS = 0.005
"""Time between two reads, so that a busy store is not read once an event."""
DELTA_SECONDS = 0.05
MAX_DELTA_WAIT_SECONDS = 1.0
MAX_DELTA_CHARACTERS = 32_768
"""Text gathered for one attempt that cannot be shown yet; the rest is lost."""


class _Gathered(Struct):
    meeting: Meeting
    attempt: OpenAttempt
    task: TurnTask
    pieces: list[str]
    passes_left: int
    characters: int = 0


class _Reached(Struct, frozen=True):
    """Where the tail of the store stands in a meeting with an open attempt."""

    version: Version
    attempt: Version
    was_shown: bool


class Deltas:
    """Gathers the text of each meeting's open attempt between two passes.

    Invariant: a delta is yielded only while its attempt is open at the position that the feed has
    read up to, so that it comes after the attempt's start and before its end.
    """

    def __init__(self, clock: Clock, max_passes: int) -> None:
        self._clock = clock
        self._max_passes = max_passes
        self._gathered: dict[MeetingId, _Gathered] = {}
        self._reached: dict[MeetingId, _Reached] = {}
        self._arrival = anyio.Event()

    def gather(self, meeting: Meeting, agent_id: AgentId, text: str) -> None:
        """Keep what an agent's text grew by; text of no open turn is dropped."""
        state = meeting.task_state
        if state is None or state.open is None or not isinstance(state.task, TurnTask):
            return
        gathered = self._gathered.get(meeting.id)
        if gathered is None or gathered.attempt.version < state.open.version:
            gathered = _Gathered(meeting, state.open, state.task, [], self._max_passes)
            self._gathered[meeting.id] = gathered
        is_this = gathered.attempt.version == state.open.version and agent_id == state.open.agent_id
        if is_this and gathered.characters + len(text) <= MAX_DELTA_CHARACTERS:
            gathered.pieces.append(text)
            gathered.characters += len(text)
            self._arrival.set()

    def take(self, position: int) -> Iterator[Delta]:
        """Yield the text gathered for attempts that are open at the feed's position.

        Text that cannot be shown within `max_passes` calls is dropped.
        """
        for meeting_id, gathered in list(self._gathered.items()):
            reached = self._reached.get(meeting_id)
            gathered.passes_left -= 1
            if reached is not None and reached.attempt == gathered.attempt.version:
                del self._gathered[meeting_id]
                shown_at = position if reached.was_shown else -1
                yield Delta(meeting_id, reached.version, shown_at, self._encoded(gathered))
            elif gathered.passes_left <= 0:
                del self._gathered[meeting_id]

    def on_event(self, event: EncodedEvent) -> None:
        """Record the feed's position in a meeting."""
        self._note(event.meeting_id, event.version, event.open_attempt, was_shown=True)

    def learn(self, meeting: Meeting) -> None:
        """Record the state of a meeting of which the feed has read no event yet."""
        if meeting.id not in self._reached:
            self._note(meeting.id, meeting.version, open_attempt(meeting), was_shown=False)

    def forget(self, meeting_id: MeetingId) -> None:
        """Forget the state of a meeting that no stream shows."""
        self._reached.pop(meeting_id, None)

    def clear(self) -> None:
        """Forget the state of every meeting."""
        self._reached.clear()

    async def until_some(self) -> None:
        """Wait until there is something to take."""
        while not self._gathered:
            self._arrival = anyio.Event()
            await self._arrival.wait()

    def _note(
        self, meeting_id: MeetingId, version: Version, attempt: Version | None, *, was_shown: bool
    ) -> None:
        if attempt is None:
            self._reached.pop(meeting_id, None)
        else:
            self._reached[meeting_id] = _Reached(version, attempt, was_shown)

    def _encoded(self, gathered: _Gathered) -> bytes:
        text, _ = clean_text("".join(gathered.pieces))
        frame = delta_frame(gathered.meeting, gathered.attempt, gathered.task, text, self._clock())
        return frame.encoded()


class Feed:
    """Follows the store for the open streams.

    Units: `poll_seconds` is how often it reads when no notification comes.
    """

    def __init__(
        self,
        meetings: Meetings,
        *,
        poll_seconds: float = 1.0,
        loops: BackgroundLoops | None = None,
    ) -> None:
        self.meetings = meetings
        self.draining = anyio.Event()
        self._poll_seconds = poll_seconds
        self._loops = loops or BackgroundLoops()
        self._encoder = EventEncoder(meetings)
        self._subscriptions = Subscriptions()
        self.warnings = Warnings(meetings.clock, self._subscriptions.send_to_store)
        self._source = Source(meetings.recorder, self._encoder, poll_seconds, self.warnings)
        max_passes = math.ceil((poll_seconds + MAX_DELTA_WAIT_SECONDS) / DELTA_SECONDS)
        self._deltas = Deltas(meetings.clock, max_passes)
        self._position: int | None = None
        self._changed = anyio.Event()

    @property
    def watching(self) -> int:
        """Return how many streams are open."""
        return len(self._subscriptions)

    @asynccontextmanager
    async def following(self) -> AsyncIterator["Feed"]:
        """Follow the store until the context ends."""
        self.meetings.recorder.subscribe(self._notify)
        self.meetings.subscribe(self._prepare)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._loops.run, "feed", self._emit_new_events)
            emit = partial(self._loops.run, pause_seconds=DELTA_SECONDS)
            tasks.start_soon(emit, "feed deltas", self._emit_deltas)
            try:
                yield self
            finally:
                self.drain()
                tasks.cancel_scope.cancel()

    def drain(self) -> None:
        """End every stream's response now; its client resumes at another process."""
        self.draining.set()

    def emit_delta(self, meeting: Meeting, agent_id: AgentId, text: str) -> None:
        """Show what an agent's text grew by; costs nothing if no stream shows the meeting."""
        if self._subscriptions.has_any(meeting.id):
            self._deltas.gather(meeting, agent_id, text)

    async def newest_position(self) -> int:
        """Return the store's newest position."""
        return await self.meetings.recorder.max_notification_id() or 0

    @contextmanager
    def meeting_stream(
        self, meeting_id: MeetingId, after: int, meeting: Meeting | None = None
    ) -> Iterator[MeetingStream]:
        """Open one meeting's stream, from what follows the version `after`.

        A `meeting` that was loaded already saves reading it again.
        """
        with self._subscriptions.open(meeting_id) as subscription:
            if meeting is not None:
                self._encoder.learn(meeting)
                self._deltas.learn(meeting)
            # A stream may stay open for hours; it does not need the meeting any more.
            del meeting
            yield MeetingStream(self._source, subscription, meeting_id, after)

    @contextmanager
    def global_stream(
        self, after: int, meeting_id: MeetingId | None = None
    ) -> Iterator[GlobalStream]:
        """Open the stream of all meetings, or of one, from what follows the position `after`."""
        with self._subscriptions.open(meeting_id) as subscription:
            yield GlobalStream(self._source, subscription, after, meeting_id)

    def _notify(self) -> None:
        self._changed.set()

    def _prepare(
        self,
        before: Meeting | None,
        folded: Sequence[FoldedEvent],
        stored_events: Sequence[StoredEvent],
    ) -> None:
        meeting_id = folded[0].after.id
        if not self._subscriptions.has_any(meeting_id):
            return
        try:
            self._encoder.prepare(before, folded, stored_events)
        except Exception:  # what is shown must never keep a meeting from being stored
            log.exception("events of meeting %s could not be encoded for the feed", meeting_id)

    async def _emit_new_events(self) -> None:
        """Emit what was stored since the last pass, then wait for more."""
        if not self._subscriptions.has_any():
            self._position = None
            self._encoder.clear()
            self._deltas.clear()
            await self._subscriptions.until_some()
        if self._position is None:
            self._position = await self.newest_position()
            # The streams that are open by now read what was stored up to here themselves.
            self._subscriptions.send_to_store()
        self._changed = anyio.Event()
        stored_events = await self.meetings.recorder.select_notifications(
            self._position, PAGE, inclusive_of_start=False
        )
        for stored in stored_events:
            await self._emit(stored)
            self._position = stored.id
            # A long page must not keep the streams from sending its beginning.
            await checkpoint()
        if len(stored_events) < PAGE:
            await anyio.sleep(MIN_PASS_SECONDS)
            with anyio.move_on_after(self._poll_seconds):
                await self._changed.wait()

    async def _emit(self, stored: Notification) -> None:
        meeting_id = stored.originator_id
        assert isinstance(meeting_id, MeetingId)
        if not self._subscriptions.has_any(meeting_id):
            self._deltas.forget(meeting_id)
            return
        event = await self._encoder.encode(stored)
        if isinstance(event, EncodedEvent):
            self._deltas.on_event(event)
        self._subscriptions.emit(LiveEvent(meeting_id, stored.id, event))

    async def _emit_deltas(self) -> None:
        await self._deltas.until_some()
        for delta in self._deltas.take(self._position or 0):
            self._subscriptions.emit(delta)
