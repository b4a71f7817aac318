"""What llama.cpp's server is busy with at the moment."""

from typing import Any

import anyio
import httpx

POLL_SECONDS = 0.02
MAX_IDLE_SECONDS = 2.0


async def tasks_of(base_url: str) -> list[dict[str, Any]]:
    """Ask the server for the state of each call that it has room for."""
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
        answer = await client.get(f"{base_url.removesuffix('/v1')}/slots")
    answer.raise_for_status()
    return list(answer.json())


async def calls_under_way(base_url: str) -> int:
    """Count the calls that the server generates text for."""
    return sum(bool(task["is_processing"]) for task in await tasks_of(base_url))


async def until_idle(base_url: str) -> None:
    """Wait until the server generates nothing. Raises: TimeoutError."""
    with anyio.fail_after(MAX_IDLE_SECONDS):
        while await calls_under_way(base_url):
            await anyio.sleep(POLL_SECONDS)
