"""Reading a meeting: any error of decoding or folding is the meeting's own."""

from collections.abc import Iterable

import pytest
from eventsourcing.persistence import StoredEvent

from meeting_core import CorruptHistory, Meeting, MeetingEvent
from meeting_service import command_handler
from meeting_service.command_handler import Meetings
from meeting_service.store.memory import InMemoryRecorder
from tests.builders import MEETING_ID, START, convened, history

pytestmark = pytest.mark.anyio


async def stored_meeting() -> Meetings:
    """Return the way in to a store with one meeting."""
    meetings = Meetings(InMemoryRecorder(lambda: START), lambda: START)
    stored = [meetings.mapper.to_stored_event(event) for event in history(convened())]
    await meetings.recorder.insert_events(stored)
    return meetings


async def assert_corrupt(meetings: Meetings, error: str) -> None:
    """Check that every way to read the meeting says that it is corrupt, and why."""
    for read in (meetings.load, meetings.find, meetings.history):
        with pytest.raises(CorruptHistory, match=error):
            await read(MEETING_ID)


async def test_an_error_of_decoding_makes_a_meeting_corrupt(monkeypatch: pytest.MonkeyPatch):
    meetings = await stored_meeting()

    def break_down(stored_events: Iterable[StoredEvent]) -> list[MeetingEvent]:
        raise OverflowError("too far")

    monkeypatch.setattr(meetings.mapper, "to_meeting_events", break_down)
    await assert_corrupt(meetings, "OverflowError: too far")


async def test_an_error_of_folding_makes_a_meeting_corrupt(monkeypatch: pytest.MonkeyPatch):
    meetings = await stored_meeting()

    def break_down(meeting: Meeting | None, events: Iterable[MeetingEvent]) -> Meeting | None:
        raise KeyError("eve")

    monkeypatch.setattr(command_handler, "project", break_down)
    await assert_corrupt(meetings, "KeyError: 'eve'")
