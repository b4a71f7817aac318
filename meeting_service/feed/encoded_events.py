"""Dispatches: frames encoded once, for every stream that sends them."""

from collections import OrderedDict

from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from meeting_core.model import Meeting, MeetingEvent, MeetingId, Position, Version
from meeting_core.projector import evolve, project
from meeting_service.feed.frames import Frame, frames_of
from meeting_service.meetings import Meetings


class EncodedEvent(Struct, frozen=True, eq=False, gc=False):
    """What one stored event tells, ready to send; empty when it tells nothing.

    `open_attempt` is the call that was under way after it. Shape: `by_version` is for a meeting's
    own stream, `by_position` for that of all meetings.
    """

    meeting_id: MeetingId
    version: Version
    position: Position
    open_attempt: Version | None
    is_last: bool
    by_version: bytes
    by_position: bytes


class Delta(Struct, frozen=True, eq=False, gc=False):
    """By how much a text grew in one attempt, ready to send."""

    meeting_id: MeetingId
    attempt: Version
    encoded: bytes


class MeetingCache:
    """Meetings as far as a reader of their events has come, so that each event is folded once.

    Invariant: at most `limit` are kept; one that was forgotten is read again.
    """

    def __init__(self, meetings: Meetings, limit: int) -> None:
        self._meetings = meetings
        self._limit = limit
        self._kept: OrderedDict[MeetingId, Meeting] = OrderedDict()

    def known(self, meeting_id: MeetingId) -> Meeting | None:
        """Give the meeting as far as it was read."""
        return self._kept.get(meeting_id)

    def learn(self, meeting: Meeting) -> None:
        """Take a meeting that somebody else has folded, unless this one is known."""
        if meeting.id not in self._kept:
            self._keep(meeting)

    def forget_all(self) -> None:
        """Keep nothing."""
        self._kept.clear()

    async def dispatch(self, stored: StoredEvent, position: int = 0) -> EncodedEvent:
        """Fold one stored event and encode what it tells.

        Raises: `CorruptHistory`, or the store's error.
        """
        event = self._meetings.mapper.to_domain_event(stored)
        before = await self._before(event)
        after = evolve(before, event)
        self._keep(after)
        return _encoded(before, event, after, Position(position))

    async def _before(self, event: MeetingEvent) -> Meeting | None:
        version = event.originator_version - 1
        if version == 0:
            return None
        known = self._kept.get(event.originator_id)
        if known is not None and known.version == version:
            return known
        stored = await self._meetings.recorder.select_events(event.originator_id, lte=version)
        return project(None, self._meetings.mapper.to_meeting_events(stored))

    def _keep(self, meeting: Meeting) -> None:
        if meeting.has_ended:
            self._kept.pop(meeting.id, None)
            return
        self._kept[meeting.id] = meeting
        self._kept.move_to_end(meeting.id)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)


def open_attempt(meeting: Meeting) -> Version | None:
    """Name the call that is under way, by the version it started at."""
    task_state = meeting.task_state
    return (
        task_state.open.version if task_state is not None and task_state.open is not None else None
    )


def _encoded(
    before: Meeting | None, event: MeetingEvent, after: Meeting, position: Position
) -> EncodedEvent:
    frames = [(frame, frame.encoded()) for frame in frames_of(before, event, after)]
    return EncodedEvent(
        after.id,
        after.version,
        position,
        open_attempt(after),
        after.has_ended,
        _numbered(frames, after.version),
        _numbered(frames, position),
    )


def _numbered(frames: list[tuple[Frame, bytes]], number: int) -> bytes:
    prefix = b"id: %d\n" % number
    return b"".join(prefix + body if frame.is_numbered else body for frame, body in frames)
