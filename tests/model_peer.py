"""An OpenAI-compatible server for tests that lets a test act when a request arrives."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio
import uvicorn

MINUTES = """\
## Discussion Summary
Everybody spoke.
## Action Items
- [ ] @dev: write it down [priority: high]
## Decisions
- go on
## Blockers
None"""


async def do_nothing(call_key: str) -> None:
    """The hook of a test that only watches."""


class ModelPeer:
    """Answers chat completions, remembers every call key, and asks two hooks on the way."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.before_reply: Callable[[str], Awaitable[None]] = do_nothing
        self.after_reply: Callable[[str], Awaitable[None]] = do_nothing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        call_key = dict(scope["headers"]).get(b"idempotency-key", b"").decode()
        self.seen.append(call_key)
        await self.before_reply(call_key)
        text = MINUTES if "/synthesis/" in call_key else f"I speak once, in {call_key}."
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in (
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 20}},
        ):
            frame = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "peer"}
            data = json.dumps({**frame, **chunk}).encode()
            body = b"data: " + data + b"\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        await self.after_reply(call_key)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve on a free port; give the base URL."""
        config = uvicorn.Config(self, port=0, log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[assignment]  # the test owns signals
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            while not server.started:
                await anyio.lowlevel.checkpoint()
            port = server.servers[0].sockets[0].getsockname()[1]
            try:
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                server.force_exit = server.should_exit = True
