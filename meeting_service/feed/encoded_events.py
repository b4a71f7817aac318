"""Encoded events: what one stored event shows, encoded once for every stream that sends it."""

import logging
from collections import OrderedDict
from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from meeting_core.model import Meeting, MeetingEvent, MeetingId, Version
from meeting_core.projector import evolve
from meeting_service.command_handler import FoldedEvent, Meetings
from meeting_service.feed.frames import frames_of, unreadable_frame
from meeting_service.feed.meeting_outlines import (
    ENTRY_BYTES,
    BoundedCache,
    packed_outline,
    unpacked_outline,
)

log = logging.getLogger(__name__)

MAX_OUTLINES_BYTES = 24 * 1024 * 1024
MAX_RECENT_BYTES = 8 * 1024 * 1024
UNREADABLE = 0
"""A version that no event has: the key under which an unreadable meeting is kept."""


class EncodedEvent(Struct, frozen=True, eq=False, gc=False):
    """The frames of one stored event, ready to send; without any for an event that shows nothing.

    `open_attempt` is the call that was under way after it. Shape: `unnumbered` frames go before
    the `numbered` one, of which there is at most one; either may be empty.
    """

    meeting_id: MeetingId
    version: Version
    open_attempt: Version | None
    is_last: bool
    unnumbered: bytes
    numbered: bytes

    def with_id(self, number: int) -> bytes:
        """Return the frames, with an `id:` where one belongs."""
        if not self.numbered:
            return self.unnumbered
        return b"%bid: %d\n%b" % (self.unnumbered, number, self.numbered)


class Unreadable(Struct, frozen=True, eq=False, gc=False):
    """A meeting that cannot be read from a version on, and the warning that says so."""

    meeting_id: MeetingId
    version: Version
    warning: bytes


class LiveEvent(Struct, frozen=True, eq=False, gc=False):
    """A stored event as the tail of the store read it, at its position."""

    meeting_id: MeetingId
    position: int
    event: EncodedEvent | Unreadable


class Delta(Struct, frozen=True, eq=False, gc=False):
    """What a text grew by in the open attempt, ready to send.

    Shape: `version` and `position` are those the tail had reached; a stream that has shown other
    events does not know the attempt as the open one. `position` is -1 if the tail has not shown
    the attempt's start.
    """

    meeting_id: MeetingId
    version: Version
    position: int
    encoded: bytes


class _Recent(Struct, frozen=True, eq=False, gc=False):
    state: bytes
    encoded: EncodedEvent

    @property
    def size(self) -> int:
        frames = len(self.encoded.numbered) + len(self.encoded.unnumbered)
        return ENTRY_BYTES + _encoder_bytes(self.state) + frames


