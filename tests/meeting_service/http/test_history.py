"""`GET /api/meetings/{id}/history`: the stored events, paged or all at once."""

import json
import re

import asyncpg
import pytest

from tests.meeting_service.http import contract
from tests.meeting_service.http.service import assert_problem

pytestmark = pytest.mark.anyio

NDJSON = {"Accept": "application/x-ndjson"}


async def test_a_history_is_the_stored_events_in_order(client, database_url):
    meeting_id = await client.start(num_rounds=2)
    await client.ended(meeting_id)
    page = (await client.get(f"/api/meetings/{meeting_id}/history")).json()
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        "SELECT originator_version, topic, state FROM meetings_events "
        "WHERE originator_id = $1 ORDER BY 1",
        meeting_id,
    )
    await connection.close()
    assert (page["id"], page["version"], page["has_more"]) == (meeting_id, len(rows), False)
    assert page["next_after"] is None
    for event, (version, topic, state) in zip(page["events"], rows, strict=True):
        stored = json.loads(state)
        assert (event["version"], event["name"]) == (version, topic)
        assert event["data"] == stored["fact"]
        assert re.fullmatch(contract.TIME, event["at"])
        for name in ("event_id", "command_id", "actor"):
            assert event[name] == stored[name]


async def test_pages_join_to_the_whole(client):
    meeting_id = await client.start()
    await client.ended(meeting_id)
    path = f"/api/meetings/{meeting_id}/history"
    whole = (await client.get(path)).json()["events"]
    joined, after = [], 0
    while after is not None:
        page = (await client.get(path, params={"after": after, "limit": 3})).json()
        joined += page["events"]
        assert page["has_more"] is (page["next_after"] is not None)
        after = page["next_after"]
    assert joined == whole
    beyond = (await client.get(path, params={"after": 10_000})).json()
    assert (beyond["events"], beyond["has_more"]) == ([], False)


async def test_asked_for_lines_it_gives_all_events_one_a_line(client, monkeypatch):
    monkeypatch.setattr("meeting_service.http.history.STREAM_PAGE", 3)
    meeting_id = await client.start()
    await client.ended(meeting_id)
    path = f"/api/meetings/{meeting_id}/history"
    answer = await client.get(path, headers=NDJSON)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = answer.text.splitlines()
    assert [json.loads(line) for line in lines] == (await client.get(path)).json()["events"]
    rest = await client.get(path, headers=NDJSON, params={"after": 5})
    assert rest.text.splitlines() == lines[5:]


async def test_the_accept_header_chooses(client, subtests):
    path = f"/api/meetings/{await client.start()}/history"
    for accept, is_lines in (
        ("*/*", False),
        ("application/json", False),
        ("application/json, application/x-ndjson;q=0.5", False),
        ("application/x-ndjson, application/json;q=0.5", True),
        ("application/x-ndjson", True),
        ("text/html", False),
        ("nonsense", False),
        ("", False),
    ):
        with subtests.test(accept=accept):
            answer = await client.get(path, headers={"Accept": accept})
            assert answer.status_code == 200
            assert ("ndjson" in answer.headers["content-type"]) is is_lines


async def test_a_bad_parameter_is_named(client, subtests):
    path = f"/api/meetings/{await client.start()}/history"
    for name, value in (
        ("after", "-1"),
        ("after", "x"),
        ("limit", "0"),
        ("limit", "1001"),
        ("before", "3"),
    ):
        for headers in ({}, NDJSON):
            with subtests.test(name=name, value=value, headers=headers):
                answer = await client.get(path, params={name: value}, headers=headers)
                assert_problem(answer, 400, f"{name}:")


async def test_a_meeting_that_is_not_there_has_no_lines_either(client):
    path = "/api/meetings/00000000-0000-4000-8000-000000000000/history"
    for params in ({}, {"after": "7"}):
        assert_problem(await client.get(path, headers=NDJSON, params=params), 404)
