"""Whole meetings of the whole service, in its own process, with a real model on a real server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from meeting_service.local_model import MODEL, running_local_model
from tests.real_model.server_state import calls_under_way, until_idle
from tests.service_process import ServiceProcess

# Much of it is reading briefs, at a hundred tokens a second and fewer on a busy machine.
pytestmark = [pytest.mark.anyio, pytest.mark.timeout(250)]

SETTINGS = """\
default_gateway = "local"

[gateways.local]
kind = "openai_compatible"
base_url = "{base_url}"
model = "{model}"
# The model never ends by itself: what ends a reply is its cap, or who asked for it.
extra_body = {{ temperature = 0.0, ignore_eos = true }}

[agents.planner]
name = "Pat Planner"

[agents.dev]
name = "Devi Developer"
"""
BODY: dict[str, Any] = {
    "goal": "Choose a day for the release.",
    "participants": ["planner", "dev"],
    "num_rounds": 1,
    "max_tokens_per_turn": 32,
    "min_tokens_per_turn": 8,
    "synthesis_max_tokens": 64,
}
LONG_REMARK = "No customer has a holiday then. " * 110
LONG_TURN_TOKENS = 1_500
"""Enough to be met in the middle of a turn."""
MAX_MEETING_SECONDS = 200.0
SMALL_CONTEXT_TOKENS = 768


@pytest.fixture(scope="module")
def forgetful_model_url() -> Iterator[str]:
    """A server whose context is smaller than a brief with the long remark."""
    with running_local_model(context_tokens=SMALL_CONTEXT_TOKENS) as base_url:
        yield base_url


@asynccontextmanager
async def service(
    base_url: str, database_url: str, folder: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    """Run `meetings serve` with the model of a server; give a client of it."""
    settings = SETTINGS.format(base_url=base_url, model=MODEL)
    process = ServiceProcess(folder, settings, "--database-url", database_url)
    async with (
        process as started,
        httpx2.AsyncClient(
            base_url=started.url, timeout=MAX_MEETING_SECONDS, trust_env=False
        ) as client,
    ):
        yield client


async def start(client: httpx2.AsyncClient, **changes: Any) -> str:
    """Start a meeting; return its path."""
    answer = await client.post("/api/meetings/start", json={**BODY, **changes})
    assert answer.status_code == 201, answer.text
    return f"/api/meetings/{answer.json()['id']}"


async def read(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until(client: httpx2.AsyncClient, meeting: str, event: str | None) -> None:
    """Watch a meeting until an event, or to its end."""
    with anyio.fail_after(MAX_MEETING_SECONDS):
        async with client.stream("GET", f"{meeting}/events") as stream:
            async for line in stream.aiter_lines():
                if line == f"event: {event}":
                    return
    assert event is None, f"{event} never came"


async def attempts_of(client: httpx2.AsyncClient, meeting: str) -> list[dict[str, Any]]:
    return list((await read(client, f"{meeting}/spending"))["attempts"])


def cap_of(attempt: dict[str, Any]) -> int:
    turn, minutes = BODY["max_tokens_per_turn"], BODY["synthesis_max_tokens"]
    return int(minutes if attempt["task"] == "synthesis" else turn)


async def test_a_meeting_ends_with_minutes_within_its_caps_and_its_usage_is_the_models(
    real_model_url: str, database_url: str, tmp_path: Path
) -> None:
    async with service(real_model_url, database_url, tmp_path) as client:
        meeting = await start(client)
        await until(client, meeting, None)
        status = await read(client, f"{meeting}/status")
        assert status["state"] == "complete", status
        (turns,) = (each["turns"] for each in status["rounds"])
        assert [turn["agent_id"] for turn in turns] == ["planner", "dev"]
        assert all(turn["response"] for turn in turns)
        output = await read(client, f"{meeting}/output")
        assert output["outcome"]["author"] == "planner"
        assert await anyio.Path(output["output_path"]).read_text("utf-8") == output["output_md"]
        attempts = await attempts_of(client, meeting)
    assert {attempt["task"] for attempt in attempts} == {
        "round-1-planner",
        "round-1-dev",
        "synthesis",
    }
    for attempt in attempts:
        assert attempt["outcome"] in {"completed", "drafted"}, attempt
        assert attempt["source"] == "reported"
        assert attempt["answered_by"] == MODEL
        assert attempt["completion_tokens"] == cap_of(attempt)
        assert attempt["prompt_tokens"] > 0
        assert attempt["charged_tokens"] == sum(
            attempt[f"{kind}_tokens"] for kind in ("prompt", "completion")
        )


async def test_cancelling_a_meeting_stops_the_generation(
    real_model_url: str, database_url: str, tmp_path: Path
) -> None:
    async with service(real_model_url, database_url, tmp_path) as client:
        meeting = await start(client, max_tokens_per_turn=LONG_TURN_TOKENS)
        await until(client, meeting, "meeting-turn-delta")
        assert await calls_under_way(real_model_url) == 1
        answer = await client.post(f"{meeting}/cancel")
        assert answer.status_code == 200, answer.text
        await until_idle(real_model_url)
        await until(client, meeting, None)
        assert (await read(client, f"{meeting}/status"))["state"] == "cancelled"


async def test_the_end_of_the_service_stops_the_generation(
    real_model_url: str, database_url: str, tmp_path: Path
) -> None:
    # Leaving the block kills the process.
    async with service(real_model_url, database_url, tmp_path) as client:
        meeting = await start(client, max_tokens_per_turn=LONG_TURN_TOKENS)
        await until(client, meeting, "meeting-turn-delta")
        assert await calls_under_way(real_model_url) == 1
    await until_idle(real_model_url)


async def test_a_brief_that_is_too_long_for_the_model_is_shortened_and_the_meeting_goes_on(
    forgetful_model_url: str, database_url: str, tmp_path: Path
) -> None:
    async with service(forgetful_model_url, database_url, tmp_path) as client:
        meeting = await start(client)
        await until(client, meeting, "meeting-turn-delta")
        remark = {"author": "Olivia", "text": LONG_REMARK}
        answer = await client.post(f"{meeting}/remarks", json=remark)
        assert answer.status_code == 200, answer.text
        await until(client, meeting, None)
        status = await read(client, f"{meeting}/status")
        attempts = await attempts_of(client, meeting)
    assert status["state"] == "complete", status
    assert [
        (attempt["number"], attempt["outcome"])
        for attempt in attempts
        if attempt["task"] == "round-1-dev"
    ] == [(1, "failed:context_too_long"), (2, "completed")]
    refused, shortened = (each for each in attempts if each["task"] == "round-1-dev")
    assert refused["charged_tokens"] == 0
    assert shortened["reserved_tokens"] < refused["reserved_tokens"]
    assert status["outcome"]["author"] == "planner"
