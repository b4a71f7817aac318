"""What the feed keeps of meetings: bounded in bytes, small, and enough to show the next event."""

import tracemalloc
from collections.abc import Sequence
from uuid import UUID

import pytest
from msgspec.structs import replace

from meeting_core import MeetingEvent, Participant, evolve, fold, project
from meeting_core.model import RemarkMade, RoundDigested, SynthesisCompleted
from meeting_service.command_handler import Meetings
from meeting_service.feed.encoded_events import (
    MAX_OUTLINES_BYTES,
    MAX_RECENT_BYTES,
    EncodedEvent,
    EventEncoder,
)
from meeting_service.feed.frames import frames_of
from meeting_service.feed.meeting_outlines import (
    ENTRY_BYTES,
    BoundedCache,
    outline,
    packed_outline,
    unpacked_outline,
)
from tests.builders import (
    MEETING_ID,
    START,
    convened,
    history,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    whole_meeting,
)
from tests.feed_world import (
    OTHER_ID,
    ShakyRecorder,
    World,
    feed_world,
    interleaved,
    of_another,
    take,
)

pytestmark = pytest.mark.anyio

WHOLE = history(*whole_meeting())
MEETINGS = 1_100
MAX_BYTES = MAX_OUTLINES_BYTES + MAX_RECENT_BYTES


async def stored(world: World, events: Sequence[MeetingEvent]) -> None:
    """Store a history of many meetings, each event in an append of its own."""
    for event in events:
        await world.store(event)


async def test_a_thousand_meetings_that_take_turns_are_shown_live_without_reading_them_again():
    events = list(interleaved(WHOLE, MEETINGS))
    async with feed_world() as world:
        with world.feed.global_stream(0) as stream:
            await world.tailed()
            await stored(world, events)
            await take(stream, 13 * MEETINGS)
            await world.tailed()
        assert world.recorder.history_events_read <= len(events) // 10


async def test_a_stream_catches_up_over_a_thousand_meetings_without_reading_them_again():
    events = list(interleaved(WHOLE, MEETINGS))
    async with feed_world() as world:
        await stored(world, events)
        with world.feed.global_stream(0) as stream:
            await take(stream, 13 * MEETINGS)
        assert world.recorder.history_events_read <= len(events) // 10


async def test_streams_that_catch_up_together_share_what_is_known():
    events = list(interleaved(WHOLE, 10))
    async with feed_world() as world:
        await stored(world, events)
        with world.feed.global_stream(0) as one, world.feed.global_stream(0) as other:
            for _ in range(2):
                assert await one.take() == await other.take()
        assert world.recorder.history_events_read == 0


@pytest.mark.parametrize(("excess", "max_missed"), [(1.1, 0.3), (1.5, 0.7), (2.0, 0.9)])
def test_a_cache_too_small_for_meetings_that_take_turns_still_helps(excess, max_missed):
    cache = BoundedCache[int](400 * (ENTRY_BYTES + 1))
    missed, rounds, meetings = 0, 40, [UUID(int=n) for n in range(int(400 * excess))]
    for version in range(rounds):
        for meeting_id in meetings:
            missed += cache.pop((meeting_id, version - 1)) is None
            cache.put((meeting_id, version), version, 1)
            assert len(cache) <= 400
    assert missed / (rounds * len(meetings)) < max_missed


def test_what_does_not_fit_at_all_is_not_kept():
    cache = BoundedCache[str](10 + ENTRY_BYTES)
    cache.put((MEETING_ID, 1), "small", 10)
    cache.put((OTHER_ID, 1), "large", 11)
    assert cache.pop((OTHER_ID, 1)) is None
    assert cache.pop((MEETING_ID, 1)) == "small"
    assert cache.bytes_used == 0


async def test_a_meeting_that_was_forgotten_is_read_again():
    recorder = ShakyRecorder()
    meetings = Meetings(recorder, lambda: START)
    encoder = EventEncoder(meetings, max_outlines_bytes=0, max_recent_bytes=0)
    shown = b""
    for event in WHOLE:
        await recorder.insert_events([meetings.mapper.to_stored_event(event)])
        encoded = await encoder.encode(meetings.mapper.to_stored_event(event))
        assert isinstance(encoded, EncodedEvent)
        shown += encoded.with_id(event.originator_version)
    assert recorder.history_reads == len(WHOLE) - 1
    async with feed_world() as world:
        await world.store(*WHOLE)
        with world.feed.meeting_stream(MEETING_ID, 0) as stream:
            assert await stream.take() == shown


