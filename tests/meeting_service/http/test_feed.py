"""The feed over HTTP, read by clients that know nothing of ours."""

import asyncio
import logging

import anyio
import pytest
from anyio.lowlevel import checkpoint
from eventsourcing.persistence import StoredEvent

from meeting_core import Fact, fold
from meeting_core.model import Cancelled, Failed, Paused, Phase, Resumed
from meeting_service.http.feed import FeedPolicy
from tests.builders import (
    MEETING_ID,
    attempt_started,
    convened,
    history,
    round_opened,
    spoken,
    turn_completed,
    whole_meeting,
)
from tests.feed_world import (
    OTHER_ID,
    Shown,
    long_history,
    of_another,
    read_events,
    settle,
    until,
    until_still,
)
from tests.meeting_service.http.feed_server import events_of, feed_server, read_to_the_end

pytestmark = pytest.mark.anyio

WHOLE = history(*whole_meeting())
OPENED = history(convened(), round_opened(1))

SHOWN = [
    (1, "meeting-started", "gathering"),
    (2, "meeting-state", "round_1"),
    (3, "meeting-turn-start", "ann"),
    (4, "meeting-turn", "ann"),
    (5, "meeting-turn-start", "bob"),
    (6, "meeting-turn", "bob"),
    (8, "meeting-state", "round_2"),
    (9, "meeting-turn-start", "ann"),
    (10, "meeting-turn", "ann"),
    (11, "meeting-turn-start", "bob"),
    (12, "meeting-turn", "bob"),
    (14, "meeting-synthesis", "synthesizing"),
    (17, "meeting-complete", "complete"),
]

FIELDS = {
    "meeting-started": "title state participants num_rounds total_rounds project_id",
    "meeting-state": "state previous_state current_round total_rounds round_topic progress_pct",
    "meeting-turn-start": "round agent_id agent_name turn_index total_turns attempt",
    "meeting-turn": "round agent_id agent_name response skipped_reason turn_index total_turns "
    "progress_pct prompt_tokens response_tokens",
    "meeting-synthesis": "state progress_pct",
    "meeting-complete": "state output_path progress_pct duration_seconds total_tokens outcome",
}


def outline(shown: list[Shown]) -> list[tuple[int | None, str, str]]:
    return [
        (each.id, each.event, each.data.get("state") or each.data["agent_id"]) for each in shown
    ]


async def test_a_client_sees_a_whole_meeting_with_every_field_in_order():
    async with feed_server() as server:
        await server.world.store(*WHOLE[:3])
        async with server.watching() as shown:
            await until(lambda: len(shown) == 3)
            for event in WHOLE[3:]:
                await server.world.tailed()
                await server.world.store(event)
    assert outline(shown) == SHOWN
    for each in shown:
        wanted = {"meeting_id", "version", "at", *FIELDS[each.event].split()}
        assert wanted <= each.data.keys(), each.event
        assert each.data["meeting_id"] == str(MEETING_ID)
        assert each.data["version"] == each.id


async def test_a_stream_says_what_it_is_and_that_nobody_may_keep_it():
    async with feed_server() as server:
        await server.world.store(*OPENED)
        async with server.client.stream("GET", events_of(MEETING_ID)) as response:
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert "no-store" in response.headers["cache-control"]
            assert response.headers["x-accel-buffering"] == "no"
            assert "content-length" not in response.headers
            text = ""
            async for chunk in response.aiter_text():
                text += chunk
                if "meeting-state" in text:
                    break
            opening, first, *_ = text.split("\n\n")
            assert opening.split("\n") == [": feed", "retry: 2000"]
            assert first.split("\n")[:2] == ["id: 1", "event: meeting-started"]


@pytest.mark.parametrize("has_notifications", [True, False])
async def test_two_clients_see_the_same_whenever_they_come(has_notifications):
    async with feed_server(has_notifications=has_notifications) as server:
        await server.world.store(*WHOLE[:1])
        async with server.watching() as early:
            await until(lambda: len(early) == 1)
            for event in WHOLE[1:8]:
                await server.world.store(event)
                await server.world.tailed()
            async with server.watching() as late:
                for event in WHOLE[8:]:
                    await server.world.store(event)
    assert outline(early) == SHOWN
    assert late == early


