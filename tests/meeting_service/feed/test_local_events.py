"""Events that this process stores itself: folded once, and shown as the store has them."""

from uuid import UUID

import pytest

from meeting_core import MeetingEvent, decider, evolve
from meeting_core.codec import MeetingMapper
from meeting_core.model import Cancel, Convene, EventMetadata, Pause
from meeting_service.command_handler import FoldedEvent
from meeting_service.feed import encoded_events
from meeting_service.ports import VersionConflict
from tests.builders import MEETING_ID, START, configuration, history, whole_meeting
from tests.feed_world import World, feed_world, named, take, take_all

pytestmark = pytest.mark.anyio

WHOLE = history(*whole_meeting())
METADATA = EventMetadata(START, UUID(int=1), "a test")


async def append(world: World, *events: MeetingEvent) -> None:
    """Append as a runner does: what was decided, with the meeting after each event."""
    first = events[0].originator_version
    before = await world.meetings.find(MEETING_ID) if first > 1 else None
    folded, after = [], before
    for event in events:
        after = evolve(after, event)
        folded.append(FoldedEvent(event, after))
    assert after is not None
    await world.meetings.append(before, folded, after)


@pytest.fixture
def folds(monkeypatch) -> list[str]:
    """The events that were folded since, each with the part that folded it."""
    found: list[str] = []

    def counted(name):
        def evolving(meeting, event):
            found.append(f"{name} {event.fact.TOPIC}")
            return evolve(meeting, event)

        return evolving

    monkeypatch.setattr(decider, "evolve", counted("decided"))
    monkeypatch.setattr(encoded_events, "evolve", counted("feed"))
    return found


@pytest.fixture
def decodes(monkeypatch) -> list[str]:
    """The topics of the events that were decoded since."""
    found: list[str] = []
    decode = MeetingMapper.to_domain_event

    def counted(mapper, stored):
        found.append(stored.topic)
        return decode(mapper, stored)

    monkeypatch.setattr(MeetingMapper, "to_domain_event", counted)
    return found


async def test_an_event_is_folded_once_on_its_way_to_every_local_stream(folds, decodes):
    async with feed_world() as world:
        with (
            world.feed.global_stream(0) as everything,
            world.feed.global_stream(0, MEETING_ID) as by_position,
            world.feed.meeting_stream(MEETING_ID, 0) as stream,
        ):
            await world.tailed()
            meetings = world.meetings
            convene = Convene(MEETING_ID, configuration())
            events, meeting = meetings.decide_events(None, convene, METADATA)
            more, paused = meetings.decide_events(meeting, Pause(), METADATA)
            await meetings.append(None, events + more, paused)
            events, cancelled = meetings.decide_events(paused, Cancel(), METADATA)
            await meetings.append(paused, events, cancelled)
            shown = await take(stream, 3)
            assert [each.event for each in shown] == [
                "meeting-started",
                "meeting-state",
                "meeting-cancelled",
            ]
            assert await take(everything, 3) == shown
            assert await take(by_position, 3) == shown
        assert folds == [
            "decided meeting.convened.v1",
            "decided meeting.paused.v1",
            "decided meeting.cancelled.v1",
        ]
        assert decodes == []


async def test_local_events_are_shown_as_those_of_other_processes_are():
    async with feed_world() as world:
        with world.feed.meeting_stream(MEETING_ID, 0) as local:
            await world.tailed()
            await append(world, *WHOLE[:3])
            await append(world, *WHOLE[3:5])
            for event in WHOLE[5:]:
                await append(world, event)
            shown = await take_all(local)
    async with feed_world() as world:
        await world.store(*WHOLE)
        with world.feed.meeting_stream(MEETING_ID, 0) as stored:
            assert await take_all(stored) == shown


async def test_events_of_this_process_and_of_others_are_shown_in_the_order_of_the_store():
    async with feed_world() as world:
        with world.feed.global_stream(0) as stream:
            await world.tailed()
            for number, event in enumerate(WHOLE):
                await (append(world, event) if number % 2 else world.store(event))
            shown = await take(stream, 13)
        with world.feed.global_stream(0) as again:
            assert await take(again, 13) == shown
        assert [each.id for each in shown] == sorted(each.id for each in shown)


async def test_what_was_prepared_but_not_stored_is_not_shown():
    rival = history(*whole_meeting(title="The rival's"))
    async with feed_world() as world:
        with world.feed.meeting_stream(MEETING_ID, 0) as stream:
            await world.tailed()
            await world.store(*rival[:2])
            with pytest.raises(VersionConflict):
                await append(world, *WHOLE[:2])
            (started, state) = await take(stream, 2)
        assert started.data["title"] == "The rival's"
        assert state.id == 2


async def test_nothing_is_encoded_while_no_stream_is_open():
    async with feed_world() as world:
        await append(world, *WHOLE[:3])
        assert world.feed._encoder.bytes_used == 0
        with world.feed.meeting_stream(MEETING_ID, 0) as stream:
            assert named(await take(stream, 3))[2] == (3, "meeting-turn-start")


async def test_an_event_that_cannot_be_encoded_is_stored_all_the_same(monkeypatch, caplog):
    def failing(*_):
        raise KeyError("a fault in the feed")

    async with feed_world() as world:
        with world.feed.meeting_stream(MEETING_ID, 0) as stream:
            await world.tailed()
            with monkeypatch.context() as broken:
                broken.setattr(encoded_events, "frames_of", failing)
                await append(world, *WHOLE[:3])
            assert (await world.load()).version == 3
            assert named(await take(stream, 3))[0] == (1, "meeting-started")
    assert "could not be encoded for the feed" in caplog.text
