"""A meeting that cannot be read, over HTTP: shown as far as it can be, listed, released."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import asyncpg
import pytest

from meeting_core.model import RemarkMade
from tests.meeting_service.http.service import (
    STALLED,
    TIMEOUT_SECONDS,
    Client,
    assert_problem,
    served,
    settings_for,
)

pytestmark = pytest.mark.anyio

NDJSON = "application/x-ndjson"
COMMANDS: list[tuple[str, dict[str, Any] | None]] = [
    ("cancel", None),
    ("pause", None),
    ("resume", None),
    ("wrap-up", None),
    ("budget", {"meeting_tokens": 50_000}),
    ("remarks", {"author": "ann", "text": "Wait."}),
]


async def append_unreadable(database_url: str, meeting_id: str) -> None:
    """Append an event that this version cannot decode, as a newer replica would."""
    await execute(
        database_url,
        "INSERT INTO meetings_events (originator_id, originator_version, topic, state) "
        "SELECT $1, max(originator_version) + 1, $2, '[]' FROM meetings_events "
        "WHERE originator_id = $1",
        UUID(meeting_id),
        RemarkMade.TOPIC,
    )


async def execute(database_url: str, query: str, *arguments: Any) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(query, *arguments)
    finally:
        await connection.close()


async def quarantined(client: Client) -> dict[str, Any]:
    """Wait until a meeting is in quarantine; return its row."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        while not (found := (await client.get("/api/quarantine")).json()["meetings"]):
            await anyio.lowlevel.checkpoint()
    (row,) = found
    return dict(row)


