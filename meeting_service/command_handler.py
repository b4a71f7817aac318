"""Handling commands: load the meeting, let the core decide, append what it decided."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar
from uuid import UUID, uuid4

import stamina
from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent
from msgspec import Struct

from meeting_core.codec import MeetingMapper
from meeting_core.decider import Decision, decide_events
from meeting_core.errors import CorruptHistory, MeetingError
from meeting_core.model import (
    Command,
    EventMetadata,
    Meeting,
    MeetingEvent,
    MeetingId,
)
from meeting_core.projector import project
from meeting_core.prompt import TokenCounter, estimate_tokens
from meeting_core.steps import BeginAttempt, GiveCommand, Step, next_step
from meeting_service.ports import Clock, Recorder, VersionConflict
from meeting_service.projections import read_models

log = logging.getLogger(__name__)

Result = TypeVar("Result")

UNAVAILABLE = (OperationalError, InterfaceError)
"""What the store raises while it is unavailable; whether the work was done is unknown then."""

FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 1.0

MAX_REDECISIONS = 20
"""How often a command is decided again because another append was faster."""


class MeetingNotFound(MeetingError):
    """No meeting has events under this id."""

    def __init__(self, meeting_id: MeetingId) -> None:
        super().__init__(f"there is no meeting {meeting_id}")
        self.meeting_id = meeting_id


class FoldedEvent(Struct, frozen=True):
    """An event that was decided, and the meeting after it."""

    event: MeetingEvent
    after: Meeting


OnAppend: TypeAlias = Callable[[Meeting | None, Sequence[FoldedEvent], Sequence[StoredEvent]], None]
"""Takes what is about to be stored: the meeting before, the events, and their stored form."""


class Meetings:
    """Every way in to the meetings: what is read is folded from events, what is written is
    decided by the core.
    """

    def __init__(
        self,
        recorder: Recorder,
        clock: Clock,
        new_id: Callable[[], UUID] = uuid4,
        count: TokenCounter = estimate_tokens,
    ) -> None:
        self.recorder = recorder
        self.mapper = MeetingMapper()
        self.clock = clock
        self.new_id = new_id
        self.count = count
        self._on_append: list[OnAppend] = []

    def subscribe(self, on_append: OnAppend) -> None:
        """Call `on_append` right before each append of this process.

        Whether the append succeeds is not known then; it must raise nothing.
        """
        self._on_append.append(on_append)

    async def load(self, meeting_id: MeetingId) -> Meeting:
        """Return a meeting, folded from its whole history.

        Raises: `MeetingNotFound`, `CorruptHistory`, or the store's error.
        """
        meeting = await self.find(meeting_id)
        if meeting is None:
            raise await self.missing(meeting_id)
        return meeting

    async def history(self, meeting_id: MeetingId) -> tuple[Meeting, list[MeetingEvent]]:
        """Return a meeting, and all its events, oldest first.

        Raises: `MeetingNotFound`, `CorruptHistory`, or the store's error.
        """
        events = await self.events(meeting_id)
        meeting = _projected(meeting_id, None, events)
        if meeting is None:
            raise await self.missing(meeting_id)
        return meeting, events

    async def find(self, meeting_id: MeetingId) -> Meeting | None:
        """Return a meeting, folded from its whole history; None if it has no events.

        Raises: `CorruptHistory`, or the store's error.
        """
        return _projected(meeting_id, None, await self.events(meeting_id))

    async def missing(self, meeting_id: MeetingId) -> MeetingError:
        """Return why a meeting has no events: there is none, or it lost them.

        One that lost them is known by its quarantine. Raises: the store's error.
        """
        reason = await self.recorder.quarantine_reason(meeting_id)
        if reason is None:
            return MeetingNotFound(meeting_id)
        return CorruptHistory(f"meeting {meeting_id} has no events; it is in quarantine: {reason}")

    async def events(
        self, meeting_id: MeetingId, *, after: int = 0, limit: int | None = None
    ) -> list[MeetingEvent]:
        """Return a meeting's events after a version, oldest first.

        Raises: `CorruptHistory`, or the store's error.
        """
        stored = await self.recorder.select_events(meeting_id, gt=after, limit=limit)
        with _corrupt_if_unreadable(meeting_id):
            return self.mapper.to_meeting_events(stored)

    async def handle(
        self, meeting_id: MeetingId, command: Command, actor: str, *, epoch: int | None = None
    ) -> Meeting:
        """Decide a command on the meeting as it is and append the outcome.

        With `epoch`, only while the meeting's lease still has that epoch.

        Raises: `MeetingNotFound`, `CorruptHistory`, a `Refusal`, or the store's error;
        `VersionConflict` only when others were faster many times in a row.
        """
        command_id = self.new_id()
        meeting = await self.load(meeting_id)
        for _ in range(MAX_REDECISIONS):
            events, after = self.decide_events(meeting, command, self.metadata(actor, command_id))
            try:
                return await self.append(meeting, events, after, epoch=epoch)
            except VersionConflict:
                later = await self.events(meeting_id, after=meeting.version)
                meeting = _projected(meeting_id, meeting, later) or meeting
                if any(event.command_id == command_id for event in later):
                    return meeting
        raise VersionConflict(f"meeting {meeting_id} changes too fast for {command}")

    def metadata(self, actor: str, command_id: UUID | None = None) -> EventMetadata:
        """Return the metadata of what is decided now for `actor`."""
        return EventMetadata(self.clock(), command_id or self.new_id(), actor)

    def decide_events(
        self, meeting: Meeting | None, command: Command, metadata: EventMetadata
    ) -> tuple[tuple[FoldedEvent, ...], Meeting]:
        """Decide a command without storing anything: the events, and the meeting after them."""
        decision = self._decide(meeting, command, metadata)
        return _folded(decision), decision.meeting

    def _decide(
        self, meeting: Meeting | None, command: Command, metadata: EventMetadata
    ) -> Decision:
        return decide_events(meeting, command, metadata, self.new_id, self.count)

    def run_internal_steps(
        self,
        meeting: Meeting,
        metadata: EventMetadata,
        try_acquire: Callable[[str, MeetingId], bool],
    ) -> tuple[tuple[FoldedEvent, ...], Meeting, Step]:
        """Decide every step that needs nothing from outside: the events, the meeting after them,
        and the first step that does. An attempt begins if `try_acquire` gives it a call slot.
        """
        events: tuple[FoldedEvent, ...] = ()
        step = next_step(meeting)
        while True:
            match step:
                case GiveCommand():
                    pass
                case BeginAttempt() if try_acquire(step.gateway, meeting.id):
                    pass
                case _:
                    return events, meeting, step
            decision = self._decide(meeting, step.command, metadata)
            events, meeting = events + _folded(decision), decision.meeting
            step = next_step(meeting, decision.brief)

    async def append(
        self,
        before: Meeting | None,
        events: Sequence[FoldedEvent],
        after: Meeting,
        *,
        epoch: int | None = None,
        lease_owner: str | None = None,
        max_live: int | None = None,
    ) -> Meeting:
        """Store decided events and the rows they change; return the meeting after them.

        Raises: `VersionConflict`, `Fenced`, `RoomTaken`, `TooManyLive` or another of the store's
        errors.
        """
        if not events:
            return after
        stored_events = [self.mapper.to_stored_event(each.event) for each in events]
        for on_append in self._on_append:
            on_append(before, events, stored_events)
        await self.recorder.insert_events(
            stored_events,
            epoch=epoch,
            lease_owner=lease_owner,
            max_live=max_live,
            read_models=read_models(before, after),
        )
        return after


def _folded(decision: Decision) -> tuple[FoldedEvent, ...]:
    return tuple(map(FoldedEvent, decision.events, decision.meetings))


def _projected(
    meeting_id: MeetingId, meeting: Meeting | None, events: Sequence[MeetingEvent]
) -> Meeting | None:
    with _corrupt_if_unreadable(meeting_id):
        return project(meeting, events)


@contextmanager
def _corrupt_if_unreadable(meeting_id: MeetingId) -> Iterator[None]:
    """Raise any error of decoding or folding as `CorruptHistory`: it is the meeting's own."""
    try:
        yield
    except MeetingError:
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        raise CorruptHistory(f"meeting {meeting_id} cannot be read: {detail}") from error


async def retry_while_unavailable(work: Callable[[], Awaitable[Result]]) -> Result:
    """Do the work; repeat it while the store is unavailable.

    Raises: every other error of the work.
    """
    try:
        return await work()
    except UNAVAILABLE as error:
        log.warning("waiting for the database: %s", error)
    async for attempt in stamina.retry_context(
        on=UNAVAILABLE,
        attempts=None,
        timeout=None,
        wait_initial=FIRST_PAUSE_SECONDS,
        wait_max=MAX_PAUSE_SECONDS,
    ):
        with attempt:
            return await work()
    raise AssertionError("a retry without an end has none")
