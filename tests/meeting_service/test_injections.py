"""Whatever is said or configured, it forges nothing in a feed, a status or on a terminal."""

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from unittest.mock import patch

import httpx2
import msgspec
import pytest
from rich.console import Console

from meeting_core import HeldMeeting, evolve, spending
from meeting_core.model import MeetingEvent, TurnTask, clean_text
from meeting_core.prompt import cut_to_tokens
from meeting_service.cli import tables
from meeting_service.cli.application import run
from meeting_service.cli.display_live import LiveDisplay
from meeting_service.cli.display_text import JsonLines, PlainLines
from meeting_service.cli.exit_codes import Exit
from meeting_service.cli.feed_client import FeedEvent
from meeting_service.cli.printable import json_line, one_line, printable
from meeting_service.feed.frames import Frame, delta_frame, frames_of
from meeting_service.views.meeting_status import status_view
from tests.builders import START
from tests.injections import INJECTIONS, Injection, configured_with, every_injection, held_with
from tests.meeting_service.cli.fake_service import FakeService, Reply, fake_service, feed, frame

HARMLESS_CONTROLS = "\n\t"
REORDERING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def frames_with_numbers(events: tuple[MeetingEvent, ...]) -> Iterator[tuple[Frame, int]]:
    """Return every frame of a history, deltas of its open turns included, and its number."""
    meeting = None
    for event in events:
        before, meeting = meeting, evolve(meeting, event)
        for each in frames_of(before, event, meeting):
            yield each, event.originator_version
        task_state = meeting.task_state
        if (
            task_state is not None
            and task_state.open is not None
            and isinstance(task_state.task, TurnTask)
        ):
            text = meeting.config.title
            yield (
                delta_frame(meeting, task_state.open, task_state.task, text, START),
                meeting.version,
            )


def hostile_meeting(injection: Injection) -> HeldMeeting:
    return held_with(configured_with(injection.text), injection.text, injection.text)[0]


# --- the feed and the status -------------------------------------------------------------------


def as_answer(wire: bytes) -> httpx2.Response:
    """A feed's bytes as the answer to a request, as the client reads them."""
    request = httpx2.Request("GET", "http://meetings.example/api/events")
    headers = {"content-type": "text/event-stream"}
    return httpx2.Response(200, headers=headers, content=wire, request=request)


@every_injection
def test_every_frame_is_exactly_one_event(injection: Injection):
    for frame_, number in frames_with_numbers(hostile_meeting(injection).events):
        encoded = frame_.encoded()
        assert re.fullmatch(rb"event: [a-z-]+\ndata: [^\r\n]+\n\n", encoded)
        # Some clients go by the lines of Python, which also end at other marks.
        assert len(encoded.decode().splitlines()) == 3
        wire = b"id: %d\n%b" % (number, encoded)
        response = as_answer(wire)
        (read,) = httpx2.EventSource(response)
        assert (read.event, read.id, read.retry) == (frame_.event, str(number), None)
        data = json.loads(read.data)
        assert data == json.loads(msgspec.json.encode(frame_.data))
        assert {"meeting_id", "version", "at"} <= data.keys()


@every_injection
def test_a_status_shows_the_turns_that_were_held_and_their_texts_as_data(injection: Injection):
    config = configured_with(injection.text)
    held, _ = held_with(config, injection.text, injection.text)
    text = cut_to_tokens(clean_text(injection.text)[0].strip(), config.max_tokens_per_turn)
    status = json.loads(msgspec.json.encode(status_view(held.meeting, spending(held.events))))
    turns = [(turn["agent_id"], turn["response"]) for n in status["rounds"] for turn in n["turns"]]
    assert turns == [("ann", text), ("bob", text)] * 2
    assert [each["agent_id"] for each in status["participants"]] == ["ann", "bob"]
    assert (status["state"], status["title"]) == ("complete", config.title)
    assert [each["topic"] for each in status["rounds"]] == list(config.round_topics)
    assert status["output_md"] == held.minutes


# --- the terminal ------------------------------------------------------------------------------


def assert_is_safe(shown: str) -> None:
    """Nothing that a terminal obeys, or that turns text round, is in what is shown."""
    found = {
        each
        for each in shown
        if (unicodedata.category(each) in ("Cc", "Cs") and each not in HARMLESS_CONTROLS)
        or each in REORDERING
    }
    assert found == set()


def events_saying(text: str) -> list[FeedEvent]:
    """One event of every kind, with the text in every place."""
    who = {"round": 1, "agent_id": text, "agent_name": text, "turn_index": 0, "total_turns": 1}
    started = {"title": text, "participants": [text], "total_rounds": 1}
    opened = {"state": "round_1", "round_topic": text, "current_round": 1, "total_rounds": 1}
    complete = {"duration_seconds": 1, "output_path": text, "total_tokens": 9}
    return [
        FeedEvent("meeting-started", 1, started),
        FeedEvent("meeting-state", 2, opened),
        FeedEvent("meeting-turn-start", 3, who),
        FeedEvent("meeting-turn-delta", None, {**who, "text": text}),
        FeedEvent("meeting-warning", 4, {"message": text, "severity": "warning"}),
        FeedEvent("meeting-turn", 5, {**who, "response": text}),
        FeedEvent("meeting-turn", 6, {**who, "response": None, "skipped_reason": text}),
        FeedEvent("meeting-synthesis", 7, {"state": text}),
        FeedEvent(f"meeting-{text}", 8, {"title": text}),
        FeedEvent("meeting-cancelled", 9, {"cancelled_at": text}),
        FeedEvent("meeting-error", 10, {"error": text}),
        FeedEvent("meeting-complete", 11, complete),
    ]


