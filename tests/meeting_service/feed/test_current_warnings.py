"""Warnings of a quarantine: in every stream of the meeting, once, until the meeting goes on."""

from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent

from tests.builders import MEETING_ID, history, whole_meeting
from tests.feed_world import OTHER_ID, Shown, feed_world, go_live, of_another, take

pytestmark = pytest.mark.anyio

WHOLE = history(*whole_meeting())
REASON = "MeetingEnded: the meeting is complete"


def is_quarantine(shown: Shown, meeting_id: UUID = MEETING_ID) -> bool:
    """Return whether this is the warning that the meeting is in quarantine."""
    data = shown.data
    assert (shown.id, shown.event, data["version"]) == (None, "meeting-warning", None)
    assert (data["severity"], data["code"]) == ("error", "quarantined")
    assert REASON in data["message"]
    return bool(data["meeting_id"] == str(meeting_id))


async def test_open_streams_and_later_ones_warn_once_of_a_quarantine():
    async with feed_world() as world:
        await world.store(*WHOLE[:2])
        with world.feed.meeting_stream(MEETING_ID, 2) as one, world.feed.global_stream(2) as every:
            await go_live(world, one)
            await go_live(world, every)
            world.feed.warnings.on_quarantine(MEETING_ID, REASON)
            for stream in (one, every):
                (warning,) = await take(stream, 1)
                assert is_quarantine(warning)
            world.feed.warnings.on_quarantine(OTHER_ID, REASON)
            await world.store(*of_another(WHOLE[:1]))
            shown = await take(every, 2)
            assert sorted(each.event for each in shown) == ["meeting-started", "meeting-warning"]
            await go_live(world, one)
        with world.feed.global_stream(3) as later:
            warnings = await take(later, 2)
            assert [is_quarantine(each) for each in warnings] == [True, False]


async def test_a_meeting_that_goes_on_is_warned_of_no_more():
    async with feed_world() as world:
        await world.store(*WHOLE[:2])
        world.feed.warnings.on_quarantine(MEETING_ID, REASON)
        world.feed.warnings.on_quarantine(MEETING_ID, None)
        with world.feed.meeting_stream(MEETING_ID, 2) as stream:
            await go_live(world, stream)


async def test_a_gateway_that_is_back_ends_no_warning_of_a_quarantine():
    async with feed_world() as world:
        await world.store(*WHOLE[:2])
        world.feed.warnings.on_quarantine(MEETING_ID, REASON)
        world.feed.warnings.on_gateway_wait(MEETING_ID, None)
        with world.feed.meeting_stream(MEETING_ID, 2) as stream:
            (warning,) = await take(stream, 1)
            assert is_quarantine(warning)


async def test_a_meeting_that_cannot_be_read_and_is_quarantined_is_warned_of_once():
    async with feed_world() as world:
        await world.store(*WHOLE[:2])
        with world.feed.meeting_stream(MEETING_ID, 2) as live:
            await go_live(world, live)
            unreadable = StoredEvent(MEETING_ID, 3, "meeting.voted.v1", b"{}")
            await world.recorder.insert_events([unreadable])
            world.feed.warnings.on_quarantine(MEETING_ID, REASON)
            with world.feed.global_stream(2) as later:
                for stream in (live, later):
                    (warning,) = await take(stream, 1)
                    assert warning.data["code"] == "unreadable"
                    await go_live(world, stream)
