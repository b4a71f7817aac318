"""PostgreSQL killed with -9 under load: the service says 503, comes back, and loses nothing."""

import os
import signal
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.model_peer import ModelPeer
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.anyio

SETTINGS = """\
default_gateway = "peer"
[gateways.peer]
kind = "openai_compatible"
base_url = "{url}"
model = "peer"
"""
BODY = {"goal": "Survive", "participants": ["planner", "dev"], "num_rounds": 1}


async def test_nothing_acknowledged_is_lost_when_postgres_is_killed(short_folder: Path) -> None:
    peer = ModelPeer()
    data = short_folder / "data"
    acknowledged: list[str] = []
    statuses: set[int] = set()
    has_failed, is_back = anyio.Event(), anyio.Event()

    async def start_meetings(client: httpx2.AsyncClient) -> None:
        while not is_back.is_set():
            answer = await client.post("/api/meetings/start", json=BODY)
            statuses.add(answer.status_code)
            if answer.status_code == 201:
                acknowledged.append(answer.json()["id"])
                if has_failed.is_set():
                    is_back.set()
            else:
                assert answer.headers["content-type"].startswith("application/problem+json")
                assert answer.json()["detail"]
                has_failed.set()

    async with peer.listening() as url:
        service = ServiceProcess(short_folder, SETTINGS.format(url=url), "--data-dir", str(data))
        async with service, httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(start_meetings, client)
                while len(acknowledged) < 20:
                    await anyio.lowlevel.checkpoint()
                pid_file = next(data.rglob("postmaster.pid"))
                os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
                with anyio.fail_after(40):
                    await is_back.wait()
                    # A start that was stored before the kill may be answered late.
                    while (await client.get("/health/ready")).status_code != 200:
                        await anyio.lowlevel.checkpoint()
            assert statuses <= {201, 503}
            assert 503 in statuses
            for meeting_id in acknowledged:
                async with client.stream("GET", f"/api/meetings/{meeting_id}/events") as stream:
                    assert stream.status_code in (200, 204)
                    async for _ in stream.aiter_lines():
                        pass
                status = (await client.get(f"/api/meetings/{meeting_id}/status")).json()
                assert status["state"] == "complete", status
