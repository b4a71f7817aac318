"""One database, one model, one service that dies on demand, and what must hold after it."""

from collections import Counter
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx2
from eventsourcing.persistence import StoredEvent

from meeting_core import MeetingEvent, MeetingMapper, fold, rebuild_brief
from meeting_core.model import AttemptStarted, Meeting, TurnCompleted, TurnSkipped
from tests.model_peer import ModelPeer
from tests.service_process import ServiceProcess

SETTINGS = """\
default_gateway = "peer"
lease_seconds = 1
{more}
[gateways.peer]
kind = "openai_compatible"
base_url = "{url}"
model = "peer"
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
        async with httpx2.AsyncClient(base_url=self.service.url) as client:
            answer = await client.post("/api/meetings/start", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def ended(self, meeting_id: str) -> Meeting:
        """Watch the feed to its end."""
        url = f"{self.service.url}/api/meetings/{meeting_id}/events"
        async with (
            httpx2.AsyncClient(timeout=60) as client,
            client.stream("GET", url) as stream,
        ):
            async for _ in stream.aiter_lines():
                pass
        meeting = fold(await self.history(meeting_id))
        assert meeting.has_ended
        return meeting


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
            assert rebuild_brief(history, event.fact).digest == event.fact.digest