class EventEncoder:
    """Encodes stored events for all streams of a process, each at most once.

    Invariant: memory is bounded, in bytes; what was forgotten is read from the store again.
    """

    def __init__(
        self,
        meetings: Meetings,
        *,
        max_outlines_bytes: int = MAX_OUTLINES_BYTES,
        max_recent_bytes: int = MAX_RECENT_BYTES,
    ) -> None:
        self._meetings = meetings
        self._outlines = BoundedCache[bytes | Unreadable](max_outlines_bytes)
        self._recent: OrderedDict[tuple[MeetingId, int], _Recent] = OrderedDict()
        self._max_recent_bytes = max_recent_bytes
        self._recent_bytes = 0

    def prepare(
        self,
        before: Meeting | None,
        folded: Sequence[FoldedEvent],
        stored_events: Sequence[StoredEvent],
    ) -> None:
        """Encode events that this process is about to store, from the meeting it has folded.

        Whether they were stored is for the store to say: they are used once it shows the same.
        """
        for each, stored in zip(folded, stored_events, strict=True):
            self._remember(stored, _encoded(before, each.event, each.after))
            before = each.after

    def learn(self, meeting: Meeting) -> None:
        """Keep a meeting that was folded already, so that its next event needs no read."""
        key = meeting.id, meeting.version
        if not meeting.has_ended and key not in self._outlines:
            self._keep(meeting)

    async def encode(self, stored: StoredEvent) -> EncodedEvent | Unreadable:
        """Return what one stored event shows, or that its meeting cannot be read up to it.

        Raises: the store's error.
        """
        assert isinstance(stored.originator_id, MeetingId)
        recent = self._recent.get((stored.originator_id, stored.originator_version))
        if recent is not None and recent.state == stored.state:
            return recent.encoded
        return await self._fold(stored, stored.originator_id)

    def clear(self) -> None:
        """Forget everything."""
        self._outlines.clear()
        self._recent.clear()
        self._recent_bytes = 0

    @property
    def bytes_used(self) -> int:
        """Return an upper estimate of the memory that is used."""
        return self._outlines.bytes_used + self._recent_bytes

    async def _fold(self, stored: StoredEvent, meeting_id: MeetingId) -> EncodedEvent | Unreadable:
        version = stored.originator_version
        unreadable = self._known_unreadable(meeting_id)
        if unreadable is not None and version > unreadable.version:
            return unreadable
        before = await self._before(meeting_id, version)
        if isinstance(before, Unreadable):
            return before
        try:
            event = self._meetings.mapper.to_domain_event(stored)
            after = evolve(before, event)
            encoded = _encoded(before, event, after)
        except Exception as error:  # one meeting's fault must not keep the others' events back
            if before is not None:
                self._keep(before)
            return self._unreadable(meeting_id, version, error)
        self._outlines.pop((meeting_id, UNREADABLE))
        self._keep(after)
        self._remember(stored, encoded)
        return encoded

    async def _before(self, meeting_id: MeetingId, version: int) -> Meeting | Unreadable | None:
        """Return the meeting before its event of that version; None before its first."""
        if version == 1:
            return None
        known = self._outlines.pop((meeting_id, version - 1))
        if isinstance(known, bytes):
            return unpacked_outline(known)
        meeting: Meeting | None = None
        recorder = self._meetings.recorder
        for stored in await recorder.select_events(meeting_id, lte=version - 1):
            try:
                meeting = evolve(meeting, self._meetings.mapper.to_domain_event(stored))
            except Exception as error:  # the same boundary as for the event itself
                return self._unreadable(meeting_id, stored.originator_version, error)
        return meeting

    def _known_unreadable(self, meeting_id: MeetingId) -> Unreadable | None:
        known = self._outlines.get((meeting_id, UNREADABLE))
        return known if isinstance(known, Unreadable) else None

    def _unreadable(self, meeting_id: MeetingId, version: int, error: Exception) -> Unreadable:
        known = self._known_unreadable(meeting_id)
        if known is not None and known.version == version:
            return known
        what = "the feed cannot read meeting %s from version %d on"
        log.error(what, meeting_id, version, exc_info=error)
        frame = unreadable_frame(meeting_id, Version(version), self._meetings.clock())
        unreadable = Unreadable(meeting_id, Version(version), frame.encoded())
        self._outlines.put((meeting_id, UNREADABLE), unreadable, len(unreadable.warning))
        return unreadable

    def _keep(self, meeting: Meeting) -> None:
        if not meeting.has_ended:
            outline = packed_outline(meeting)
            self._outlines.put((meeting.id, meeting.version), outline, _encoder_bytes(outline))

    def _remember(self, stored: StoredEvent, encoded: EncodedEvent) -> None:
        key = encoded.meeting_id, stored.originator_version
        if (known := self._recent.pop(key, None)) is not None:
            self._recent_bytes -= known.size
        recent = _Recent(stored.state, encoded)
        self._recent[key] = recent
        self._recent_bytes += recent.size
        while self._recent_bytes > self._max_recent_bytes:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= oldest.size


def open_attempt(meeting: Meeting) -> Version | None:
    """Return the version at which the call under way was started; None if there is none."""
    task_state = meeting.task_state
    return task_state.open.version if task_state and task_state.open else None


def _encoded(before: Meeting | None, event: MeetingEvent, after: Meeting) -> EncodedEvent:
    frames = frames_of(before, event, after)
    return EncodedEvent(
        after.id,
        after.version,
        open_attempt(after),
        after.has_ended,
        b"".join([frame.encoded() for frame in frames if not frame.is_numbered]),
        b"".join([frame.encoded() for frame in frames if frame.is_numbered]),
    )


def _encoder_bytes(encoded: bytes) -> int:
    """Return the memory that msgspec's encoders take at most for what they return.

    They grow a buffer by half and return it without trimming. Units: bytes.
    """
    return len(encoded) * 3 // 2