async def test_a_client_resumes_after_every_id_and_misses_and_repeats_nothing():
    async with feed_server() as server:
        await server.world.store(*WHOLE)
        for last in range(len(WHOLE)):
            shown = await server.watch(last=last)
            assert outline(shown) == [each for each in SHOWN if each[0] > last]


async def test_the_header_wins_over_the_query_and_either_resumes():
    async with feed_server() as server:
        await server.world.store(*WHOLE)
        assert outline(await server.watch(last_event_id="13")) == SHOWN[-2:]
        assert outline(await server.watch(last=16, last_event_id="3")) == SHOWN[-1:]
        assert outline(await server.watch(last_event_id="")) == SHOWN


async def test_a_client_that_has_seen_the_end_gets_no_content():
    async with feed_server() as server:
        await server.world.store(*WHOLE)
        response = await server.client.get(events_of(MEETING_ID), params={"last_event_id": "17"})
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("end", [Cancelled("enough"), Failed("crash_loop")])
async def test_a_stream_ends_with_its_meeting_however_that_ends(end: Fact):
    events = history(convened(), round_opened(1), end)
    async with feed_server() as server:
        await server.world.store(*events)
        shown = await server.watch()
        assert shown[-1].event in ("meeting-cancelled", "meeting-error")
        response = await server.client.get(events_of(MEETING_ID), headers={"Last-Event-ID": "3"})
        assert response.status_code == 204


async def test_a_pause_does_not_end_a_stream():
    paused = history(convened(), round_opened(1), Paused(), Resumed(Phase.IN_ROUND), Cancelled())
    async with feed_server() as server:
        await server.world.store(*paused)
        states = [each.data["state"] for each in await server.watch()]
        assert states == ["gathering", "round_1", "paused", "round_1", "cancelled"]


@pytest.mark.parametrize("last", ["18", "x", "-1", "1.0", "1e3", "٣", "9" * 40, "0x1"])
@pytest.mark.parametrize("path", [events_of(MEETING_ID), "/api/events"])
async def test_an_id_that_no_event_has_is_refused(path, last):
    async with feed_server() as server:
        await server.world.store(*WHOLE)
        response = await server.client.get(path, params={"last_event_id": last})
        assert response.status_code == 400
        assert "id" in response.json()["detail"]
        header = {"Last-Event-ID": last.encode()}
        response = await server.client.get(path, headers=header, params={"last_event_id": "1"})
        assert response.status_code == 400


@pytest.mark.parametrize(
    "path",
    [events_of(OTHER_ID), events_of("nobody"), f"/api/events?meeting_id={OTHER_ID}"],
)
async def test_a_meeting_that_is_not_there_cannot_be_watched(path):
    async with feed_server() as server:
        await server.world.store(*WHOLE)
        response = await server.client.get(path)
        assert response.status_code == 404


async def test_all_meetings_are_watched_from_now_on_or_from_a_position():
    async with feed_server() as server:
        await server.world.store(*WHOLE)
        async with server.watching("/api/events", count=2) as seen:
            await until(lambda: server.world.feed.watching == 1)
            await server.world.store(*of_another(WHOLE[:2]))
        assert [(each.id, each.data["version"]) for each in seen] == [(18, 1), (19, 2)]
        assert {each.data["meeting_id"] for each in seen} == {str(OTHER_ID)}
        again = await server.watch("/api/events", last=16, count=3)
        assert [each.id for each in again] == [17, 18, 19]
        assert again[1:] == seen


async def test_the_stream_of_all_meetings_narrows_to_one():
    async with feed_server() as server:
        await server.world.store(*OPENED)
        await server.world.store(*of_another(OPENED))
        shown = await server.watch("/api/events", last=0, count=2, meeting_id=str(OTHER_ID))
        assert [(each.id, each.data["version"]) for each in shown] == [(3, 1), (4, 2)]


