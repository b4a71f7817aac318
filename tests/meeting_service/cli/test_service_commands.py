"""The command line against the service itself: from `serve` and `demo` to the minutes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from msgspec import Struct

from meeting_service.cli.application import run
from meeting_service.cli.exit_codes import Exit

ROOT = Path(__file__).parents[3]
SECONDS = 60


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a meetings.toml, and no settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in list(os.environ):
        if name.startswith("MEETINGS_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    return tmp_path


class Ended(Struct, frozen=True):
    """What a command left behind."""

    code: int
    out: str
    err: str


Meetings: TypeAlias = Callable[..., Ended]


@pytest.fixture
def meetings(capsys: pytest.CaptureFixture[str]) -> Meetings:
    """Runs a command to its end, in this process: starting one anew takes a second."""

    def command(*arguments: str) -> Ended:
        code = run(arguments)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return command


def spawn(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "meeting_service", *arguments]
    # Its errors go to pytest's own capture, which shows them when a test fails.
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the service until the block is left; return its process and its address."""
    with spawn("serve", *arguments) as process:
        try:
            yield process, address_in(first_line(process))
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line
    return line


def address_in(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http"))


def rest_of(process: subprocess.Popen[str]) -> str:
    """Read on after `first_line` to the end; `communicate` would lose what that has buffered."""
    assert process.stdout is not None
    text = process.stdout.read()
    process.wait(SECONDS)
    return text


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def versions(events: Sequence[dict[str, Any]]) -> list[int]:
    return [event["id"] for event in events if event["id"] is not None]


def test_a_meeting_goes_from_start_to_minutes(
    meetings: Meetings, database_url: str, folder: Path
) -> None:
    with serving("--port=0", "--database-url", database_url) as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        held = meetings("start", "Agree", "--title=Sync", "--watch", "--json", "--url", url)
        assert held.code == Exit.COMPLETE, held.err
        events = json_lines(held.out)
        assert versions(events) == sorted(set(versions(events)))
        assert events[0]["event"] == "meeting-started"
        assert events[-1]["event"] == "meeting-complete"
        assert sum(event["event"] == "meeting-turn" for event in events) == 12
        meeting = events[0]["data"]["meeting_id"]

        status = meetings("status", meeting, "--json", "--url", url)
        assert json.loads(status.out)["state"] == "complete"
        assert "complete" in meetings("status", meeting, "--url", url).out
        output = meetings("output", meeting, "--url", url)
        assert output.out.startswith("# Sync\n")
        (saved,) = (folder / "minutes").iterdir()
        assert saved.read_text(encoding="utf-8") == output.out
        assert meeting in meetings("list", "--url", url).out
        assert "planner" in meetings("agents", "--url", url).out
        history = json_lines(meetings("history", meeting, "--json", "--url", url).out)
        assert [event["version"] for event in history] == list(range(1, len(history) + 1))
        later = meetings("history", meeting, "--after=3", "--url", url).out.splitlines()
        assert len(later) == len(history) - 3

        again = meetings("watch", meeting, "--json", "--url", url)
        assert again.code == Exit.COMPLETE
        assert versions(json_lines(again.out)) == versions(events)
        assert meetings("cancel", meeting, "--url", url).code == Exit.REFUSED

        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert meetings("status", meeting, "--url", url).code == Exit.UNREACHABLE


def test_a_cancelled_meeting_ends_its_watchers_with_their_own_code(
    meetings: Meetings, database_url: str, folder: Path
) -> None:
    slow = folder / "meetings.toml"
    slow.write_text('[gateways.slow]\nkind = "scripted"\ndelay_seconds = 3600\n')
    with serving("--port=0", "--database-url", database_url) as (_, url):
        started = meetings("start", "--url", url)
        meeting = started.out.strip()
        assert started.code == Exit.COMPLETE, started.err
        with spawn("watch", meeting, "--url", url) as watching:
            assert "3 rounds" in first_line(watching)
            cancelled = meetings("cancel", meeting, "--reason=enough", "--url", url)
            assert cancelled.code == Exit.COMPLETE
            out = rest_of(watching)
        assert watching.returncode == Exit.CANCELLED
        assert out.splitlines()[-1].startswith("cancelled at ")
        assert meetings("output", meeting, "--url", url).code == Exit.REFUSED


def test_a_watch_survives_the_death_of_the_service(
    meetings: Meetings, database_url: str, folder: Path
) -> None:
    (folder / "meetings.toml").write_text(
        'lease_seconds = 1\n[gateways.slow]\nkind = "scripted"\ndelay_seconds = 0.1\n'
    )
    service = [f"--port={free_port()}", "--database-url", database_url]
    with serving(*service) as (process, url):
        meeting = meetings("start", "--url", url).out.strip()
        watching = spawn("watch", meeting, "--json", "--url", url)
        seen = [first_line(watching) for _ in range(5)]
        process.kill()
    with watching, serving(*service):
        rest = rest_of(watching)
    assert watching.returncode == Exit.COMPLETE
    events = json_lines("".join([*seen, rest]))
    assert versions(events) == sorted(set(versions(events)))
    turns = [event["data"] for event in events if event["event"] == "meeting-turn"]
    assert len({(turn["round"], turn["agent_id"]) for turn in turns}) == len(turns) == 12


def test_the_demo_prints_and_saves_the_minutes_of_a_complete_meeting(
    meetings: Meetings, database_url: str, folder: Path
) -> None:
    ended = meetings("demo", "--database-url", database_url)
    assert ended.code == Exit.COMPLETE, ended.err
    (saved,) = (folder / "minutes").iterdir()
    assert saved.read_text(encoding="utf-8") in ended.out
    assert str(saved.name) in ended.err
    for heading in ("# First release", "## Action Items", "## Decisions"):
        assert heading in ended.out.splitlines()
    assert "Traceback" not in ended.err
    assert "degraded" not in ended.out.lower()


def test_the_demo_as_json_is_one_event_a_line(meetings: Meetings, database_url: str) -> None:
    ended = meetings("demo", "--json", "--database-url", database_url)
    assert json_lines(ended.out)[-1]["event"] == "meeting-complete"


def test_rebuild_reports_and_repairs_what_differs(meetings: Meetings, database_url: str) -> None:
    assert meetings("demo", "--json", "--database-url", database_url).code == Exit.COMPLETE
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("UPDATE meetings_summaries SET title = 'forged'")
        database.execute("DELETE FROM meetings_turns WHERE round_num = 2 AND turn_index = 1")
    ended = meetings("db", "rebuild", "--database-url", database_url)
    assert ended.code == Exit.COMPLETE, ended.err
    first, second, last = ended.out.splitlines()
    assert re.fullmatch(r"replaced meetings_summaries \S+: title", first)
    assert re.fullmatch(r"replaced meetings_turns \S+ 2 1: the whole row", second)
    assert last == "1 meetings replayed, 2 rows differed and were replaced"
    again = meetings("db", "rebuild", "--database-url", database_url)
    assert again.out == "1 meetings replayed, 0 rows differed and were replaced\n"


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_service_that_cannot_start_says_why_in_one_line(command: str) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    arguments = [sys.executable, "-m", "meeting_service", command, "--database-url", url]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert ended.returncode == Exit.FAILED
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith("meetings: no PostgreSQL answers at")
    assert "Traceback" not in ended.stderr
