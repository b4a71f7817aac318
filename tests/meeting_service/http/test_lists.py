"""`GET /api/meetings`, and `/history` as older clients call it."""

import re

import asyncpg
import pytest

from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.meeting_service.http import contract
from tests.meeting_service.http.service import Client, assert_problem

pytestmark = pytest.mark.anyio


BAD_PARAMETERS = [
    ("days", "0"),
    ("days", "-1"),
    ("days", "abc"),
    ("days", ""),
    ("days", "1.5"),
    ("days", "1e3"),
    ("days", "3.0"),
    ("days", " 3"),
    ("days", "\u0663"),
    ("days", "99999999999999999999999"),
    ("limit", "0"),
    ("limit", "101"),
    ("limit", "true"),
    ("offset", "-1"),
    ("offset", "9999999999999"),
    ("state", "done"),
    ("state", ""),
    ("state", "round_0"),
    ("state", "round_x"),
    ("state", "in_round"),
    ("room_id", "a\0"),
    ("project_id", "\0"),
    ("cursor", ""),
    ("cursor", "abc"),
    ("cursor", "caf\u00e9"),
    ("cursor", "A" * 31 + "!"),
    ("cursor", "A" * 64),
    ("cursor", "Q" + "A" * 31),
    ("page", "2"),
    ("room", "blue"),
]


async def titles(client: Client, **params: object) -> list[str]:
    answer = await client.get("/api/meetings", params={k: str(v) for k, v in params.items()})
    assert answer.status_code == 200, answer.text
    return [each["title"] for each in answer.json()["meetings"]]


async def test_a_list_has_every_field_of_the_contract(client):
    status = await client.ended(
        await client.start(title="Sync", room_id="blue", project_id="atlas")
    )
    page = (await client.get("/api/meetings")).json()
    assert page.keys() >= contract.LIST
    assert (page["total"], page["has_more"], page["next_cursor"]) == (1, False, None)
    row = page["meetings"][0]
    assert row.keys() >= contract.SUMMARY
    shared = contract.SUMMARY & status.keys()
    assert {name: row[name] for name in shared} == {name: status[name] for name in shared}
    assert row["participant_count"] == 2
    assert row["participant_names"] == ["Pat Planner", "Devi Developer"]
    assert row["num_rounds"] == 1
    assert row["duration_seconds"] >= 0
    assert re.fullmatch(contract.TIME, row["completed_at"])


async def test_a_live_meeting_is_listed_as_it_stands(stalled):
    meeting_id = await stalled.start()
    row = (await stalled.get("/api/meetings")).json()["meetings"][0]
    assert (row["state"], row["duration_seconds"], row["completed_at"]) == ("round_1", None, None)
    await stalled.post(f"/api/meetings/{meeting_id}/cancel")
    row = (await stalled.get("/api/meetings")).json()["meetings"][0]
    assert (row["state"], row["completed_at"]) == ("cancelled", None)
    assert row["duration_seconds"] >= 0


async def test_the_older_path_answers_the_same(stalled):
    await stalled.start()
    pages = [(await stalled.get(f"/api/meetings{end}")).content for end in ("", "/", "/history")]
    assert len(set(pages)) == 1


async def test_filters_choose_and_add_up(stalled):
    await stalled.start(title="one", room_id="blue", project_id="atlas")
    await stalled.start(title="two", room_id="green", project_id="atlas")
    gone = await stalled.start(title="three", room_id="red")
    await stalled.post(f"/api/meetings/{gone}/cancel")
    assert await titles(stalled) == ["three", "two", "one"]
    assert await titles(stalled, project_id="atlas") == ["two", "one"]
    assert await titles(stalled, project_id="atlas", room_id="blue") == ["one"]
    assert await titles(stalled, state="cancelled") == ["three"]
    assert await titles(stalled, state="round_1", limit=1) == ["two"]
    assert await titles(stalled, room_id="nowhere") == []
    assert await titles(stalled, offset=1) == ["two", "one"]
    assert await titles(stalled, offset=7) == []
    empty = (await stalled.get("/api/meetings", params={"offset": 7})).json()
    assert (empty["total"], empty["has_more"]) == (3, False)


async def test_only_the_last_days_are_listed(stalled, database_url):
    old = await stalled.start(title="old")
    await stalled.start(title="new")
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE meetings_summaries SET created_at = now() - interval '40 days' "
        "WHERE meeting_id = $1",
        old,
    )
    await connection.close()
    assert await titles(stalled) == ["new"]
    assert await titles(stalled, days=39) == ["new"]
    assert await titles(stalled, days=41) == ["new", "old"]


async def test_cursors_lead_through_all_pages_whatever_is_added_meanwhile(stalled):
    expected = [f"meeting {n}" for n in range(7)]
    for title in expected:
        await stalled.start(title=title)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(4):
        page = (await stalled.get("/api/meetings", params={"limit": "2", **cursor})).json()
        seen += [each["title"] for each in page["meetings"]]
        await stalled.start(title="later")
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert page["next_cursor"] is None
    assert seen == expected[::-1]


async def test_a_page_is_one_query_whatever_its_length(stalled, monkeypatch):
    for _ in range(5):
        await stalled.start()
    asked = []
    fetch = PostgresRecorder._fetch

    async def counting(self: PostgresRecorder, name: str, *arguments: object) -> object:
        asked.append(name)
        return await fetch(self, name, *arguments)

    monkeypatch.setattr(PostgresRecorder, "_fetch", counting)
    assert len(await titles(stalled)) == 5
    assert [name for name in asked if "lease" not in name] == ["select_summaries"]


async def test_a_bad_parameter_is_named(client, subtests):
    for name, value in BAD_PARAMETERS:
        with subtests.test(name=name, value=value):
            answer = await client.get("/api/meetings", params={name: value})
            problem = assert_problem(answer, 400, f"{name}:")
            assert [each["field"] for each in problem["errors"]] == [name]


async def test_a_parameter_given_twice_is_named(client):
    assert_problem(await client.get("/api/meetings?limit=1&limit=2"), 400, "limit:")
    assert_problem(await client.get("/api/meetings?days=0&limit=0"), 400, "days:", "limit:")


async def test_minutes_files_are_listed_by_their_path(client):
    await client.ended(await client.start())
    row = (await client.get("/api/meetings")).json()["meetings"][0]
    assert row["output_path"].endswith(".md")
