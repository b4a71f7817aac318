"""The service as its own process on these databases: held meetings, and starts that are refused."""

import os
import sys

import anyio
import httpx2

from tests.databases.servers import PASSWORD

MEETINGS = 12
BODY = {"goal": "Ship it", "participants": ["planner", "dev"], "num_rounds": 1}
TIMEOUT_SECONDS = 60.0


async def hold_meetings(url: str, count: int = MEETINGS) -> None:
    """Hold meetings at once, watch each to its end, and read them in every way there is."""
    async with httpx2.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as client:

        async def hold() -> None:
            started = await client.post("/api/meetings/start", json=BODY)
            assert started.status_code == 201, started.text
            meeting_id = started.json()["id"]
            async with client.stream("GET", f"/api/meetings/{meeting_id}/events") as stream:
                async for _ in stream.aiter_lines():
                    pass
            for page in ("status", "spending", "output"):
                answer = await client.get(f"/api/meetings/{meeting_id}/{page}")
                assert answer.status_code == 200, answer.text
                if page == "status":
                    assert answer.json()["state"] == "complete"

        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(hold)
        for _ in range(5):
            listed = await client.get("/api/meetings")
            assert listed.status_code == 200, listed.text
            assert listed.json()["total"] == count


async def refused(*arguments: str, code: int = 2, **environment: str) -> str:
    """Start the service where it cannot start; return its one line."""
    command = [sys.executable, "-m", "meeting_service", "serve", "--port", "0", *arguments]
    with anyio.fail_after(TIMEOUT_SECONDS):
        ended = await anyio.run_process(command, check=False, env={**os.environ, **environment})
    said = ended.stderr.decode()
    assert ended.returncode == code, said
    assert ended.stdout == b""
    assert said.count("\n") == 1, said
    assert PASSWORD not in said
    return said
