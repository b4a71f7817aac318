"""The feed of what is stored: nothing missed, nothing twice, under any database fault."""

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from meeting_core import fold
from meeting_core.errors import CorruptHistory
from meeting_core.model import EntryRange, SynthesisTask, Version
from meeting_service.feed import feed as feed_module
from meeting_service.feed import streams
from meeting_service.feed.encoded_events import Delta, EventEncoder, LiveEvent
from tests.builders import (
    MEETING_ID,
    attempt_abandoned,
    attempt_started,
    convened,
    history,
    round_opened,
    turn,
    turn_completed,
    up_to_synthesis,
    whole_meeting,
    whole_round,
)
from tests.feed_world import (
    OTHER_ID,
    Shown,
    feed_world,
    go_live,
    long_history,
    named,
    of_another,
    read_events,
    settle,
    take,
    take_all,
    until,
)

pytestmark = pytest.mark.anyio

WHOLE = history(*whole_meeting())
SPEAKING = history(convened(), round_opened(1), attempt_started())
SPOKEN = history(convened(), round_opened(1), attempt_started(), turn_completed())

EVENTS = [
    (1, "meeting-started"),
    (2, "meeting-state"),
    (3, "meeting-turn-start"),
    (4, "meeting-turn"),
    (5, "meeting-turn-start"),
    (6, "meeting-turn"),
    (8, "meeting-state"),
    (9, "meeting-turn-start"),
    (10, "meeting-turn"),
    (11, "meeting-turn-start"),
    (12, "meeting-turn"),
    (14, "meeting-synthesis"),
    (17, "meeting-complete"),
]


@pytest.mark.parametrize("has_notifications", [True, False])
async def test_a_stream_shows_what_was_stored_and_then_what_happens(has_notifications):
    async with feed_world(has_notifications=has_notifications) as world:
        await world.store(*WHOLE[:5])
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            shown = await take(stream, 5)
            for event in WHOLE[5:]:
                await world.store(event)
                await checkpoint()
            shown += await take_all(stream)
        assert named(shown) == EVENTS


async def test_a_notification_is_enough_without_the_poll():
    async with feed_world(poll_seconds=3_600) as world:
        await world.store(*WHOLE[:1])
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            await take(stream, 1)
            await world.tailed()
            for event in WHOLE[1:]:
                await world.store(event)
            assert named(await take_all(stream)) == EVENTS[1:]


async def test_a_stream_resumes_after_any_version():
    async with feed_world() as world:
        await world.store(*WHOLE)
        for seen in range(len(WHOLE)):
            with world.feed.meeting_stream(MEETING_ID, seen, await world.load()) as stream:
                shown = await take_all(stream)
            assert named(shown) == [each for each in EVENTS if each[0] > seen]


async def test_live_and_stored_events_are_shown_alike():
    async with feed_world() as world:
        await world.store(*WHOLE[:1])
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as live:
            shown = await take(live, 1)
            await world.tailed()
            await world.store(*WHOLE[1:])
            shown += await take_all(live)
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stored:
            assert await take_all(stored) == shown


async def test_a_stream_that_nobody_takes_from_reads_the_store_later():
    events = long_history(attempts=streams.MAX_WAITING)
    # Started, round 1, the turn's start, a warning for every attempt, the turn.
    shown_in_all = streams.MAX_WAITING + 4
    async with feed_world() as world:
        await world.store(*events[:2])
        meeting = await world.load()
        with (
            world.feed.meeting_stream(MEETING_ID, 0, meeting) as slow,
            world.feed.meeting_stream(MEETING_ID, 0, meeting) as quick,
        ):
            await world.tailed()
            slow_shown, quick_shown = await take(slow, 2), await take(quick, 2)
            reads = world.recorder.history_reads
            for started, ended in zip(events[2::2], events[3::2], strict=True):
                await world.store(started, ended)
                quick_shown += await take(quick, 1)
            quick_shown += await take(quick, shown_in_all - len(quick_shown))
            assert world.recorder.history_reads == reads
            slow_shown += await take(slow, shown_in_all - len(slow_shown))
            assert world.recorder.history_reads > reads
        assert slow_shown == quick_shown
        assert len(slow_shown) == shown_in_all


