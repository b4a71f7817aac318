"""The feed of the whole service: PostgreSQL, runners, gateway and server, as a client sees it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx2
import pytest

from meeting_service.app import running
from meeting_service.feed.encoded_events import EventEncoder
from meeting_service.settings import DatabaseUrl, ScriptedGateway, Settings
from tests.feed_world import MAX_WAIT_SECONDS, Shown

pytestmark = pytest.mark.anyio

AGENTS = ["planner", "dev", "design"]


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(
        database_url=DatabaseUrl(database_url),
        output_dir=tmp_path,
        port=0,
        gateways={"scripted": ScriptedGateway(chunk_delay_seconds=0.001)},
    )
    async with (
        running(settings) as url,
        httpx2.AsyncClient(base_url=url, timeout=MAX_WAIT_SECONDS, trust_env=False) as client,
    ):
        yield client


async def start(client: httpx2.AsyncClient) -> str:
    body = {"goal": "Decide", "participants": AGENTS, "num_rounds": 2}
    response = await client.post("/api/meetings/start", json=body)
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def watch(
    client: httpx2.AsyncClient, path: str, last: int | None = None, end: str = ""
) -> list[Shown]:
    """Read a stream to its end, or to the first event of a name."""
    shown: list[Shown] = []
    seen = ""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with anyio.fail_after(MAX_WAIT_SECONDS):
        async with client.sse(path, headers=headers) as source:
            source.response.raise_for_status()
            async for event in source:
                # An id stays in force until the next one, so an unchanged one is not its own.
                own, seen = event.id != seen, event.id
                if event.data:
                    number = int(event.id) if own else None
                    shown.append(Shown(number, event.event, json.loads(event.data)))
                if shown and shown[-1].event == end:
                    break
    return shown


async def test_a_meeting_is_shown_from_its_start_to_its_end(client):
    meeting_id = await start(client)
    path = f"/api/meetings/{meeting_id}/events"
    shown = await watch(client, path)
    numbered = [each for each in shown if each.id is not None]
    assert [each.event for each in numbered] == [
        "meeting-started",
        *["meeting-state", *["meeting-turn-start", "meeting-turn"] * len(AGENTS)] * 2,
        "meeting-synthesis",
        "meeting-complete",
    ]
    assert all(each.id == each.data["version"] for each in numbered)
    ids = [each.id for each in numbered]
    assert ids == sorted(set(ids))
    again = await watch(client, path, last=ids[5])
    assert again == numbered[6:]
    end = await client.get(path, headers={"Last-Event-ID": str(ids[-1])})
    assert end.status_code == 204


async def test_what_an_agent_says_comes_piece_by_piece_within_its_turn(client):
    shown = await watch(client, f"/api/meetings/{await start(client)}/events")
    speaking, text, pieces = None, "", 0
    for each in shown:
        if each.event == "meeting-turn-start":
            speaking, text = (each.data["round"], each.data["agent_id"]), ""
        elif each.event == "meeting-turn-delta":
            assert (each.data["round"], each.data["agent_id"]) == speaking
            text, pieces = text + each.data["text"], pieces + 1
        elif each.event == "meeting-turn":
            # Whoever comes within a turn gets the rest of its text.
            assert text.strip() in each.data["response"]
            speaking = None
    assert pieces > 0


async def test_all_meetings_are_shown_in_one_order_to_everybody(client):
    seen: list[list[Shown]] = []

    async def watch_all() -> None:
        seen.append(await watch(client, "/api/events", last=0, end="meeting-complete"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch_all)
        tasks.start_soon(watch_all)
        first = await start(client)
    one, other = ([each for each in shown if each.id is not None] for shown in seen)
    assert one == other
    assert {each.data["meeting_id"] for each in one} == {first}
    narrowed = f"/api/events?meeting_id={first}"
    assert await watch(client, narrowed, last=0, end="meeting-complete") == one


async def test_the_feed_folds_none_of_the_events_that_its_own_process_stores(client, monkeypatch):
    folded = []

    async def fold_again(encoder, stored, meeting_id):
        folded.append(stored)
        return await fold(encoder, stored, meeting_id)

    fold = EventEncoder._fold
    monkeypatch.setattr(EventEncoder, "_fold", fold_again)
    ended = 0
    with anyio.fail_after(MAX_WAIT_SECONDS):
        async with client.stream("GET", "/api/events", headers={"Last-Event-ID": "0"}) as stream:
            lines = stream.aiter_lines()
            await anext(lines)  # the stream is open
            for _ in range(8):
                await start(client)
            async for line in lines:
                ended += line == "event: meeting-complete"
                if ended == 8:
                    break
    assert folded == []


async def test_errors_name_what_is_wrong(client):
    meeting_id = await start(client)
    path = f"/api/meetings/{meeting_id}/events"
    refused = await client.get(path, params={"last_event_id": "soon"})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["errors"][0]["field"] == "last_event_id"
    unknown = await client.get("/api/meetings/nobody/events")
    assert (unknown.status_code, unknown.json()["title"]) == (404, "There is no such meeting")