async def test_nothing_is_kept_of_a_meeting_that_has_ended():
    meetings = Meetings(ShakyRecorder(), lambda: START)
    encoder = EventEncoder(meetings, max_recent_bytes=0)
    for event in WHOLE[:-1]:
        await encoder.encode(meetings.mapper.to_stored_event(event))
    assert encoder.bytes_used > 0
    await encoder.encode(meetings.mapper.to_stored_event(WHOLE[-1]))
    encoder.learn(fold(WHOLE))
    assert encoder.bytes_used == 0


async def test_five_hundred_meetings_with_large_texts_stay_within_the_bound():
    """Each has 200 kB of text when its last event is shown: 100 MB in all."""
    recorder = ShakyRecorder()
    meetings = Meetings(recorder, lambda: START)
    large = "x" * 50_000
    team = (Participant("ann", "Ann", instructions=large), Participant("bob", "Bob"))
    facts = (
        convened(goal=large[:4_000], document_context=large, participants=team),
        round_opened(1),
        *spoken("ann", text=large),
        *spoken("bob", text=large),
    )
    encoder = EventEncoder(meetings)
    tracemalloc.start()
    try:
        for number in range(500):
            for event in of_another(history(*facts), UUID(int=number + 1)):
                await encoder.encode(meetings.mapper.to_stored_event(event))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert recorder.history_reads == 0
    assert taken < encoder.bytes_used <= MAX_BYTES


def test_an_outline_of_the_longest_meeting_is_small():
    names = [f"agent-{n}" for n in range(8)]
    team = tuple(Participant(name, f"Agent {name}", "a role", "x" * 8_000) for name in names)
    facts = [convened(participants=team, num_rounds=5, round_topics=("A topic",) * 5)]
    for round_num in range(1, 6):
        facts.append(round_opened(round_num, order=tuple(names)))
        facts.extend(fact for name in names for fact in spoken(name, round_num, text="y" * 9_000))
        facts.append(round_closed(round_num))
    assert len(packed_outline(meeting_after(*facts))) < 12_000


WITH_EVERY_TEXT = history(
    convened(
        goal="A goal",
        document_context="A document",
        parent_minutes="Minutes",
        participants=(
            Participant("ann", "Ann", "a role", "be brief"),
            Participant("bob", "Bob", "a role", "be brief"),
        ),
    ),
    round_opened(1),
    *spoken("ann", text="What Ann says"),
    RemarkMade("a human", "A remark", 2),
    *spoken("bob", text="What Bob says"),
    round_closed(1),
    RoundDigested(1, degraded="nobody could"),
    round_opened(2),
    *spoken("ann", 2, text="More of Ann"),
    *spoken("bob", 2, text="More of Bob"),
    round_closed(2),
    *whole_meeting()[13:],
)


@pytest.mark.parametrize("events", [WHOLE, WITH_EVERY_TEXT])
def test_an_outline_shows_of_every_next_event_what_the_meeting_shows(events):
    before, outlined = None, None
    for event in events:
        after = evolve(before, event)
        next_outlined = evolve(outlined, event)
        assert frames_of(outlined, event, next_outlined) == frames_of(before, event, after)
        before, outlined = after, unpacked_outline(packed_outline(next_outlined))
        assert outlined == outline(after) == outline(outlined)


def test_nothing_is_left_in_an_outline_of_what_was_said():
    events = WITH_EVERY_TEXT
    spoken_texts = ["A goal", "A document", "Minutes", "be brief", "What Ann", "A remark"]
    kept = repr(outline(project(None, events) or meeting_after(convened())))
    assert not [text for text in spoken_texts if text in kept]
    synthesis = next(e.fact for e in events if isinstance(e.fact, SynthesisCompleted))
    assert synthesis.reply is not None
    assert synthesis.reply.text not in kept


async def test_an_event_with_an_unknown_state_is_not_taken_for_one_that_was_encoded():
    meetings = Meetings(ShakyRecorder(), lambda: START)
    encoder = EventEncoder(meetings)
    first = await encoder.encode(meetings.mapper.to_stored_event(WHOLE[0]))
    other = replace(WHOLE[0], fact=convened(title="Another title"))
    second = await encoder.encode(meetings.mapper.to_stored_event(other))
    assert isinstance(first, EncodedEvent)
    assert isinstance(second, EncodedEvent)
    assert b"Another title" in second.numbered
    assert b"Another title" not in first.numbered
