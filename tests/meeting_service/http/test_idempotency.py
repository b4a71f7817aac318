"""`Idempotency-Key`: the same request again starts nothing and is answered as the first time."""

import json
from pathlib import Path

import anyio
import pytest

from meeting_service.settings import AgentSettings
from tests.meeting_service.http.service import (
    BODY,
    STALLED,
    assert_problem,
    count_events,
    served,
    settings_for,
)

pytestmark = pytest.mark.anyio

START = "/api/meetings/start"
KEY = {"Idempotency-Key": "order 66"}


async def test_the_same_request_again_gives_the_same_bytes_and_starts_nothing(client, database_url):
    first = await client.post(START, json=BODY, headers=KEY)
    assert first.status_code == 201
    await client.ended(first.json()["id"])
    stored = await count_events(database_url)
    again = await client.post(START, json=BODY, headers=KEY)
    assert (again.status_code, again.content) == (201, first.content)
    assert await count_events(database_url) == stored


async def test_the_same_request_may_be_written_in_another_way(stalled):
    first = await stalled.post(START, json=BODY, headers=KEY)
    rewritten = json.dumps(
        {**dict(reversed(BODY.items())), "title": "Team Meeting", "room_id": None}, indent=4
    )
    headers = {**KEY, "content-type": "application/json"}
    again = await stalled.post(START, content=rewritten, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)


async def test_another_body_with_the_same_key_is_422(stalled, database_url):
    first = await stalled.start(headers=KEY)
    stored = await count_events(database_url)
    other = await stalled.post(START, json={**BODY, "goal": "Another"}, headers=KEY)
    assert assert_problem(other, 422, "Idempotency-Key")["meeting_id"] == first
    assert await count_events(database_url) == stored


async def test_of_equal_requests_at_once_one_starts_and_all_are_answered_alike(stalled):
    answers = []

    async def start() -> None:
        body = {**BODY, "room_id": "blue"}
        answers.append(await stalled.post(START, json=body, headers=KEY))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(start)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert (await stalled.get("/api/meetings")).json()["total"] == 1


async def test_of_different_requests_at_once_one_wins_and_the_others_are_422(stalled):
    statuses: list[int] = []

    async def start(goal: str) -> None:
        answer = await stalled.post(START, json={**BODY, "goal": goal}, headers=KEY)
        statuses.append(answer.status_code)

    async with anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(start, f"goal {n}")
    assert sorted(statuses) == [201, *[422] * 9]


async def test_a_repeat_is_answered_whatever_has_changed_since(
    database_url: str, tmp_path: Path
) -> None:
    body = {**BODY, "room_id": "blue"}
    agents = {"planner": AgentSettings(), "dev": AgentSettings()}
    settings = settings_for(database_url, tmp_path, gateways=STALLED, agents=agents)
    async with served(settings) as client:
        first = await client.post(START, json=body, headers=KEY)
        assert first.status_code == 201
    changed = settings_for(
        database_url,
        tmp_path,
        gateways=STALLED,
        agents={"dev": AgentSettings(name="Renamed")},
        max_live_meetings=1,
        attempt_timeout_seconds=10.0,
        turn_timeout_seconds=10.0,
    )
    async with served(changed) as client:
        again = await client.post(START, json=body, headers=KEY)
        assert (again.status_code, again.content) == (201, first.content)


async def test_a_refused_request_leaves_its_key_free(client):
    bad = {**BODY, "num_rounds": 9}
    assert (await client.post(START, json=bad, headers=KEY)).status_code == 400
    assert (await client.post(START, json=BODY, headers=KEY)).status_code == 201


async def test_another_key_starts_another_meeting_and_so_does_none(stalled):
    ids = {await stalled.start(headers={"Idempotency-Key": key}) for key in ("a", "b", "a" * 255)}
    ids |= {await stalled.start(), await stalled.start()}
    assert len(ids) == 5


async def test_a_key_that_is_none_is_refused(client, database_url, subtests):
    for key in ("", "x" * 256, "caf\u00e9", "tab\there"):
        with subtests.test(key=key):
            headers = {"Idempotency-Key": key.encode("latin-1")}
            answer = await client.post(START, json=BODY, headers=headers)
            assert_problem(answer, 400, "Idempotency-Key:")
    assert await count_events(database_url) == 0


async def test_two_keys_are_refused(client):
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert_problem(await client.post(START, json=BODY, headers=headers), 400, "Idempotency-Key:")