async def test_nothing_is_read_while_nobody_watches():
    async with feed_world(poll_seconds=0.01) as world:
        await settle()
        await world.store(*WHOLE[:4])
        await settle()
        assert world.recorder.reads == 0


async def test_the_feed_rests_again_when_the_last_one_leaves():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            await take(stream, 3)
            await world.tailed()
        assert world.feed.watching == 0
        await until(lambda: world.feed._position is None)
        reads = world.recorder.reads
        await world.store(*SPOKEN[3:])
        await settle()
        assert world.recorder.reads == reads
        with world.feed.meeting_stream(MEETING_ID, 3, await world.load()) as stream:
            assert named(await take(stream, 1)) == EVENTS[3:4]


async def test_a_stream_outlives_the_database():
    async with feed_world() as world:
        await world.store(*WHOLE[:4])
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            shown = await take(stream, 4)
            world.recorder.is_unreachable = True
            await world.store(*WHOLE[4:])
            reads = world.recorder.reads
            await until(lambda: world.recorder.reads > reads + 3)
            world.recorder.is_unreachable = False
            shown += await take_all(stream)
        assert named(shown) == EVENTS


@pytest.mark.parametrize("error", [ValueError, CorruptHistory])
async def test_a_fault_in_a_pass_ends_neither_the_feed_nor_the_process(error, caplog):
    async with feed_world() as world:
        await world.store(*WHOLE[:4])
        with world.feed.global_stream(0) as stream:
            shown = await take(stream, 4)
            world.recorder.fault = error("not as it should be")
            await world.store(*WHOLE[4:])
            await until(lambda: world.loops.states["feed"].failures > 1)
            assert "background loop feed failed" in caplog.text
            world.recorder.fault = None
            shown += await take(stream, 9)
        assert named(shown) == EVENTS


async def test_a_fault_in_the_deltas_ends_neither_them_nor_the_process(monkeypatch):
    async with feed_world() as world:
        await world.store(*SPEAKING)
        with world.feed.meeting_stream(MEETING_ID, 3, await world.load()) as stream:
            await go_live(world, stream)
            with monkeypatch.context() as broken:
                broken.setattr(feed_module, "clean_text", None)
                world.feed.emit_delta(fold(SPEAKING), "ann", "lost")
                await until(lambda: world.loops.states["feed deltas"].failures > 0)
            world.feed.emit_delta(fold(SPEAKING), "ann", "shown")
            (delta,) = await take(stream, 1)
            assert delta.data["text"] == "shown"


async def test_a_stream_opened_while_the_database_is_unreachable_waits_for_it():
    async with feed_world() as world:
        await world.store(*WHOLE)
        meeting = await world.load()
        world.recorder.is_unreachable = True
        with world.feed.meeting_stream(MEETING_ID, 0, meeting) as stream:
            with anyio.move_on_after(0.1) as waiting:
                await stream.take()
            assert waiting.cancelled_caught
            world.recorder.is_unreachable = False
            assert named(await take_all(stream)) == EVENTS


async def test_taking_may_be_interrupted_at_any_time_without_a_loss():
    async with feed_world() as world:
        await world.store(*WHOLE[:1])
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            shown: list[Shown] = []
            for event in WHOLE[1:]:
                await world.store(event)
                with anyio.CancelScope() as interrupted:
                    interrupted.cancel()
                    shown += read_events(await stream.take() or b"")
            shown += await take_all(stream)
        assert named(shown) == EVENTS


async def test_the_stream_of_all_meetings_begins_now():
    async with feed_world() as world:
        await world.store(*WHOLE[:4])
        with world.feed.global_stream(await world.feed.newest_position()) as stream:
            await world.store(*of_another(WHOLE[:4]))
            await world.store(*WHOLE[4:])
            shown = await take(stream, len(EVENTS))
        assert named(shown) == [(number + 4, event) for number, event in EVENTS]
        assert {each.data["meeting_id"] for each in shown[:4]} == {str(OTHER_ID)}
        assert {each.data["meeting_id"] for each in shown[4:]} == {str(MEETING_ID)}


