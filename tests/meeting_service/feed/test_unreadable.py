"""Meetings that cannot be read: one warning, and everything else goes on."""

from collections.abc import Callable
from uuid import UUID

import anyio
import pytest
from eventsourcing.persistence import StoredEvent
from msgspec.structs import replace

from meeting_core.model import MeetingEvent
from meeting_service.feed.streams import Stream
from tests.builders import MEETING_ID, history, whole_meeting
from tests.feed_world import (
    OTHER_ID,
    Shown,
    World,
    feed_world,
    go_live,
    of_another,
    take,
)

pytestmark = pytest.mark.anyio

WHOLE = history(*whole_meeting())
READABLE = ["meeting-started", "meeting-state", "meeting-turn-start"]

Break = Callable[[World, MeetingEvent], StoredEvent]


def of_a_newer_release(world: World, event: MeetingEvent) -> StoredEvent:
    """An event whose name this release does not know."""
    stored = world.meetings.mapper.to_stored_event(event)
    return StoredEvent(
        stored.originator_id, stored.originator_version, "meeting.voted.v1", stored.state
    )


def that_is_no_json(world: World, event: MeetingEvent) -> StoredEvent:
    stored = world.meetings.mapper.to_stored_event(event)
    return StoredEvent(stored.originator_id, stored.originator_version, stored.topic, b"{")


def that_cannot_have_happened(world: World, event: MeetingEvent) -> StoredEvent:
    impossible = replace(event, fact=WHOLE[0].fact)
    return world.meetings.mapper.to_stored_event(impossible)


async def break_at(world: World, event: MeetingEvent, broken: Break = of_a_newer_release) -> None:
    await world.recorder.insert_events([broken(world, event)])


def is_warning(shown: Shown, version: int, meeting_id: UUID = MEETING_ID) -> bool:
    """Whether this is the warning of a meeting that cannot be read from a version on."""
    data = shown.data
    assert shown.id is None
    assert (shown.event, data["severity"], data["code"]) == (
        "meeting-warning",
        "error",
        "unreadable",
    )
    assert (data["meeting_id"], data["version"]) == (str(meeting_id), version - 1)
    assert f"from version {version} on" in data["message"]
    assert "release" in data["message"]
    return True


async def stays_open(stream: Stream) -> bool:
    """Whether a stream waits for more instead of ending."""
    with anyio.move_on_after(0.01) as waiting:
        await stream.take()
    return waiting.cancelled_caught


@pytest.mark.parametrize("broken", [of_a_newer_release, that_is_no_json, that_cannot_have_happened])
async def test_a_stream_shows_what_can_be_read_then_warns_and_stays_open(broken):
    async with feed_world() as world:
        await world.store(*WHOLE[:3])
        await break_at(world, WHOLE[3], broken)
        await world.store(*WHOLE[4:6])
        with world.feed.meeting_stream(MEETING_ID, 0) as stream:
            shown = await take(stream, 4)
            assert [each.event for each in shown[:3]] == READABLE
            assert is_warning(shown[3], version=4)
            assert await stays_open(stream)


async def test_a_stream_that_is_live_warns_once_whatever_follows():
    async with feed_world() as world:
        await world.store(*WHOLE[:2])
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            await take(stream, 2)
            await go_live(world, stream)
            await world.store(WHOLE[2])
            await break_at(world, WHOLE[3])
            await world.store(*WHOLE[4:])
            shown = await take(stream, 2)
            assert shown[0].event == "meeting-turn-start"
            assert is_warning(shown[1], version=4)
            await world.tailed()
            assert await stays_open(stream)


@pytest.mark.parametrize("seen", range(4))
async def test_a_client_that_comes_back_gets_the_rest_and_one_warning(seen):
    async with feed_world() as world:
        await world.store(*WHOLE[:3])
        await break_at(world, WHOLE[3])
        with world.feed.meeting_stream(MEETING_ID, seen) as stream:
            shown = await take(stream, 4 - seen)
            assert [each.id for each in shown[:-1]] == list(range(seen + 1, 4))
            assert is_warning(shown[-1], version=4)
            assert await stays_open(stream)


async def test_a_stream_goes_on_once_the_event_can_be_read():
    async with feed_world() as world:
        await world.store(*WHOLE[:3])
        await break_at(world, WHOLE[3])
        with world.feed.meeting_stream(MEETING_ID, 0) as stream:
            await take(stream, 4)
            await go_live(world, stream)
            mended = world.meetings.mapper.to_stored_event(WHOLE[3])
            world.recorder._streams[MEETING_ID][4] = mended
            await world.store(WHOLE[4])
            assert [each.id for each in await take(stream, 2)] == [4, 5]


async def test_the_stream_of_all_meetings_warns_once_a_meeting_and_goes_on_with_the_others():
    async with feed_world() as world:
        await world.store(*WHOLE[:3])
        with (
            world.feed.global_stream(0) as stored,
            world.feed.global_stream(3) as live,
        ):
            await world.tailed()
            await break_at(world, WHOLE[3])
            await world.store(*of_another(WHOLE[:3]))
            await world.store(*WHOLE[4:6])
            await world.tailed()
            await break_at(world, of_another(WHOLE)[3])
            await world.store(*of_another(WHOLE, UUID(int=3))[:2])
            shown = await take(stored, 10)
            assert await take(live, 7) == shown[3:]
        assert [each.event for each in shown[:3]] == READABLE
        assert is_warning(shown[3], version=4)
        assert [each.event for each in shown[4:7]] == READABLE
        assert is_warning(shown[7], version=4, meeting_id=OTHER_ID)
        assert [each.event for each in shown[8:]] == READABLE[:2]
        assert [each.id for each in shown if each.id] == [1, 2, 3, 5, 6, 7, 11, 12]


async def test_the_stream_of_all_meetings_resumes_after_any_id_around_a_warning():
    async with feed_world() as world:
        await world.store(*WHOLE[:3])
        await break_at(world, WHOLE[3])
        await world.store(*of_another(WHOLE[:3]))
        for seen in (3, 4, 5):
            with world.feed.global_stream(seen) as stream:
                shown = await take(stream, 7 - seen)
                # The warning comes again where the event that it is about comes again.
                warning = [None] if seen == 3 else []
                assert [each.id for each in shown] == [*warning, *range(max(seen, 4) + 1, 8)]


async def test_the_stream_of_one_meeting_by_position_warns_too():
    async with feed_world() as world:
        await world.store(*WHOLE[:3])
        await break_at(world, WHOLE[3])
        await world.store(*of_another(WHOLE[:3]))
        with world.feed.global_stream(0, MEETING_ID) as stream:
            shown = await take(stream, 4)
            assert is_warning(shown[3], version=4)
            assert await stays_open(stream)


async def test_a_meeting_of_which_nothing_can_be_read_is_warned_of(caplog):
    async with feed_world() as world:
        await break_at(world, WHOLE[0])
        with world.feed.meeting_stream(MEETING_ID, 0) as stream:
            (shown,) = await take(stream, 1)
            assert is_warning(shown, version=1)
    assert "cannot read meeting" in caplog.text


async def test_the_history_of_an_unreadable_meeting_is_not_read_for_each_of_its_events():
    async with feed_world() as world:
        await world.store(*WHOLE[:3])
        with world.feed.global_stream(3) as stream:
            await world.tailed()
            await break_at(world, WHOLE[3])
            for event in WHOLE[4:]:
                await world.store(event)
            await world.store(*of_another(WHOLE[:1]))
            shown = await take(stream, 2)
            assert is_warning(shown[0], version=4)
            assert shown[1].event == "meeting-started"
        assert world.recorder.history_reads == 1
