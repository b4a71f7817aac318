"""What llama.cpp's server is busy with at the moment."""

import anyio
import httpx2

MAX_IDLE_SECONDS = 2.0


def _client(base_url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=base_url.removesuffix("/v1"), trust_env=False, timeout=10 * MAX_IDLE_SECONDS
    )


async def _under_way(client: httpx2.AsyncClient) -> int:
    answer = await client.get("/slots")
    answer.raise_for_status()
    return sum(bool(each["is_processing"]) for each in answer.json())


async def calls_under_way(base_url: str) -> int:
    """Count the calls that the server generates text for."""
    async with _client(base_url) as client:
        return await _under_way(client)


async def until_idle(base_url: str) -> None:
    """Wait until the server generates nothing. Raises: TimeoutError if it goes on."""
    async with _client(base_url) as client:
        with anyio.fail_after(MAX_IDLE_SECONDS):
            while await _under_way(client):
                await anyio.lowlevel.checkpoint()