@pytest.mark.parametrize("has_notifications", [True, False])
async def test_the_stream_of_all_meetings_resumes_after_any_position(has_notifications):
    mixed = [event for pair in zip(WHOLE, of_another(WHOLE), strict=True) for event in pair]
    async with feed_world(has_notifications=has_notifications) as world:
        with world.feed.global_stream(0) as stream:
            await world.tailed()
            for event in mixed:
                await world.store(event)
            shown = await take(stream, 2 * len(EVENTS))
        for seen in range(len(mixed)):
            rest = [each for each in shown if each.id > seen]
            with world.feed.global_stream(seen) as stream:
                assert await take(stream, len(rest)) == rest


async def test_the_stream_of_all_meetings_can_be_narrowed_to_one():
    async with feed_world() as world:
        await world.store(*WHOLE[:4])
        with world.feed.global_stream(0, OTHER_ID) as stream:
            await world.store(*of_another(WHOLE[:4]))
            shown = await take(stream, 4)
            await world.tailed()
            await world.store(*WHOLE[4:])
            await world.store(*of_another(WHOLE[4:]))
            shown += await take(stream, len(EVENTS) - 4)
        assert [each.event for each in shown] == [event for _, event in EVENTS]
        assert {each.data["meeting_id"] for each in shown} == {str(OTHER_ID)}


async def test_a_text_is_shown_as_it_grows_between_the_start_and_the_end_of_its_turn():
    async with feed_world() as world:
        await world.store(*SPEAKING[:2])
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            await take(stream, 2)
            await go_live(world, stream)
            await world.store(SPEAKING[2])
            world.feed.emit_delta(fold(SPEAKING), "ann", "I did ")
            world.feed.emit_delta(fold(SPEAKING), "ann", "my part.")
            start, delta = await take(stream, 2)
            assert start.event == "meeting-turn-start"
            assert delta == Shown(
                None,
                "meeting-turn-delta",
                {
                    "meeting_id": str(MEETING_ID),
                    "version": 3,
                    "at": "2026-11-23T10:45:00.000Z",
                    "round": 1,
                    "agent_id": "ann",
                    "text": "I did my part.",
                },
            )
            await world.store(SPOKEN[3])
            assert named(await take(stream, 1)) == [(4, "meeting-turn")]


async def test_a_stream_that_begins_within_a_turn_gets_the_rest_of_its_text():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        with world.feed.meeting_stream(MEETING_ID, 3, await world.load()) as stream:
            await go_live(world, stream)
            world.feed.emit_delta(fold(SPEAKING), "ann", "my part.")
            (delta,) = await take(stream, 1)
            assert (delta.event, delta.data["text"]) == ("meeting-turn-delta", "my part.")


async def test_a_text_is_shown_to_those_who_watch_all_meetings():
    async with feed_world(has_notifications=False) as world:
        with world.feed.global_stream(0) as stream:
            await go_live(world, stream)
            await world.store(*SPEAKING)
            world.feed.emit_delta(fold(SPEAKING), "ann", "I did ")
            shown = await take(stream, 4)
            assert [each.event for each in shown[2:]] == [
                "meeting-turn-start",
                "meeting-turn-delta",
            ]


async def test_text_of_an_attempt_is_not_shown_to_streams_that_have_not_shown_its_start():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        meeting = await world.load()
        with (
            world.feed.global_stream(await world.feed.newest_position()) as everything,
            world.feed.meeting_stream(MEETING_ID, 3, meeting) as stream,
        ):
            await go_live(world, everything)
            await go_live(world, stream)
            world.feed.emit_delta(meeting, "ann", "my part.")
            assert named(await take(stream, 1)) == [(None, "meeting-turn-delta")]
            await world.store(SPOKEN[3])
            assert named(await take(everything, 1)) == [(4, "meeting-turn")]


