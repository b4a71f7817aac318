"""The whole service inside a test's own loop, on a real server and a real database."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx2

from meeting_service.app import running
from meeting_service.settings import DatabaseUrl, ScriptedGateway, Settings

TIMEOUT_SECONDS = 20
PROBLEM = "application/problem+json"

FAST = {"scripted": ScriptedGateway(words_per_delta=0)}
STALLED = {"scripted": ScriptedGateway(delay_seconds=3_600)}
"""Gateways that answer at once, and one that answers after any test has ended."""

BODY: dict[str, Any] = {"goal": "Decide", "participants": ["planner", "dev"], "num_rounds": 1}
"""A valid start; a test shows only what it changes."""


class Client(httpx2.AsyncClient):
    """A client of one service."""

    async def start(self, headers: Mapping[str, str] | None = None, **changes: Any) -> str:
        """Start a meeting; return its id."""
        answer = await self.post("/api/meetings/start", json={**BODY, **changes}, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def ended(self, meeting_id: str) -> dict[str, Any]:
        """Watch a meeting to its end; return its status then."""
        url = f"/api/meetings/{meeting_id}/events"
        with anyio.fail_after(TIMEOUT_SECONDS):
            async with self.stream("GET", url) as stream:
                async for _ in stream.aiter_bytes():
                    pass
        return await self.status(meeting_id)

    async def watched(
        self, meeting_id: str, on_first: Callable[[], None] = lambda: None
    ) -> list[tuple[str, str, dict[str, Any]]]:
        """Watch a meeting to its end; return the name, id and data of each event."""
        url = f"/api/meetings/{meeting_id}/events"
        with anyio.fail_after(TIMEOUT_SECONDS):
            async with self.sse(url) as source:
                events = []
                async for event in source:
                    if event.data:
                        on_first()
                        events.append((event.event, event.id, json.loads(event.data)))
                return events

    async def wait_for(self, meeting_id: str, event: str) -> None:
        """Watch a meeting until this event."""
        url = f"/api/meetings/{meeting_id}/events"
        with anyio.fail_after(TIMEOUT_SECONDS):
            async with self.stream("GET", url) as stream:
                async for line in stream.aiter_lines():
                    if line == f"event: {event}":
                        return
        raise AssertionError(f"{event} never came")

    async def status(self, meeting_id: str) -> dict[str, Any]:
        answer = await self.get(f"/api/meetings/{meeting_id}/status")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def facts(self, meeting_id: str) -> list[dict[str, Any]]:
        """Read the whole history."""
        answer = await self.get(f"/api/meetings/{meeting_id}/history", params={"limit": 1000})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["events"])


def settings_for(database_url: str, folder: Path, **changes: Any) -> Settings:
    """Settings of a service that stops at once when it has to."""
    fields = {
        "database_url": DatabaseUrl(database_url),
        "output_dir": folder / "minutes",
        "port": 0,
        "gateways": FAST,
        "drain_seconds": 0.2,
        "log_level": "error",
    }
    return Settings(**{**fields, **changes})


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Client]:
    """Run a service, and give a client of it."""
    async with (
        running(settings) as url,
        Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
    ):
        yield client


async def count_events(database_url: str) -> int:
    """Count what is stored, past the service."""
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM meetings_events"))
    finally:
        await connection.close()


def assert_problem(answer: httpx2.Response, status: int, *words: str) -> dict[str, Any]:
    """Check that an answer is a whole problem document whose detail has these words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem = dict(answer.json())
    assert {"type", "title", "status", "detail", "instance"} <= problem.keys()
    assert problem["status"] == status
    assert problem["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
    for word in words:
        assert word in problem["detail"], problem
    return problem
