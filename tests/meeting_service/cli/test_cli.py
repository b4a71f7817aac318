"""The command line against a service that answers from a script: output, exit codes, lost feeds."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from rich.console import Console

from meeting_service.cli.application import run
from meeting_service.cli.display_live import LiveDisplay
from meeting_service.cli.display_text import sentence
from meeting_service.cli.exit_codes import MEANINGS, Exit
from meeting_service.cli.feed_client import FeedEvent
from meeting_service.cli.printable import json_line, one_line, printable
from meeting_service.store.postgres.migrate import HEAD
from tests.meeting_service.cli.fake_service import (
    FakeService,
    Reply,
    fake_service,
    feed,
    frame,
    problem,
    whole_feed,
)

STATUS = {
    "id": "m1",
    "title": "Sync",
    "state": "round_1",
    "goal": "Agree",
    "current_round": 1,
    "total_rounds": 1,
    "progress_pct": 45,
    "rounds": [
        {
            "round_num": 1,
            "topic": "Now",
            "turns": [
                {
                    "agent_name": "Devi",
                    "response": "All\nwell.",
                    "prompt_tokens": 1_000,
                    "response_tokens": 20,
                },
                {"agent_name": "Quinn", "response": None, "skipped_reason": "refused"},
            ],
        }
    ],
    "tokens": {"spent": 1_020, "reserved": 80, "left": 8_900},
}
EVENTS = "/api/meetings/m1/events"
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m[bold red]x[/bold red]\u202egnp.exe\r"
TERMINAL_ORDERS = re.compile("\x1b\\]0|\x1b\\[2J|\x07|\x9b|\u202e")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a meetings.toml, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    # Commands in processes of their own must be this code, installed or not.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    for name in list(os.environ):
        if name.startswith("MEETINGS_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    with fake_service() as service:
        monkeypatch.setenv("MEETINGS_URL", service.url)
        yield service


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("meetings: ")
    return captured.err


# --- watching a meeting -----------------------------------------------------------------------


def test_watch_prints_one_plain_line_for_each_event(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on(EVENTS, feed(*whole_feed()))
    assert run(["watch", "m1"]) == Exit.COMPLETE
    assert capsys.readouterr().out.splitlines() == [
        "Sync: 1 round with dev, qa",
        "round 1 of 1: Now (? %)",
        "Devi speaks (round 1, turn 1 of 1)",
        "Devi: All well. (45 %)",
        "the minutes are being written",
        "complete after 1.5 s, 1500 tokens; minutes in minutes/sync.md",
    ]


def test_watch_prints_one_json_object_a_line(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on(EVENTS, feed(*whole_feed()))
    assert run(["watch", "m1", "--json"]) == Exit.COMPLETE
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == [1, 2, 3, None, None, 4, 5, 6]
    assert [set(line) for line in lines] == [{"event", "id", "data"}] * 8
    assert lines[3]["event"] == "meeting-turn-delta"
    assert lines[3]["data"]["text"] == "All "


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (frame(2, "error", state="error", error="nobody_spoke"), Exit.FAILED),
        (frame(2, "cancelled", state="cancelled", cancelled_at="now"), Exit.CANCELLED),
        (frame(2, "complete", state="complete"), Exit.COMPLETE),
    ],
)
def test_the_exit_code_says_how_the_meeting_ended(
    service: FakeService, capsys: pytest.CaptureFixture[str], last: str, code: Exit
) -> None:
    service.on(EVENTS, feed(frame(1, "started", title="Sync"), last))
    assert run(["watch", "m1"]) == code


@pytest.mark.parametrize("breaks", [True, False])
def test_a_lost_feed_is_resumed_without_repeats_or_gaps(
    service: FakeService, capsys: pytest.CaptureFixture[str], *, breaks: bool
) -> None:
    frames = whole_feed()
    service.on(
        EVENTS,
        feed(*frames[:4], frames[5][:20], breaks=breaks),
        # Nothing came; then an unavailable service; then one that repeats what was seen.
        feed(breaks=breaks),
        problem(503, "the database is unavailable"),
        feed(*frames[2:]),
    )
    assert run(["watch", "m1", "--json"]) == Exit.COMPLETE
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["id"] for line in lines if line["id"]] == [1, 2, 3, 4, 5, 6]
    assert "meetings: the database is unavailable; trying again" in captured.err
    assert all(line.startswith("meetings: ") for line in captured.err.splitlines())
    assert [request.headers.get("last-event-id") for request in service.requests_to(EVENTS)] == [
        None,
        "3",
        "3",
        "3",
    ]


def test_a_lost_feed_is_told_in_our_words_only(service: FakeService) -> None:
    service.on(
        EVENTS,
        feed(*whole_feed()[:1], breaks=True),
        problem(503, "the database is unavailable"),
        feed(*whole_feed()),
    )
    command = [sys.executable, "-m", "meeting_service", "watch", "m1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr.splitlines() == [
        "meetings: lost the connection; resuming",
        "meetings: the database is unavailable; trying again",
    ]


def test_pings_are_no_events(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    first, *rest = whole_feed()
    service.on(EVENTS, feed(first, ": ping\n\n", ":\n\n", *rest))
    assert run(["watch", "m1", "--json"]) == Exit.COMPLETE
    assert len(capsys.readouterr().out.splitlines()) == 8


@pytest.mark.parametrize(
    ("state", "code"),
    [("complete", Exit.COMPLETE), ("error", Exit.FAILED), ("cancelled", Exit.CANCELLED)],
)
def test_a_feed_with_nothing_left_is_answered_from_the_status(
    service: FakeService, state: str, code: Exit
) -> None:
    service.on(EVENTS, feed(frame(1, "started", title="Sync"), breaks=True), Reply(204))
    service.on("/api/meetings/m1/status", Reply(body={"state": state}))
    assert run(["watch", "m1"]) == code


def test_a_feed_of_something_else_is_refused(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on(EVENTS, Reply(200, "<html>", "text/html"))
    assert run(["watch", "m1"]) == Exit.UNREACHABLE
    assert "no answer of a meeting service" in error_line(capsys)


def test_watching_an_unknown_meeting_is_refused_at_once(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on(EVENTS, problem(404, "there is no meeting m1"))
    assert run(["watch", "m1"]) == Exit.REFUSED
    assert error_line(capsys) == "meetings: there is no meeting m1\n"
    assert len(service.requests) == 1


def test_ctrl_c_leaves_quietly(service: FakeService) -> None:
    held = threading.Event()
    service.on(EVENTS, feed(frame(1, "started", title="Sync"), held_open=held))
    command = [sys.executable, "-m", "meeting_service", "watch", "m1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"meeting-started" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    held.set()
    assert (process.returncode, out, err) == (Exit.INTERRUPTED, b"", b"")


def test_a_closed_pipe_ends_the_command_quietly(service: FakeService) -> None:
    service.on("/api/meetings/m1/history", Reply(200, '{"version":1}\n' * 20_000, "text/x"))
    command = f"{sys.executable} -m meeting_service history m1 | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=60)
    assert ended.returncode == Exit.PIPE_CLOSED
    assert ended.stdout.count(b"\n") == 1
    assert ended.stderr == b""


# --- a terminal --------------------------------------------------------------------------------


def test_on_a_terminal_the_meeting_is_shown_live(service: FakeService) -> None:
    service.on(EVENTS, feed(*whole_feed()))
    service.on("/api/meetings/m1/status", Reply(body=STATUS))
    shown = on_terminal("watch", "m1")
    assert "Devi" in shown
    assert "All" in shown
    assert "1,020 of 10,000 tokens" in shown
    assert "complete after 1.5 s" in shown


def test_nothing_from_outside_reaches_the_terminal_as_an_order(service: FakeService) -> None:
    place = {"round": 1, "agent_id": EVIL, "agent_name": EVIL, "turn_index": 0, "total_turns": 1}
    service.on(
        EVENTS,
        feed(
            frame(1, "started", title=EVIL, participants=[EVIL], total_rounds=1),
            frame(2, "state", state="round_1", round_topic=EVIL, current_round=1),
            frame(3, "turn-start", **place),
            frame(None, "turn-delta", round=1, agent_id="dev", text=EVIL),
            frame(4, "warning", message=EVIL, severity="warning"),
            frame(5, "turn", **place, response=EVIL),
            frame(6, "turn", **place, response=None, skipped_reason=EVIL),
            frame(7, f"later-{'x'}", title=EVIL),
            frame(8, "error", error=EVIL),
        ),
    )
    service.on("/api/meetings/m1/status", Reply(body={**STATUS, "title": EVIL, "goal": EVIL}))
    service.on("/api/meetings/m1/output", Reply(body={"output_md": f"# {EVIL}\n\n[x]({EVIL})"}))
    for command in (["watch", "m1"], ["watch", "m1", "--json"], ["status", "m1"], ["output", "m1"]):
        shown = on_terminal(*command)
        assert "x" in shown
        assert not TERMINAL_ORDERS.search(shown), command
    assert "[bold red]x[/bold red]" in on_terminal("watch", "m1")


def test_the_text_of_a_failed_attempt_is_not_shown_with_the_next_one() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=60)
    display = LiveDisplay(console)
    display.show(FeedEvent("meeting-turn-start", 1, {"agent_name": "Devi"}))
    display.show(FeedEvent("meeting-turn-delta", None, {"text": "void"}))
    display.show(FeedEvent("meeting-warning", 2, {"message": "attempt 1 failed"}))
    display.show(FeedEvent("meeting-turn-delta", None, {"text": "valid"}))
    with console.capture() as render:
        console.print(display.render())
    assert "valid" in render.get()
    assert "void" not in render.get()


def on_terminal(*arguments: str) -> str:
    """Run a command on a terminal of its own; give all that was written to it."""
    ours, theirs = pty.openpty()
    pieces: list[bytes] = []

    def read() -> None:
        # How Linux says that the other side has closed.
        with suppress(OSError):
            while piece := os.read(ours, 65_536):
                pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    environ = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with (
        patch.dict(os.environ, environ),
        open(theirs, "w", encoding="utf-8") as terminal,
        redirect_stdout(terminal),
        redirect_stderr(terminal),
    ):
        run(arguments)
    reader.join()
    os.close(ours)
    return b"".join(pieces).decode()


# --- starting ----------------------------------------------------------------------------------


def test_start_sends_every_field_it_was_given(
    service: FakeService, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "paper.txt").write_text("Background")
    service.on("/api/meetings/start", Reply(201, {"id": "m1"}))
    arguments = [
        "start",
        "Agree",
        "--title=Sync",
        "--participant=dev",
        '--participant={"id": "guest", "name": "Guest"}',
        "--topic=First",
        "--topic=Second",
        "--room=blue",
        "--project=p",
        "--document=paper.txt",
        "--parent=m0",
        "--max-tokens-per-turn=100",
        "--synthesis-max-tokens=200",
        "--context-tokens=1000",
        "--meeting-tokens=9000",
        "--meeting-cost=2.5",
        "--on-budget=pause",
        "--min-tokens-per-turn=40",
        "--digest-rounds",
        "--synthesizer=dev",
        "--idempotency-key=once",
    ]
    assert run(arguments) == Exit.COMPLETE
    (request,) = service.requests
    assert request.body == {
        "goal": "Agree",
        "title": "Sync",
        "participants": ["dev", {"id": "guest", "name": "Guest"}],
        "num_rounds": 2,
        "round_topics": ["First", "Second"],
        "room_id": "blue",
        "project_id": "p",
        "document_context": "Background",
        "parent_meeting_id": "m0",
        "max_tokens_per_turn": 100,
        "synthesis_max_tokens": 200,
        "context_tokens": 1000,
        "meeting_tokens": 9000,
        "meeting_cost": 2.5,
        "on_budget": "pause",
        "min_tokens_per_turn": 40,
        "digest_rounds": True,
        "synthesizer": "dev",
    }
    assert request.headers["idempotency-key"] == "once"
    captured = capsys.readouterr()
    assert captured.out == "m1\n"
    assert "meetings watch m1" in captured.err


def test_start_without_participants_takes_every_agent(service: FakeService) -> None:
    service.on("/api/agents", Reply(body={"agents": [{"id": "dev"}, {"id": "qa"}]}))
    service.on("/api/meetings/start", Reply(201, {"id": "m1"}))
    assert run(["start", "--rounds", "0"]) == Exit.COMPLETE
    # What is wrong is for the service to say; zero rounds must not become the default.
    assert service.requests[-1].body == {"participants": ["dev", "qa"], "num_rounds": 0}


def test_start_and_watch_ends_as_the_meeting_does(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on("/api/meetings/start", Reply(201, {"id": "m1"}))
    service.on(EVENTS, feed(frame(1, "cancelled", cancelled_at="now")))
    assert run(["start", "--participant=a", "--watch", "--json"]) == Exit.CANCELLED
    assert json.loads(capsys.readouterr().out)["event"] == "meeting-cancelled"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["budget", "m1"], "name the new budget"),
        (["budget", "m1", "--tokens=many"], "--tokens"),
        (["start", "--on-budget=stop"], "--on-budget"),
        (["start", "--participant={no"], "--participant: is no JSON object"),
        (["start", "--document=none.txt"], "--document: none.txt cannot be read"),
        (["start", "--tpic=x"], "Did you mean --topic?"),
        (["start", "--rounds=many"], "--rounds"),
        (["start", "one", "two"], "two"),
        (["strat"], 'Did you mean "start"?'),
        (["watch"], "--id"),
        (["list", "--config=none.toml"], "none.toml: no such file"),
        (["status", "m1", "--url=meetings"], "command line: url: is 'meetings'"),
        (["serve", "--port=70000"], "--port: is 70000"),
        (["serve", "--database-url=mysql://x"], "--database-url: must begin with postgresql://"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    assert run(arguments) == Exit.USAGE
    assert part in error_line(capsys)


# --- answers and refusals ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code", "line"),
    [
        (problem(404, "there is no meeting m1"), Exit.REFUSED, "there is no meeting m1"),
        (
            problem(
                400,
                "the request is wrong",
                errors=[
                    {"field": "participants[0].id", "detail": "must not be empty"},
                    {"field": "num_rounds", "detail": "is 9"},
                ],
            ),
            Exit.REFUSED,
            "the request is wrong; participants[0].id: must not be empty; num_rounds: is 9",
        ),
        (
            problem(429, "too many live meetings", headers={"Retry-After": "5"}),
            Exit.REFUSED,
            "too many live meetings; try again in 5 s",
        ),
        (
            problem(503, "the database is unavailable"),
            Exit.UNREACHABLE,
            "the database is unavailable",
        ),
        (problem(409, "a\x1b[2J\nb"), Exit.REFUSED, "a[2J b"),
    ],
)
def test_a_refusal_is_one_line_and_has_its_own_exit_code(
    service: FakeService, capsys: pytest.CaptureFixture[str], reply: Reply, code: Exit, line: str
) -> None:
    service.on("/api/meetings/m1/status", reply)
    assert run(["status", "m1"]) == code
    assert error_line(capsys) == f"meetings: {line}\n"


@pytest.mark.parametrize(
    "reply", [Reply(404, "<html>", "text/html"), Reply(200, "pong", "text/plain"), Reply(body=[])]
)
def test_an_answer_of_something_else_is_told_so(
    service: FakeService, capsys: pytest.CaptureFixture[str], reply: Reply
) -> None:
    service.on("/api/meetings/m1/status", reply)
    assert run(["status", "m1"]) == Exit.UNREACHABLE
    assert f"{service.url} answered {reply.status}" in error_line(capsys)


@pytest.mark.parametrize("userinfo", ["me:secret@", "secret@", "me:se%40cret@"])
def test_a_password_in_the_address_is_not_shown(
    service: FakeService, capsys: pytest.CaptureFixture[str], userinfo: str
) -> None:
    url = service.url.replace("http://", f"http://{userinfo}")
    service.on("/api/meetings/m1/status", Reply(404, "<html>", "text/html"))
    assert run(["status", "m1", "--url", url]) == Exit.UNREACHABLE
    assert error_line(capsys).startswith(f"meetings: {service.url} answered 404")
    assert run(["status", "m1", "--url", f"http://{userinfo}127.0.0.1:1/x?key=secret"]) == (
        Exit.UNREACHABLE
    )
    assert "no service answers at http://127.0.0.1:1/x; start" in error_line(capsys)


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["watch", "m1"], ["history", "m1"], ["start", "--participant=a"], ["cancel", "m1"]],
)
def test_without_a_service_the_line_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with fake_service() as gone:
        url = gone.url
    assert run([*arguments, "--url", url]) == Exit.UNREACHABLE
    assert f"no service answers at {url}; start one with `meetings serve`" in error_line(capsys)


def test_the_address_may_come_from_the_file(
    folder: Path, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEETINGS_URL")
    port = service.url.rpartition(":")[2]
    (folder / "meetings.toml").write_text(f"port = {port}")
    service.on("/api/agents", Reply(body={"agents": []}))
    assert run(["agents"]) == Exit.COMPLETE


def test_a_loopback_service_is_never_asked_through_a_proxy(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    service.on("/api/agents", Reply(body={"agents": []}))
    assert run(["agents"]) == Exit.COMPLETE


def test_status_shows_the_turns(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.on("/api/meetings/m1/status", Reply(body=STATUS))
    assert run(["status", "m1"]) == Exit.COMPLETE
    shown = capsys.readouterr().out
    for part in ("round_1", "45 %", "spent 1020, reserved 80, left 8900", "All well.", "refused"):
        assert part in shown
    assert run(["status", "m1", "--json"]) == Exit.COMPLETE
    assert json.loads(capsys.readouterr().out) == STATUS


def test_list_passes_its_filters_on(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"id": "m1", "title": "Sync", "state": "complete", "participant_names": ["Devi"]}
    page = {"meetings": [one], "total": 7, "has_more": True, "next_cursor": "abc"}
    service.on("/api/meetings", Reply(body=page))
    arguments = ["--days=3", "--room=blue", "--state=complete", "--limit=1"]
    assert run(["list", *arguments]) == Exit.COMPLETE
    shown = capsys.readouterr().out
    assert re.search("m1 +complete +Sync +Devi", shown)
    assert "1 of 7 meetings; more with --cursor abc" in shown
    (request,) = service.requests
    assert request.path == "/api/meetings?days=3&room_id=blue&state=complete&limit=1"


def test_output_is_the_document_itself(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    document = "# Sync\n\n- [ ] @dev: ship [priority: high]\n"
    service.on("/api/meetings/m1/output", Reply(body={"id": "m1", "output_md": document}))
    assert run(["output", "m1"]) == Exit.COMPLETE
    assert capsys.readouterr().out == document


def test_cancel_says_when(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.on("/api/meetings/m1/cancel", Reply(body={"id": "m1", "cancelled_at": "now"}))
    assert run(["cancel", "m1"]) == Exit.COMPLETE
    assert capsys.readouterr().out == "cancelled at now\n"
    assert service.requests[0].method == "POST"


SPENDING: dict[str, Any] = {
    "id": "m1",
    "currency": "EUR",
    "total": {
        "calls": 2,
        "useful_tokens": 900,
        "wasted_tokens": 300,
        "useful_cost": 0.5,
        "wasted_cost": 0.25,
    },
    "by_participant": [
        {"agent_name": "Devi", "spent": {"calls": 2, "useful_tokens": 900, "wasted_tokens": 300}}
    ],
    "by_round": [],
    "digests": {"calls": 0, "useful_tokens": 0, "wasted_tokens": 0},
    "synthesis": {"calls": 0, "useful_tokens": 0, "wasted_tokens": 0},
    "by_model": [],
    "attempts": [
        {
            "task": "round-1-dev",
            "number": 1,
            "agent_id": "dev",
            "outcome": "failed:refused",
            "model": "big",
            "answered_by": "",
            "prompt_tokens": 200,
            "completion_tokens": 100,
            "charged_tokens": 300,
            "source": "unknown",
            "cost": None,
            "latency_ms": 1_250,
        }
    ],
}


def test_spending_is_one_row_a_line(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on("/api/meetings/m1/spending", Reply(body=SPENDING))
    assert run(["spending", "m1"]) == Exit.COMPLETE
    shown = capsys.readouterr().out
    for row in (
        "spent on +calls +useful tokens +wasted tokens +cost \\(EUR\\)",
        "all +2 +900 +300 +0.750000",
        "Devi +2 +900 +300",
        "round-1-dev/1 +failed:refused +dev +big +200 +100 +300 +unknown +1.2 s",
    ):
        assert re.search(f"(?m)^ *{row} *$", shown), row
    assert "digests" not in shown
    assert run(["spending", "m1", "--json"]) == Exit.COMPLETE
    assert json.loads(capsys.readouterr().out) == SPENDING


def test_no_text_in_a_spending_gives_the_terminal_orders(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = {**SPENDING["attempts"][0], "task": EVIL, "answered_by": EVIL}
    evil = {**SPENDING, "currency": EVIL, "attempts": [attempt]}
    service.on("/api/meetings/m1/spending", Reply(body=evil))
    assert run(["spending", "m1"]) == Exit.COMPLETE
    shown = capsys.readouterr().out
    assert not TERMINAL_ORDERS.search(shown)
    assert shown.count("[bold red]x[/bold red]") == 4


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["budget", "m1", "--tokens=9000"], "budget", {"meeting_tokens": 9000}),
        (
            ["budget", "m1", "--tokens=9000", "--cost=2.5"],
            "budget",
            {"meeting_tokens": 9000, "meeting_cost": 2.5},
        ),
        (["wrap-up", "m1"], "wrap-up", None),
        (["pause", "m1"], "pause", None),
        (["pause", "m1", "--reason=lunch"], "pause", {"reason": "lunch"}),
        (["resume", "m1"], "resume", None),
        (
            ["remark", "m1", "Mind the cost."],
            "remarks",
            {"author": "operator", "text": "Mind the cost."},
        ),
    ],
)
def test_a_meeting_is_controlled(
    service: FakeService,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    path: str,
    body: object,
) -> None:
    cost = {"currency": "EUR", "left": 1.25}
    answer = {"id": "m1", "state": "round_1", "tokens": {"left": 8_000, "cost": cost}}
    service.on(f"/api/meetings/m1/{path}", Reply(body=answer))
    assert run(arguments) == Exit.COMPLETE
    assert capsys.readouterr().out == "round_1; 8000 tokens left; EUR 1.2500 left\n"
    assert run([*arguments, "--json"]) == Exit.COMPLETE
    assert json.loads(capsys.readouterr().out) == answer
    assert [(request.method, request.body) for request in service.requests] == [("POST", body)] * 2


def test_status_tells_cost_and_what_a_meeting_waits_for(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    cost = {"currency": "EUR", "spent": 0.5, "reserved": 0.0, "left": None}
    wait = {"for": "call_slot", "gateway": "main", "since": "now", "until": None, "calls_ahead": 0}
    status = {**STATUS, "tokens": {"spent": 1, "cost": cost}, "waiting": wait}
    service.on("/api/meetings/m1/status", Reply(body=status))
    assert run(["status", "m1"]) == Exit.COMPLETE
    shown = capsys.readouterr().out
    assert "EUR: spent 0.5000, reserved 0.0000" in shown
    assert "call_slot, of gateway main, since now, calls ahead: 0" in shown


def test_history_is_one_event_a_line(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    # U+2028 ends a line for Python's splitlines, but neither for JSON nor for a reader of lines.
    events = [{"version": 1, "data": {"text": "a\u2028b"}}, {"version": 2, "data": {}}]
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    service.on("/api/meetings/m1/history", Reply(200, lines, "application/x-ndjson"))
    assert run(["history", "m1", "--json"]) == Exit.COMPLETE
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == events
    assert service.requests[0].headers["accept"] == "application/x-ndjson"


def test_agents_are_listed(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    agent = {"id": "dev", "name": "Devi [x]", "role": "Developer"}
    service.on("/api/agents", Reply(body={"agents": [agent]}))
    assert run(["agents"]) == Exit.COMPLETE
    assert re.search(r"dev +Devi \[x\] +Developer", capsys.readouterr().out)


def test_an_id_cannot_name_another_path(service: FakeService) -> None:
    assert run(["status", "../start?x#"]) == Exit.REFUSED
    assert service.requests[0].path == "/api/meetings/..%2Fstart%3Fx%23/status"


# --- the database ------------------------------------------------------------------------------


def test_upgrade_brings_an_empty_database_to_the_newest_schema(
    empty_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(["db", "upgrade", "--database-url", empty_database_url]) == Exit.COMPLETE
        assert capsys.readouterr().out == f"the database is at schema {HEAD}\n"


def test_upgrade_of_an_unreachable_database_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with fake_service() as gone:
        url = gone.url.replace("http:", "postgresql://nobody@").replace("@//", "@") + "/none"
    assert run(["db", "upgrade", "--database-url", url]) == Exit.FAILED
    assert "no PostgreSQL answers at" in error_line(capsys)


# --- the command line itself -------------------------------------------------------------------


def test_help_lists_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == Exit.COMPLETE
    shown = capsys.readouterr().out
    commands = "demo serve db start watch status list output cancel history agents spending budget"
    for command in (*commands.split(), "wrap-up", "pause", "resume", "remark", "simulate"):
        assert re.search(rf"(?m)^│ {command} ", shown)
    for code in MEANINGS:
        assert re.search(rf"(?m)^ +{code.value}  \w", shown)


def test_help_needs_none_of_the_heavy_imports() -> None:
    heavy = {"anyio", "asyncpg", "httpx2", "litestar", "meeting_core", "msgspec", "statemachine"}
    program = (
        "import sys; from meeting_service.cli.application import run; run(['--help']);"
        f"sys.exit(', '.join({heavy!r} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, timeout=60
    )
    assert ended.stderr.strip() == b""


def test_what_is_printable_keeps_its_meaning() -> None:
    assert printable("a\tb\r\nc") == "a\tb\nc"
    assert printable("日本語 é 👩‍👩‍👧") == "日本語 é 👩‍👩‍👧"
    assert one_line(" a\n\n b\u2028c\td ") == "a b c d"
    assert json.loads(json_line({"x": EVIL})) == {"x": EVIL}
    assert not TERMINAL_ORDERS.search(json_line({"x": EVIL}))


def test_an_event_of_later_versions_is_shown_by_its_name() -> None:
    assert sentence(FeedEvent("meeting-remark", 3, {"text": "hello"})) == "remark"