@pytest.mark.parametrize("path", [events_of(MEETING_ID), "/api/events"])
@pytest.mark.parametrize("seen", [0, 1, 2])
async def test_a_meeting_that_cannot_be_read_is_watched_as_far_as_it_can_and_pinged(path, seen):
    async with feed_server(FeedPolicy(ping_seconds=0.05)) as server:
        await server.world.store(*OPENED)
        stored = server.world.meetings.mapper.to_stored_event(history(convened())[0])
        broken = StoredEvent(MEETING_ID, 3, "meeting.unknown.v1", stored.state)
        await server.world.recorder.insert_events([broken])
        headers = {"Last-Event-ID": str(seen)}
        async with server.client.stream("GET", path, headers=headers) as response:
            assert response.status_code == 200
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if body.endswith(b": ping\n\n"):
                    break
    shown = read_events(body)
    assert [each.id for each in shown] == [*range(seen + 1, 3), None]
    assert (shown[-1].data["severity"], shown[-1].data["code"]) == ("error", "unreadable")


@pytest.mark.parametrize("last", [4, 9])
async def test_an_id_beyond_the_end_of_a_meeting_that_cannot_be_read_is_refused(last):
    async with feed_server() as server:
        await server.world.recorder.insert_events(
            [StoredEvent(MEETING_ID, 1, "meeting.unknown.v1", b"{}")]
        )
        headers = {"Last-Event-ID": str(last)}
        response = await server.client.get(events_of(MEETING_ID), headers=headers)
        assert response.status_code == 400
        assert "the newest event is 1" in response.json()["errors"][0]["detail"]


async def test_a_comment_comes_whenever_a_ping_is_due():
    async with feed_server(FeedPolicy(ping_seconds=0.05)) as server:
        await server.world.store(*OPENED)
        async with server.client.stream("GET", events_of(MEETING_ID)) as response:
            comments = 0
            async for line in response.aiter_lines():
                comments += line.startswith(":")
                if comments == 4:
                    break


async def test_head_gives_the_headers_and_does_not_hang():
    async with feed_server() as server:
        await server.world.store(*OPENED)
        for path in (events_of(MEETING_ID), "/api/events"):
            response = await server.client.head(path)
            assert (response.status_code, response.content) == (200, b"")
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert server.world.feed.watching == 0


@pytest.mark.parametrize(
    "text",
    [
        "a\n\nevent: meeting-complete\ndata: {}\n\n",
        "a\r\rdata: forged\r\r",
        "a\r\n\r\nid: 99\r\n\r\n",
        "\n: comment\nretry: 1\n",
        "a\u2028\u2029\x85b",
    ],
)
async def test_what_an_agent_says_cannot_forge_an_event(text):
    events = history(convened(), round_opened(1), attempt_started(), turn_completed(text=text))
    async with feed_server() as server:
        await server.world.store(*events)
        shown = await server.watch(count=4)
        assert outline(shown) == SHOWN[:4]
        assert shown[-1].data["response"] == text


async def test_a_client_that_reads_slowly_gets_everything_in_order():
    events = long_history(attempts=400, text="x" * 20_000)
    async with feed_server() as server:
        await server.world.store(*events[:2])
        slow = await server.ask(events_of(MEETING_ID))
        async with slow:
            await until(lambda: server.world.feed.watching == 1)
            for event in events[2:]:
                await server.world.store(event)
                await checkpoint()
            await server.world.tailed()
            reads = server.world.recorder.history_reads
            end = history(*(event.fact for event in events), Cancelled())[-1]
            await server.world.store(end)
            shown = read_events(await read_to_the_end(slow))
            assert server.world.recorder.history_reads > reads
        assert [each.id for each in shown][-2:] == [len(events), len(events) + 1]
        assert shown == await server.watch()


async def test_a_client_that_reads_nothing_is_dropped(caplog):
    events = long_history(attempts=400, text="x" * 20_000)
    caplog.set_level(logging.INFO)
    async with feed_server(FeedPolicy(send_timeout_seconds=0.2)) as server:
        await server.world.store(*events)
        stuck = await server.ask(events_of(MEETING_ID))
        async with stuck:
            await until(lambda: server.world.feed.watching == 1)
            await until(lambda: server.world.feed.watching == 0)
    assert "does not read" in caplog.text


