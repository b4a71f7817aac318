"""Readiness tells whether the background loops of the process work."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from meeting_service import app
from meeting_service.background_loops import BackgroundLoops
from meeting_service.store.postgres.recorder import PostgresRecorder
from tests.meeting_service.http.service import (
    TIMEOUT_SECONDS,
    Client,
    assert_problem,
    served,
    settings_for,
)

pytestmark = pytest.mark.anyio


async def until_ready_is(client: Client, status: int) -> Any:
    with anyio.fail_after(TIMEOUT_SECONDS):
        while (answer := await client.get("/health/ready")).status_code != status:
            await anyio.lowlevel.checkpoint()
    return answer


async def test_a_loop_that_keeps_failing_makes_the_process_unready_and_no_less_alive(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(BackgroundLoops, first_backoff_seconds=0.001, max_backoff_seconds=0.01)
    monkeypatch.setattr(app, "BackgroundLoops", quick)
    failing = True
    wait = PostgresRecorder.wait_for_gateways

    async def fail(recorder: PostgresRecorder, *arguments: Any, **named: Any) -> Any:
        if failing:
            raise ValueError("odd")
        return await wait(recorder, *arguments, **named)

    monkeypatch.setattr(PostgresRecorder, "wait_for_gateways", fail)
    async with served(settings_for(database_url, tmp_path)) as client:
        answer = await until_ready_is(client, 503)
        problem = assert_problem(answer, 503, "'missing gateways' keeps failing: ValueError: odd")
        assert problem["type"] == "/docs#not-ready"
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.ended(await client.start()))["state"] == "complete"
        failing = False
        await until_ready_is(client, 200)