def status_saying(text: str) -> dict[str, object]:
    turn = {"agent_name": text, "response": text, "prompt_tokens": 1, "response_tokens": 2}
    silent = {"agent_name": text, "response": None, "skipped_reason": text}
    names = ("id", "title", "goal", "state", "room_id", "error_message", "output_path")
    rounds = [{"round_num": 1, "topic": text, "turns": [turn, silent]}]
    return {**dict.fromkeys(names, text), "rounds": rounds, "tokens": {text: 1}}


def colourless(**changes: object) -> Console:
    """A terminal to which we ourselves send no orders, so that every order is a forged one."""
    options = {"file": StringIO(), "force_terminal": True, "color_system": None, "width": 60}
    return Console(**{**options, **changes})  # type: ignore[arg-type]


def shown_by(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@every_injection
def test_a_printable_text_holds_no_order(injection: Injection):
    assert_is_safe(printable(injection.text))
    assert_is_safe(json_line({injection.text: [injection.text]}))
    line = one_line(injection.text)
    assert_is_safe(line)
    assert len(line.splitlines()) == 1
    assert len(json_line({injection.text: [injection.text]}).splitlines()) == 1


@every_injection
@pytest.mark.parametrize("display", [PlainLines(), JsonLines()], ids=["plain", "json"])
def test_a_watched_event_takes_one_safe_line(injection: Injection, display: PlainLines | JsonLines):
    for event in events_saying(injection.text):
        with redirect_stdout(StringIO()) as out:
            display.show(event)
        assert_is_safe(out.getvalue())
        assert len(out.getvalue().splitlines()) <= 1


@every_injection
def test_the_live_picture_holds_no_order_and_no_markup(injection: Injection):
    console = colourless(width=10_000)
    display = LiveDisplay(console)
    for event in events_saying(injection.text):
        display.show(event)
        console.print(display.render())
    assert_is_safe(shown_by(console))
    if injection.name == "markup of a terminal":
        assert shown_by(console).count(injection.text) >= 10


@every_injection
@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
def test_a_shown_status_and_shown_minutes_hold_no_order(injection: Injection, *, is_terminal: bool):
    text = injection.text
    minutes = hostile_meeting(injection).minutes
    console = colourless(force_terminal=is_terminal)
    page = {"meetings": [{**status_saying(text), "participant_names": [text]}], "total": 1}
    with (
        redirect_stdout(StringIO()) as out,
        patch.object(tables, "Console", lambda **more: _same_or_new(console, more)),
    ):
        tables.show(tables.meeting_status(status_saying(text)))
        tables.show(tables.meeting_list(page))
        tables.show(tables.agent_list({"agents": [dict.fromkeys(("id", "name", "role"), text)]}))
        for markdown in (minutes, text, f"# {text}\n\n[x]({text}) `{text}`\n\n```{text}\n{text}"):
            tables.print_minutes(markdown)
    assert_is_safe(shown_by(console) + out.getvalue())


def _same_or_new(console: Console, more: dict[str, object]) -> Console:
    return Console(**more) if "file" in more else console  # type: ignore[arg-type]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    with fake_service() as service:
        monkeypatch.setenv("MEETINGS_URL", service.url)
        yield service


@pytest.mark.parametrize("mode", [[], ["--json"]], ids=["plain", "json"])
def test_no_command_prints_an_order(
    service: FakeService, capsys: pytest.CaptureFixture[str], mode: list[str]
):
    """The whole corpus in one meeting, as a service might send it that cleans nothing."""
    texts = [each.text for each in INJECTIONS if each.text.isascii() or _is_unicode(each.text)]
    events = [event for text in texts for event in events_saying(text)]
    frames = [
        frame(number, event.event.removeprefix("meeting-"), **event.data)
        for number, event in enumerate(events, 1)
        if event.ending is None and event.event.isascii() and event.event.isprintable()
    ]
    service.on("/api/meetings/m1/events", feed(*frames, frame(99_999, "complete")))
    whole = "\n\n".join(texts)
    service.on("/api/meetings/m1/status", Reply(body=status_saying(whole)))
    service.on("/api/meetings/m1/output", Reply(body={"output_md": whole}))
    facts = [{"version": 1, "at": text, "name": text, "data": {text: text}} for text in texts]
    lines = "\n".join(json.dumps(fact) for fact in facts) + "\n"
    service.on("/api/meetings/m1/history", Reply(200, lines, "application/x-ndjson"))
    for command in ("watch", "status", "output", "history"):
        assert run([command, "m1", *mode]) in (Exit.COMPLETE, None)
        captured = capsys.readouterr()
        assert len(captured.out) > 1_000
        assert_is_safe(captured.out + captured.err)


def _is_unicode(text: str) -> bool:
    return not any(unicodedata.category(each) == "Cs" for each in text)