async def test_a_client_that_leaves_leaves_nothing_behind():
    async with feed_server() as server:
        await server.world.store(*OPENED)
        await until(lambda: bool(server.port))
        tasks = len(asyncio.all_tasks())
        for path in (events_of(MEETING_ID), "/api/events?last_event_id=0"):
            streams = [await server.ask(path) for _ in range(20)]
            await until(lambda: server.world.feed.watching == 20)
            for stream in streams:
                await stream.aclose()
            await until(lambda: server.world.feed.watching == 0)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_client_that_leaves_while_events_pour_in_does_not_hold_the_loop():
    events = long_history(attempts=200, text="x" * 20_000)
    async with feed_server() as server:
        await server.world.store(*events)
        for _ in range(5):
            stream = await server.ask(events_of(MEETING_ID))
            await stream.receive(1_000)
            await stream.aclose()
        await until(lambda: server.world.feed.watching == 0)


async def test_fifty_streams_end_at_once_when_the_service_stops():
    async with feed_server() as server:
        await server.world.store(*OPENED)
        half = [await server.ask(events_of(MEETING_ID)) for _ in range(25)]
        rest = [await server.ask("/api/events") for _ in range(25)]
        await until(lambda: server.world.feed.watching == 50)
        server.world.feed.drain()
        with anyio.fail_after(5):
            for stream in half + rest:
                body = await read_to_the_end(stream)
                assert body.endswith(b": the service is stopping\n\n")
                await stream.aclose()
        assert server.world.feed.watching == 0


async def test_a_stream_to_a_client_that_does_not_read_ends_too_when_the_service_stops():
    events = long_history(attempts=400, text="x" * 20_000)
    async with feed_server() as server:
        await server.world.store(*events)
        tasks = len(asyncio.all_tasks())
        async with await server.ask(events_of(MEETING_ID)):
            await until(lambda: server.world.feed.watching == 1)
            await until_still(lambda: server.world.recorder.history_reads)
            server.world.feed.drain()
            with anyio.fail_after(5):
                await until(lambda: len(asyncio.all_tasks()) <= tasks)
        assert server.world.feed.watching == 0


async def test_a_stream_asked_for_while_the_service_stops_ends_and_is_asked_for_again():
    async with feed_server() as server:
        await server.world.store(*OPENED)
        server.world.feed.drain()
        response = await server.client.get(events_of(MEETING_ID))
        assert response.status_code == 200
        assert "retry: 2000" in response.text
        assert response.text.endswith(": the service is stopping\n\n")


async def test_streams_stay_open_while_the_database_is_unreachable():
    async with feed_server(FeedPolicy(ping_seconds=0.05)) as server:
        await server.world.store(*WHOLE[:4])
        lines: list[str] = []

        async def watch() -> None:
            async with server.client.stream("GET", events_of(MEETING_ID)) as response:
                async for line in response.aiter_lines():
                    lines.append(line)  # noqa: PERF401 - looked at meanwhile

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await until(lambda: "id: 4" in lines)
            server.world.recorder.is_unreachable = True
            await server.world.store(*WHOLE[4:])
            pings = lines.count(": ping")
            await until(lambda: lines.count(": ping") > pings + 2)
            assert "id: 5" not in lines
            server.world.recorder.is_unreachable = False
        ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
        assert ids == [number for number, *_ in SHOWN]


async def test_text_is_shown_as_it_grows_without_an_id():
    speaking = history(convened(), round_opened(1), attempt_started())
    async with feed_server() as server:
        await server.world.store(*speaking)
        async with server.watching(count=5) as shown:
            await until(lambda: len(shown) == 3)
            await server.world.tailed()
            await settle()
            server.world.feed.emit_delta(fold(speaking), "ann", "I did ")
            await until(lambda: len(shown) == 4)
            await server.world.store(history(convened(), round_opened(1), *spoken())[3])
        assert [each.event for each in shown[2:]] == [
            "meeting-turn-start",
            "meeting-turn-delta",
            "meeting-turn",
        ]
        # The client repeats the last id it saw for an event that has none.
        assert shown[3].id == 3
        assert shown[3].data["text"] == "I did "
