"""A service killed with -9 at any point: after the restart every meeting goes on, exactly once."""

import random
from collections import Counter
from pathlib import Path
from uuid import UUID

import anyio
import asyncpg
import httpx
import pytest
from eventsourcing.persistence import StoredEvent

from meeting_core import MeetingEvent, MeetingMapper, fold, rebuild_brief
from meeting_core.events import (
    Adopted,
    AttemptAbandoned,
    AttemptStarted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.meeting import Meeting
from tests.model_peer import ModelPeer
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.anyio

SETTINGS = """\
default_gateway = "peer"
lease_seconds = 1
{more}
[gateways.peer]
kind = "openai_compatible"
base_url = "{url}"
"""
TEAM = [{"id": agent, "name": agent.title()} for agent in ("planner", "dev", "qa")]


class World:
    """One database, one model, one service that dies on demand."""

    def __init__(self, folder: Path, database_url: str, peer: ModelPeer, peer_url: str) -> None:
        self.database_url = database_url
        self.peer = peer
        self.folder = folder
        self.peer_url = peer_url
        self.service = self.new_service()
        peer.before_reply = self.check_intent

    def new_service(self, more: str = "") -> ServiceProcess:
        settings = SETTINGS.format(url=self.peer_url, more=more)
        return ServiceProcess(self.folder, settings, "--database-url", self.database_url)

    async def check_intent(self, call_key: str) -> None:
        """Every request the model sees has an earlier committed `AttemptStarted`."""
        meeting_id, task, number = call_key.split("/")
        started = [
            (event.fact.task.key, event.fact.number)
            for event in await self.history(meeting_id)
            if isinstance(event.fact, AttemptStarted)
        ]
        assert (task, int(number)) in started

    async def history(self, meeting_id: str) -> list[MeetingEvent]:
        connection = await asyncpg.connect(self.database_url)
        try:
            rows = await connection.fetch(
                "SELECT originator_version, topic, state FROM meetings_events "
                "WHERE originator_id = $1 ORDER BY 1",
                UUID(meeting_id),
            )
        finally:
            await connection.close()
        return MeetingMapper().to_meeting_events(
            StoredEvent(UUID(meeting_id), *row) for row in rows
        )

    async def convene(self, **fields: object) -> str:
        body = {"goal": "Survive", "participants": TEAM, "num_rounds": 2, **fields}
        async with httpx.AsyncClient(base_url=self.service.url) as client:
            answer = await client.post("/api/meetings/start", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def ended(self, meeting_id: str) -> Meeting:
        """Watch the feed to its end."""
        url = f"{self.service.url}/api/meetings/{meeting_id}/events"
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream("GET", url) as stream,
        ):
            async for _ in stream.aiter_lines():
                pass
        meeting = fold(await self.history(meeting_id))
        assert meeting.has_ended
        return meeting


@pytest.fixture
async def world(tmp_path: Path, database_url: str):
    peer = ModelPeer()
    async with peer.listening() as url:
        made = World(tmp_path, database_url, peer, url)
        yield made
        made.service.kill()


def assert_sound(meeting: Meeting, history: list[MeetingEvent]) -> None:
    assert meeting.state == "complete"
    endings = Counter(
        (event.fact.round_num, event.fact.agent_id)
        for event in history
        if isinstance(event.fact, TurnCompleted | TurnSkipped)
    )
    assert set(endings.values()) == {1}
    assert len(endings) == meeting.config.num_rounds * len(meeting.config.participants)
    texts = [turn.text for turn in meeting.turns]
    assert len(texts) == len(set(texts))
    for event in history:
        if isinstance(event.fact, AttemptStarted):
            fact = event.fact
            brief = rebuild_brief(meeting, fact.task, fact.agent_id, event.originator_version)
            assert brief.digest == fact.digest


@pytest.mark.parametrize("moment", ["round-1-planner", "round-2-dev", "synthesis"])
async def test_a_meeting_killed_during_a_call_goes_on(world: World, moment: str) -> None:
    async def kill_once(call_key: str) -> None:
        await world.check_intent(call_key)
        if f"/{moment}/1" in call_key:
            world.service.kill()

    world.peer.before_reply = kill_once
    await world.service.start()
    meeting_id = await world.convene()
    await world.service.ended()
    await world.service.start()
    meeting = await world.ended(meeting_id)
    history = await world.history(meeting_id)
    assert_sound(meeting, history)
    facts = [event.fact for event in history]
    abandoned = [fact for fact in facts if isinstance(fact, AttemptAbandoned)]
    assert [(fact.task.key, fact.cause) for fact in abandoned] == [(moment, "restart")]
    assert abandoned[0].charged > 0
    assert sum(isinstance(fact, Adopted) for fact in facts) == 1


async def test_a_meeting_killed_between_the_last_turn_and_the_synthesis_goes_on(
    world: World,
) -> None:
    async def kill_after_last_turn(call_key: str) -> None:
        if "/round-2-qa/1" in call_key:
            world.service.kill()

    world.peer.after_reply = kill_after_last_turn
    await world.service.start()
    meeting_id = await world.convene()
    await world.service.ended()
    await world.service.start()
    assert_sound(await world.ended(meeting_id), await world.history(meeting_id))


async def test_many_meetings_survive_kills_at_random_points(world: World) -> None:
    chance = random.Random(7)
    await world.service.start()
    meeting_ids = [await world.convene(title=f"Meeting {n}") for n in range(6)]
    for _ in range(5):
        fatal = len(world.peer.seen) + chance.randint(1, 8)
        died = anyio.Event()

        async def kill_at(call_key: str, fatal: int = fatal, died: anyio.Event = died) -> None:
            await world.check_intent(call_key)
            if len(world.peer.seen) >= fatal and not died.is_set():
                died.set()
                world.service.kill()

        world.peer.before_reply = kill_at
        with anyio.move_on_after(10):
            await died.wait()
        world.service.kill()
        await world.service.ended()
        world.peer.before_reply = world.check_intent
        await world.service.start()
    for meeting_id in meeting_ids:
        assert_sound(await world.ended(meeting_id), await world.history(meeting_id))


async def test_a_meeting_that_kills_its_process_at_every_start_fails_after_five_claims(
    world: World,
) -> None:
    async def kill_always(_: str) -> None:
        world.service.kill()

    world.peer.before_reply = kill_always
    await world.service.start()
    meeting_id = await world.convene()
    for _ in range(5):
        await world.service.ended()
        await world.service.start()
    await world.service.ended()
    await world.service.start()
    meeting = await world.ended(meeting_id)
    assert (meeting.state, meeting.failure) == ("error", "crash_loop")
    assert len(world.peer.seen) == 6


async def test_a_meeting_fails_on_restart_where_recovery_is_set_to_fail(world: World) -> None:
    async def kill(_: str) -> None:
        world.service.kill()

    world.peer.before_reply = kill
    world.service = world.new_service('recovery = "fail"')
    await world.service.start()
    meeting_id = await world.convene()
    await world.service.ended()
    await world.service.start()
    meeting = await world.ended(meeting_id)
    assert (meeting.state, meeting.failure) == ("error", "orchestrator_restart")
