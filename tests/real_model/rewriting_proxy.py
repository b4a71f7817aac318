"""A proxy before a real model server: it changes what is asked, and passes answers on as bytes.

By it a real model is made to say a given text (llama.cpp takes a grammar) or a real server to
refuse a call, while the gateway sends what it always sends and gets what the server really wrote.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from tests.meeting_service.gateways.wire_peer import Asked

Changes: TypeAlias = Mapping[str, Any]
"""Fields that replace or join those of a request's body."""


class RewritingProxy:
    """Changes the bodies of calls to models, one after the other.

    Shape: `asked` has the calls as the gateway sent them; `changes` is used up in their order.
    """

    def __init__(self, server_url: str) -> None:
        self.asked: list[Asked] = []
        self.changes: list[Changes] = []
        self.port = 0
        self._server = urlsplit(server_url)
        self._open: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._server.path}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, until either side closes it."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        from_server, to_server = await asyncio.open_connection(
            self._server.hostname, self._server.port
        )
        answers = asyncio.create_task(_pass_on(from_server, writer))
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    to_server.write(await self._next_request(reader))
                    await to_server.drain()
        finally:
            # The server sees at once that the gateway has left.
            to_server.transport.abort()
            answers.cancel()
            writer.close()
            self._open.discard(task)

    async def aclose(self) -> None:
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _next_request(self, reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path.endswith("/chat/completions"):
            fields = json.loads(body)
            self.asked.append(Asked(method, path, headers, fields))
            if self.changes:
                body = json.dumps(fields | self.changes.pop(0)).encode()
                headers["content-length"] = str(len(body))
        lines = [head[0], *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
    finally:
        sink.close()


@asynccontextmanager
async def rewriting_proxy(server_url: str) -> AsyncIterator[RewritingProxy]:
    """Open a proxy on a port of its own."""
    proxy = RewritingProxy(server_url)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.aclose()
        await server.wait_closed()