async def test_no_text_is_shown_after_its_turn_has_ended():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            await take(stream, 3)
            await go_live(world, stream)
            await world.store(SPOKEN[3])
            await world.tailed()
            world.feed.emit_delta(fold(SPEAKING), "ann", "too late")
            assert named(await take(stream, 1)) == [(4, "meeting-turn")]
            world.feed.emit_delta(fold(SPEAKING), "ann", "much too late")
            await until(lambda: not world.feed._deltas._gathered)
            await world.store(*WHOLE[4:])
            assert named(await take_all(stream)) == EVENTS[4:]


async def test_no_text_of_a_former_attempt_is_shown():
    again = history(
        convened(),
        round_opened(1),
        attempt_started(),
        attempt_abandoned(),
        attempt_started(number=2),
    )
    async with feed_world() as world:
        await world.store(*again)
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
            await take(stream, 4)
            await go_live(world, stream)
            world.feed.emit_delta(fold(again), "ann", "new ")
            world.feed.emit_delta(fold(SPEAKING), "ann", "old ")
            world.feed.emit_delta(fold(again), "ann", "words")
            (delta,) = await take(stream, 1)
            assert (delta.data["text"], delta.data["version"]) == ("new words", 5)


async def test_a_stream_that_is_behind_gets_no_text_of_a_turn_it_has_seen_end():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        meeting = await world.load()
        with world.feed.meeting_stream(MEETING_ID, 0, meeting) as stream:
            await take(stream, 3)
            await go_live(world, stream)
            world.feed.emit_delta(meeting, "ann", "waits")
            await until(lambda: not world.feed._deltas._gathered)
            await world.store(*SPOKEN[3:])
            await world.tailed()
            world.feed._subscriptions.send_to_store()
            assert named(await take(stream, 1)) == [(4, "meeting-turn")]


async def test_text_is_shown_at_most_twenty_times_a_second_and_cleaned():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        meeting = await world.load()
        with world.feed.meeting_stream(MEETING_ID, 3, meeting) as stream:
            await go_live(world, stream)
            began = anyio.current_time()
            shown: list[Shown] = []
            pieces = [f"\x1b[{n}\x00\ud800 " for n in range(100)]
            for piece in pieces:
                world.feed.emit_delta(meeting, "ann", piece)
                with anyio.move_on_after(0.002):
                    shown += read_events(await stream.take() or b"")
            while sum(each.data["text"].count(" ") for each in shown) < len(pieces):
                shown += await take(stream, 1)
            elapsed = anyio.current_time() - began
        assert "".join(each.data["text"] for each in shown) == "".join(f"[{n} " for n in range(100))
        assert len(shown) <= elapsed * 20 + 1


async def test_between_two_looks_a_meeting_has_one_delta_however_fast_its_text_comes(monkeypatch):
    assert 1 / feed_module.DELTA_SECONDS <= 20
    # No second look comes by itself.
    monkeypatch.setattr(feed_module, "DELTA_SECONDS", 3_600)
    meetings = fold(SPEAKING), fold(of_another(SPEAKING))

    def speak(world, numbers):
        for number in numbers:
            for meeting in meetings:
                world.feed.emit_delta(meeting, "ann", f"{number} ")

    async with feed_world() as world:
        with world.feed.global_stream(0) as stream:
            await go_live(world, stream)
            await world.store(*SPEAKING)
            await world.store(*of_another(SPEAKING))
            await take(stream, 6)
            speak(world, range(1_000))
            shown = await take(stream, 2)
            speak(world, range(1_000, 2_000))
            await settle()
            with pytest.raises(TimeoutError), anyio.fail_after(0.01):
                await stream.take()
            later = [read_events(delta.encoded)[0] for delta in world.feed._deltas.take(0)]
    for looked, numbers in ((shown, range(1_000)), (later, range(1_000, 2_000))):
        assert [each.data["meeting_id"] for each in looked] == [str(MEETING_ID), str(OTHER_ID)]
        assert {each.data["text"] for each in looked} == {"".join(f"{n} " for n in numbers)}


async def test_text_of_a_meeting_nobody_watches_is_not_gathered():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        with world.feed.meeting_stream(MEETING_ID, 0, await world.load()):
            world.feed.emit_delta(fold(of_another(SPEAKING)), "ann", "unheard")
            assert world.feed._deltas._gathered == {}