async def first_warning(client: Client, path: str) -> dict[str, Any]:
    """Open a stream, and wait for a warning."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with client.sse(path) as source:
            async for event in source:
                if event.event == "meeting-warning":
                    return dict(json.loads(event.data))
    raise AssertionError("there was no warning")


async def test_a_meeting_that_cannot_be_read_is_put_aside_and_shown(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, gateways=STALLED, poll_seconds=0.05)
    async with served(settings) as client:
        meeting_id = await client.start(title="Unlucky", room_id="blue")
        versions = len(await client.facts(meeting_id))
        await append_unreadable(database_url, meeting_id)
        row = await quarantined(client)
        assert (row["id"], row["title"], row["state"]) == (meeting_id, "Unlucky", "round_1")
        assert f"version {versions + 1}" in row["reason"]
        # Its room is free, and the process takes meetings as ever.
        other = await client.start(room_id="blue")
        assert (await client.get("/health/ready")).status_code == 200

        status = await client.status(meeting_id)
        assert (status["state"], status["quarantined"]) == ("round_1", row["reason"])
        assert (status["waiting"], status["allowed_actions"]) == (None, [])
        listed = (await client.get("/api/meetings")).json()["meetings"]
        assert {each["id"]: each["quarantined"] for each in listed} == {
            meeting_id: row["reason"],
            other: None,
        }
        for part in ("spending", "output"):
            answer = await client.get(f"/api/meetings/{meeting_id}/{part}")
            assert assert_problem(answer, 409, "version")["type"] == "/docs#meeting-unreadable"
        for action, body in COMMANDS:
            answer = await client.post(f"/api/meetings/{meeting_id}/{action}", json=body)
            problem = assert_problem(answer, 409, "quarantine", row["reason"])
            assert problem["type"] == "/docs#meeting-quarantined"


async def test_a_meeting_that_lost_its_events_is_unreadable_and_not_unknown(
    database_url: str, tmp_path: Path
) -> None:
    async with served(settings_for(database_url, tmp_path, gateways=STALLED)) as client:
        meeting_id = await client.start()
    query = "DELETE FROM meetings_events WHERE originator_id = $1"
    await execute(database_url, query, UUID(meeting_id))
    async with served(settings_for(database_url, tmp_path, lease_seconds=1)) as client:
        reason = (await quarantined(client))["reason"]
        for part in ("status", "history", "spending", "output"):
            answer = await client.get(f"/api/meetings/{meeting_id}/{part}")
            problem = assert_problem(answer, 409, "no events", reason)
            assert problem["type"] == "/docs#meeting-unreadable"
        answer = await client.post(f"/api/meetings/{meeting_id}/cancel")
        assert assert_problem(answer, 409)["type"] == "/docs#meeting-quarantined"
        for path in (f"/api/meetings/{meeting_id}/events", "/api/events"):
            warning = await first_warning(client, path)
            assert (warning["code"], warning["severity"]) == ("quarantined", "error")
            assert warning["meeting_id"] == meeting_id
            assert reason in warning["message"]


async def test_an_event_that_does_not_fold_is_answered_as_unreadable(
    database_url: str, tmp_path: Path
) -> None:
    async with served(settings_for(database_url, tmp_path, gateways=STALLED)) as client:
        meeting_id = await client.start()
        versions = len(await client.facts(meeting_id))
    query = (
        "UPDATE meetings_events SET state = convert_to(replace(convert_from(state, 'UTF8'), "
        "'planner', 'stranger'), 'UTF8') "
        "WHERE originator_id = $1 AND topic LIKE '%attempt_started%'"
    )
    await execute(database_url, query, UUID(meeting_id))
    async with served(settings_for(database_url, tmp_path, gateways=STALLED)) as client:
        for part in ("spending", "output"):
            answer = await client.get(f"/api/meetings/{meeting_id}/{part}")
            problem = assert_problem(answer, 409, "stranger takes no part")
            assert problem["type"] == "/docs#meeting-unreadable"
        status = await client.status(meeting_id)
        assert 0 < status["version"] < versions
        assert status["allowed_actions"] == []


async def test_its_history_is_given_up_to_what_cannot_be_read(
    database_url: str, tmp_path: Path
) -> None:
    async with served(settings_for(database_url, tmp_path, gateways=STALLED)) as client:
        meeting_id = await client.start()
        whole = await client.facts(meeting_id)
        await append_unreadable(database_url, meeting_id)
        url = f"/api/meetings/{meeting_id}/history"
        page = (await client.get(url)).json()
        assert page["events"] == whole
        assert (page["has_more"], page["next_after"]) == (False, None)
        assert page["unreadable"]["version"] == page["version"] == len(whole) + 1
        first = (await client.get(url, params={"limit": len(whole)})).json()
        assert (first["has_more"], first["unreadable"]) == (True, None)
        lines = (await client.get(url, headers={"Accept": NDJSON})).text.splitlines()
        assert [json.loads(line) for line in lines[:-1]] == whole
        assert json.loads(lines[-1]) == {"error": page["unreadable"]}


async def test_a_released_meeting_goes_on_once_it_can_be_read(
    database_url: str, tmp_path: Path
) -> None:
    async with served(settings_for(database_url, tmp_path, gateways=STALLED)) as client:
        meeting_id = await client.start(room_id="blue")
        await append_unreadable(database_url, meeting_id)
    async with served(settings_for(database_url, tmp_path, lease_seconds=1)) as client:
        await quarantined(client)
        query = "DELETE FROM meetings_events WHERE originator_id = $1 AND state = '[]'"
        await execute(database_url, query, UUID(meeting_id))
        answer = await client.post(f"/api/meetings/{meeting_id}/release")
        assert (answer.status_code, answer.json()) == (200, {"id": meeting_id, "released": True})
        assert (await client.ended(meeting_id))["state"] == "complete"
        again = await client.post(f"/api/meetings/{meeting_id}/release")
        assert assert_problem(again, 409)["type"] == "/docs#not-quarantined"


async def test_a_meeting_whose_room_is_taken_meanwhile_is_not_released(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, gateways=STALLED, poll_seconds=0.05)
    async with served(settings) as client:
        meeting_id = await client.start(room_id="blue")
        await append_unreadable(database_url, meeting_id)
        await quarantined(client)
        holder = await client.start(room_id="blue")
        answer = await client.post(f"/api/meetings/{meeting_id}/release")
        problem = assert_problem(answer, 409, "blue")
        assert (problem["type"], problem["meeting_id"]) == ("/docs#room-taken", holder)


async def test_a_meeting_that_is_not_there_is_not_released(
    database_url: str, tmp_path: Path
) -> None:
    async with served(settings_for(database_url, tmp_path)) as client:
        for each in (str(uuid4()), "nonsense"):
            assert_problem(await client.post(f"/api/meetings/{each}/release"), 404, each)
