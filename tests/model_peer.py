"""An OpenAI-compatible server for tests that lets a test act when a request arrives."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from json import dumps, loads
from typing import Any

import anyio
import uvicorn
from msgspec import Struct

MINUTES = """\
## Discussion Summary
Everybody spoke.
## Action Items
- [ ] @dev: write it down [priority: high]
## Decisions
- go on
## Blockers
None"""


class Speech(Struct, frozen=True):
    """What one call is answered with: a text and a usage, if any, or a status that refuses it.

    Shape: `error` is the whole body of a refusal; one of its own if it is None.
    """

    text: str
    usage: tuple[int, int] | None = (50, 20)
    finish_reason: str = "stop"
    status: int = 200
    retry_after_seconds: float | None = None
    error: Any = None


def speak_once(call_key: str, body: dict[str, Any]) -> Speech:
    """Keep to the rules."""
    return Speech(MINUTES if "/synthesis/" in call_key else f"I speak once, in {call_key}.")


async def do_nothing(call_key: str) -> None:
    """The hook of a test that only watches."""


async def say_nothing() -> None:
    """The hook of a test that does not care for probes."""


class ModelPeer:
    """Answers chat completions, remembers every call key, and asks hooks on the way.

    Shape: `answer` says what a call is answered with; `probes` counts the questions for models,
    `max_probes` how many of those were under way at once. While `is_unreachable`, all are answered
    503.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.before_reply: Callable[[str], Awaitable[None]] = do_nothing
        self.after_reply: Callable[[str], Awaitable[None]] = do_nothing
        self.answer: Callable[[str, dict[str, Any]], Speech] = speak_once
        self.before_probe: Callable[[], Awaitable[None]] = say_nothing
        self.is_unreachable = False
        self.probes = 0
        self.max_probes = 0
        self._probes_under_way = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        if scope["path"].endswith("/models"):
            await self._answer_models(send)
            return
        call_key = dict(scope["headers"]).get(b"idempotency-key", b"").decode()
        self.seen.append(call_key)
        await self.before_reply(call_key)
        speech = (
            Speech("", status=503) if self.is_unreachable else self.answer(call_key, loads(body))
        )
        if speech.status == 200:
            await self._stream(speech, send)
        else:
            await _refuse(speech, send)
        await self.after_reply(call_key)

    async def _answer_models(self, send: Any) -> None:
        self.probes += 1
        self._probes_under_way += 1
        self.max_probes = max(self.max_probes, self._probes_under_way)
        try:
            await self.before_probe()
        finally:
            self._probes_under_way -= 1
        if self.is_unreachable:
            await _refuse(Speech("", status=503), send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = dumps({"object": "list", "data": []}).encode()
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, speech: Speech, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        delta = {"role": "assistant", "content": speech.text}
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": speech.finish_reason}]},
        ]
        if speech.usage is not None:
            prompt, completion = speech.usage
            usage = {"prompt_tokens": prompt, "completion_tokens": completion}
            chunks.append({"choices": [], "usage": usage})
        for chunk in chunks:
            frame = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "peer"}
            data = dumps({**frame, **chunk}).encode()
            part = b"data: " + data + b"\n\n"
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on a port, or on a free one; give the base URL."""
        config = uvicorn.Config(self, port=port, log_config=None, lifespan="off", ws="none")
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


async def _refuse(speech: Speech, send: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    if speech.retry_after_seconds is not None:
        headers.append((b"retry-after", f"{speech.retry_after_seconds:g}".encode()))
    await send({"type": "http.response.start", "status": speech.status, "headers": headers})
    error = speech.error or {"error": {"message": f"refused with {speech.status}"}}
    await send({"type": "http.response.body", "body": dumps(error).encode()})
