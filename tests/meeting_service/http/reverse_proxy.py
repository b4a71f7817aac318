"""A real reverse proxy, small: it offers one server below a path prefix, stripped or not."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream


class ReverseProxy:
    """Passes each connection's one request on, with headers of its own."""

    def __init__(self, upstream: str, prefix: str, *, strips: bool, headers: Mapping[str, str]):
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._prefix = prefix
        self._strips = strips
        self._headers = headers

    async def serve(self, client: SocketStream) -> None:
        async with client, await anyio.connect_tcp(*self._upstream) as server:
            received = b""
            while b"\r\n\r\n" not in received:
                received += await client.receive()
            await server.send(self._changed(received))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_copy, client, server)
                await _copy(server, client)
                tasks.cancel_scope.cancel()

    def _changed(self, request: bytes) -> bytes:
        line, _, rest = request.partition(b"\r\n")
        method, path, version = line.split(b" ")
        assert path.startswith(self._prefix.encode()), path
        if self._strips:
            path = path.removeprefix(self._prefix.encode()) or b"/"
        # One request a connection, so that only the head has to be read.
        rest = re.sub(rb"(?im)^connection: .*\r\n", b"", rest)
        own = "".join(f"{name}: {value}\r\n" for name, value in self._headers.items()).encode()
        return b" ".join((method, path, version)) + b"\r\nConnection: close\r\n" + own + rest


async def _copy(source: SocketStream, target: SocketStream) -> None:
    try:
        async for chunk in source:
            await target.send(chunk)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass


@asynccontextmanager
async def reverse_proxy(
    upstream: str, prefix: str, *, strips: bool, headers: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """Run one; give the address below which it offers the server."""
    proxy = ReverseProxy(upstream, prefix, strips=strips, headers=headers or {})
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, proxy.serve)
        port = listener.extra(SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}{prefix}"
        tasks.cancel_scope.cancel()
