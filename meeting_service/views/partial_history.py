"""What can be read of a meeting, also where one of its events cannot."""

from collections.abc import Sequence

from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from meeting_core.codec import MeetingMapper
from meeting_core.errors import CorruptHistory
from meeting_core.model import Meeting, MeetingEvent, MeetingId
from meeting_core.projector import evolve
from meeting_service.command_handler import Meetings


class UnreadableView(Struct, frozen=True):
    """The first event of a history that cannot be read: its version, and why."""

    version: int
    detail: str


class ReadableMeeting(Struct, frozen=True):
    """A meeting as its events say up to the first that cannot be read, if there is one."""

    meeting: Meeting
    events: tuple[MeetingEvent, ...]
    unreadable: UnreadableView | None = None


def decode_readable(
    mapper: MeetingMapper, stored: Sequence[StoredEvent]
) -> tuple[list[MeetingEvent], UnreadableView | None]:
    """Decode events up to the first that cannot be decoded."""
    events: list[MeetingEvent] = []
    for each in stored:
        try:
            events.append(mapper.to_domain_event(each))
        except Exception as error:  # any error of an event leaves those before it readable
            return events, UnreadableView(each.originator_version, str(error))
    return events, None


async def load_readable(meetings: Meetings, meeting_id: MeetingId) -> ReadableMeeting:
    """Fold a meeting as far as its events can be decoded and folded.

    Raises: `MeetingNotFound`, or `CorruptHistory` when not even its first event can be read.
    """
    stored = await meetings.recorder.select_events(meeting_id)
    if not stored:
        raise await meetings.missing(meeting_id)
    events, unreadable = decode_readable(meetings.mapper, stored)
    meeting: Meeting | None = None
    for n, event in enumerate(events):
        try:
            meeting = evolve(meeting, event)
        except Exception as error:  # any error of an event leaves those before it readable
            unreadable = UnreadableView(event.originator_version, str(error))
            del events[n:]
            break
    if meeting is None:
        detail = unreadable.detail if unreadable is not None else ""
        raise CorruptHistory(f"meeting {meeting_id} cannot be read: {detail}")
    return ReadableMeeting(meeting, tuple(events), unreadable)
