"""The commands about meetings in quarantine, and what other commands show of one."""

import json
import re
from collections.abc import Iterator

import pytest

from meeting_service.cli.application import run
from meeting_service.cli.exit_codes import Exit
from tests.meeting_service.cli.fake_service import FakeService, Reply, fake_service, problem

REASON = "CorruptHistory: version 7: unknown event"
ROW = {
    "id": "m1",
    "title": "Sync",
    "state": "round_1",
    "reason": REASON,
    "since": "2026-11-23T10:45:00.000Z",
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeService]:
    with fake_service() as service:
        monkeypatch.setenv("MEETINGS_URL", service.url)
        yield service


def test_the_quarantine_is_listed_with_its_reasons(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on("/api/quarantine", Reply(body={"meetings": [ROW]}))
    assert run(["quarantine", "list"]) == Exit.COMPLETE
    assert re.search(f"m1 +round_1 +Sync +{REASON} +2026", capsys.readouterr().out)
    assert run(["quarantine", "list", "--json"]) == Exit.COMPLETE
    assert json.loads(capsys.readouterr().out) == {"meetings": [ROW]}


def test_a_release_names_the_meeting(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"id": "m1", "released": True}
    service.on("/api/meetings/m1/release", Reply(body=answer))
    assert run(["quarantine", "release", "m1"]) == Exit.COMPLETE
    assert capsys.readouterr().out == "released m1\n"
    assert service.requests[0].method == "POST"
    assert run(["quarantine", "release", "m1", "--json"]) == Exit.COMPLETE
    assert json.loads(capsys.readouterr().out) == answer


def test_a_refused_release_is_one_line(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.on("/api/meetings/m1/release", problem(409, "meeting m1 is not in quarantine"))
    assert run(["quarantine", "release", "m1"]) == Exit.REFUSED
    assert capsys.readouterr().err == "meetings: meeting m1 is not in quarantine\n"


def test_the_list_says_what_keeps_a_meeting_from_going_on(
    service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = {"for": "gateway", "gateway": "local"}
    meetings = [
        {"id": "m1", "state": "round_1", "quarantined": REASON, "waiting": None},
        {"id": "m2", "state": "round_2", "quarantined": None, "waiting": waiting},
    ]
    service.on("/api/meetings", Reply(body={"meetings": meetings, "total": 2}))
    assert run(["list"]) == Exit.COMPLETE
    shown = capsys.readouterr().out
    assert re.search(r"m1 +round_1 \(quarantined\)", shown)
    assert re.search(r"m2 +round_2 \(waits for gateway local\)", shown)
