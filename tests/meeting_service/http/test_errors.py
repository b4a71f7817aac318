"""Errors of no route in particular: paths, methods, a lost database, a bug of ours."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import asyncpg
import pytest

from tests.meeting_service.http import contract
from tests.meeting_service.http.service import (
    BODY,
    STALLED,
    TIMEOUT_SECONDS,
    assert_problem,
    served,
    settings_for,
)

pytestmark = pytest.mark.anyio

READABLE = ("/api/meetings", "/api/agents", "/health/live", "/openapi.json", "/docs")


async def test_an_unknown_path_is_404(client, subtests):
    for path in ("/", "/nope", "/api", "/api/meetings/x/y/z", "/schema", "/api/meetings/history/x"):
        for method in ("GET", "POST", "HEAD", "DELETE"):
            with subtests.test(path=path, method=method):
                answer = await client.request(method, path)
                assert answer.status_code == 404
                assert answer.headers["content-type"] == "application/problem+json"
                if method != "HEAD":
                    assert assert_problem(answer, 404, path).keys() == contract.PROBLEM


async def test_a_method_that_a_path_does_not_take_is_405(client, subtests):
    for method, path, allowed in (
        ("GET", "/api/meetings/start", {"OPTIONS", "POST"}),
        ("DELETE", "/api/meetings", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/api/meetings/x/status", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/api/meetings/x/cancel", {"OPTIONS", "POST"}),
        ("TRACE", "/api/agents", {"GET", "HEAD", "OPTIONS"}),
    ):
        with subtests.test(method=method, path=path):
            answer = await client.request(method, path)
            assert_problem(answer, 405, method)
            assert set(answer.headers["allow"].split(", ")) == allowed


async def test_what_is_no_request_is_a_problem_too(client):
    assert (await client.request("BREW", "/api/agents")).status_code == 400
    stream = await anyio.connect_tcp("127.0.0.1", client.base_url.port)
    async with stream:
        await stream.send(b"GET /api/agents SMTP/9\r\n\r\n")
        received = b""
        with suppress(anyio.EndOfStream):
            while True:
                received += await stream.receive()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body).keys() == contract.PROBLEM


async def test_head_answers_as_get_does_but_for_the_body(client, subtests):
    meeting_id = await client.start()
    await client.ended(meeting_id)
    parts = [f"/api/meetings/{meeting_id}/{part}" for part in ("status", "output", "history")]
    for path in (*READABLE, *parts):
        with subtests.test(path=path):
            head, get = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            for name in ("content-type", "content-length"):
                assert head.headers[name] == get.headers[name]


async def test_options_tell_what_a_path_takes(client):
    answer = await client.options("/api/meetings/start")
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == {"OPTIONS", "POST"}


async def test_a_bug_of_ours_is_500_logged_and_kept_from_the_client(client, monkeypatch, caplog):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret of the house")

    meeting_id = await client.start()
    monkeypatch.setattr("meeting_service.http.meetings.status_view", fail)
    answer = await client.get(f"/api/meetings/{meeting_id}/status")
    assert_problem(answer, 500)
    assert "secret" not in answer.text
    assert "secret" in caplog.text
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
    monkeypatch.undo()
    assert (await client.status(meeting_id))["id"] == meeting_id


async def test_without_its_database_the_service_still_stops_in_time(
    database_url: str, admin_dsn: str, tmp_path: Path
) -> None:
    settings = settings_for(
        database_url, tmp_path, gateways=STALLED, drain_seconds=1.0, lease_seconds=1.0
    )
    async with AsyncExitStack() as stack:
        async with served(settings) as client:
            await client.start()
            await stack.enter_async_context(unreachable_database(database_url, admin_dsn))
            before = anyio.current_time()
        assert anyio.current_time() - before < settings.drain_seconds + 0.5
    async with served(settings_for(database_url, tmp_path)) as client:
        meetings = (await client.get("/api/meetings")).json()["meetings"]
        assert (await client.ended(meetings[0]["id"]))["state"] == "complete"


@asynccontextmanager
async def unreachable_database(url: str, admin_dsn: str) -> AsyncIterator[None]:
    """Let nobody connect to a database, and throw everybody out."""
    name = url.partition("@/")[2].partition("?")[0]
    admin = await asyncpg.connect(admin_dsn)
    try:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


async def test_without_its_database_the_service_says_503_and_comes_back(
    stalled, database_url, admin_dsn, caplog
):
    caplog.set_level(logging.CRITICAL)
    meeting_id = await stalled.start()
    async with unreachable_database(database_url, admin_dsn):
        path = f"/api/meetings/{meeting_id}"
        for method, url, body in (
            ("GET", f"{path}/status", None),
            ("GET", f"{path}/history", None),
            ("GET", f"{path}/events", None),
            ("GET", "/api/meetings", None),
            ("POST", f"{path}/cancel", None),
            ("POST", "/api/meetings/start", BODY),
            ("GET", "/health/ready", None),
        ):
            answer = await stalled.request(method, url, json=body)
            assert_problem(answer, 503, "database")
            assert int(answer.headers["retry-after"]) > 0
            assert "connect" not in answer.text
        assert (await stalled.get("/health/live")).status_code == 200
        assert (await stalled.get("/api/agents")).status_code == 200
    with anyio.fail_after(TIMEOUT_SECONDS):
        while (await stalled.get("/health/ready")).status_code != 200:
            await anyio.lowlevel.checkpoint()
    assert (await stalled.status(meeting_id))["state"] == "round_1"
    assert (await stalled.post(f"/api/meetings/{meeting_id}/cancel")).status_code == 200


async def test_health_says_how_many_meetings_run_here(stalled):
    await stalled.start()
    health = {"status": "ok", "running_meetings": 1}
    assert (await stalled.get("/health/live")).json() == health
    assert (await stalled.get("/health/ready")).json() == health
