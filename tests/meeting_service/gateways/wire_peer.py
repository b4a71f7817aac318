"""A peer that plays bytes over a plain socket: what no well-behaved server can be made to send."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from msgspec import Struct

DONE = "data: [DONE]\n\n"
EVENT_STREAM = "text/event-stream"


class Hangs(Struct, frozen=True):
    """Send nothing more, and keep the connection open."""


class Drops(Struct, frozen=True):
    """Close the connection, whatever the answer still lacks."""


class Repeats(Struct, frozen=True):
    """Send the same bytes again and again, until the other side leaves."""

    piece: bytes


class Waits(Struct, frozen=True):
    """Send nothing more until something has happened."""

    until: asyncio.Event


class Asked(Struct, frozen=True):
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Script: TypeAlias = Sequence[bytes | Hangs | Drops | Repeats | Waits]


class WirePeer:
    """Answers each request with the script chosen for it: pieces of bytes, one write each."""

    def __init__(self, choose: Callable[[Asked], Script]) -> None:
        self.connections = 0
        self.asked: list[Asked] = []
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.port = 0
        self._choose = choose
        self._open: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            while not writer.is_closing():
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def wait_until_left(self) -> None:
        """Wait until the other side has closed a connection in mid-answer."""
        async with asyncio.timeout(5):
            await self.left.wait()

    async def aclose(self) -> None:
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append(Asked(method, path, headers, json.loads(body or b"{}")))
        self.arrived.set()
        for piece in self._choose(self.asked[-1]):
            match piece:
                case Hangs():
                    await reader.read()
                    self.left.set()
                    return
                case Drops():
                    writer.transport.abort()
                    return
                case Waits():
                    await piece.until.wait()
                case Repeats():
                    try:
                        while True:
                            await _write(writer, piece.piece)
                    finally:
                        self.left.set()
                case _:
                    await _write(writer, piece)


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(piece)
    await writer.drain()
    # Several turns of the loop let the other side read this piece by itself.
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def wire_peer(*scripts: Script) -> AsyncIterator[WirePeer]:
    """A peer that answers each request with the next script."""
    waiting = list(scripts)
    async with choosing_peer(lambda _: waiting.pop(0)) as peer:
        yield peer


@asynccontextmanager
async def choosing_peer(choose: Callable[[Asked], Script]) -> AsyncIterator[WirePeer]:
    """A peer that answers each request with the script chosen for it."""
    peer = WirePeer(choose)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await peer.aclose()
        await server.wait_closed()


def head(status: str = "200 OK", **headers: str) -> bytes:
    fields = {"content-type": EVENT_STREAM, "transfer-encoding": "chunked"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunked(data: str | bytes) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return f"{len(raw):x}\r\n".encode() + raw + b"\r\n"


END = b"0\r\n\r\n"


def stream(*events: str) -> list[bytes]:
    """A whole streamed answer, each event in a piece of its own."""
    return [head(), *(chunked(event) for event in events), END]


def whole(status: str, body: str, **headers: str) -> list[bytes]:
    """An answer that is no stream."""
    fields = {"content-type": "application/json", "content-length": str(len(body.encode()))}
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{n.replace('_', '-')}: {v}" for n, v in (fields | headers).items()]
    return [("\r\n".join(lines) + "\r\n\r\n").encode() + body.encode()]


def event(**fields: Any) -> str:
    return f"data: {json.dumps(fields, ensure_ascii=False)}\n\n"


def says(text: Any, **more: Any) -> str:
    return event(choices=[{"index": 0, "delta": {"content": text}}], **more)


def ends(reason: str | None = "stop", **more: Any) -> str:
    return event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}], **more)


def counts(prompt: Any, completion: Any) -> str:
    return event(
        choices=[], usage={"prompt_tokens": prompt, "completion_tokens": completion}, model="real-1"
    )


def refusal(status: str, error: Any, **headers: str) -> list[bytes]:
    return whole(status, json.dumps({"error": error}), **headers)


def error(message: str, **more: Any) -> dict[str, Any]:
    """The usual envelope of an error."""
    return {"error": {"message": message, **more}}