async def test_text_that_can_be_shown_to_nobody_is_forgotten():
    async with feed_world(poll_seconds=0.01) as world:
        with world.feed.global_stream(0):
            world.feed.emit_delta(fold(SPEAKING), "ann", "of an attempt that was never stored")
            assert world.feed._deltas._gathered
            await until(lambda: not world.feed._deltas._gathered)


async def test_text_of_the_synthesis_is_not_shown_as_a_turn():
    facts = [*up_to_synthesis(), attempt_started(SynthesisTask(), cap=500)]
    async with feed_world() as world:
        await world.store(*history(*facts))
        meeting = await world.load()
        with world.feed.meeting_stream(MEETING_ID, meeting.version, meeting):
            world.feed.emit_delta(meeting, "ann", "## Discussion Summary")
            assert world.feed._deltas._gathered == {}


async def test_a_stream_that_missed_a_live_event_reads_the_store():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        encoder = EventEncoder(world.meetings)
        with world.feed.meeting_stream(MEETING_ID, 3, await world.load()) as stream:
            await go_live(world, stream)
            stored = world.meetings.mapper.to_stored_event(WHOLE[4])
            await world.recorder.insert_events([world.meetings.mapper.to_stored_event(WHOLE[3])])
            live = LiveEvent(MEETING_ID, 5, await encoder.encode(stored))
            world.feed._subscriptions.emit(live)
            assert named(await take(stream, 1)) == EVENTS[3:4]


async def test_a_stream_takes_no_text_of_an_attempt_it_does_not_know_as_open():
    async with feed_world() as world:
        await world.store(*SPEAKING)
        with world.feed.meeting_stream(MEETING_ID, 3, await world.load()) as stream:
            await go_live(world, stream)
            for attempt in (2, 3, 4):
                encoded = b"event: %d\ndata: {}\n\n" % attempt
                delta = Delta(MEETING_ID, Version(attempt), 0, encoded)
                world.feed._subscriptions.emit(delta)
            assert [each.event for each in await take(stream, 1)] == ["3"]


async def test_meetings_nobody_watches_are_not_read():
    async with feed_world() as world:
        await world.store(*of_another(WHOLE[:4]))
        await world.store(*SPEAKING)
        with world.feed.meeting_stream(MEETING_ID, 3, await world.load()) as stream:
            await go_live(world, stream)
            reads = world.recorder.history_reads
            await world.store(*of_another(WHOLE[4:]))
            await world.tailed()
            assert world.recorder.history_reads == reads


async def test_a_meeting_watched_again_after_a_while_is_shown_from_where_it_is():
    async with feed_world() as world:
        await world.store(*of_another(SPEAKING))
        await world.store(*WHOLE[:3])
        with world.feed.meeting_stream(OTHER_ID, 0, await world.load(OTHER_ID)):
            with world.feed.meeting_stream(MEETING_ID, 0, await world.load()) as stream:
                await take(stream, 3)
                await world.tailed()
            await world.store(*WHOLE[3:6])
            await world.tailed()
            with world.feed.meeting_stream(MEETING_ID, 6, await world.load()) as stream:
                await go_live(world, stream)
                await world.store(*WHOLE[6:])
                assert named(await take_all(stream)) == EVENTS[6:]
                await world.tailed()


async def test_the_word_of_a_shortened_brief_and_the_start_it_belongs_to_come_together():
    facts = [convened(), *whole_round(1), round_opened(2)]
    full = attempt_started(turn("ann", 2))
    cut = replace(full, manifest=replace(full.manifest, shortened=EntryRange(6, 6)))
    events = history(*facts, cut)
    async with feed_world() as world:
        await world.store(*events[:-1])
        with world.feed.meeting_stream(MEETING_ID, len(facts), await world.load()) as stream:
            await go_live(world, stream)
            await world.store(events[-1])
            chunk = await stream.take()
        assert chunk is not None
        shown = read_events(chunk)
        assert named(shown) == [(None, "meeting-warning"), (9, "meeting-turn-start")]
