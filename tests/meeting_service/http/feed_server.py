"""The feed's routes on a real server in the test's own loop, and clients for them."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import anyio
import httpx2
import uvicorn
from anyio.abc import SocketAttribute, SocketStream
from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import HTTPException

from meeting_service.http.feed import FeedPolicy, feed_routes
from meeting_service.http.problems import answer_exception, answer_http_exception
from tests.builders import MEETING_ID
from tests.feed_world import MAX_WAIT_SECONDS, Shown, World, feed_world, until


class FeedServer:
    """A feed, where it is served, and how to watch it."""

    def __init__(self, world: World, port: int, client: httpx2.AsyncClient) -> None:
        self.world = world
        self.port = port
        self.client = client

    async def watch(
        self,
        path: str | None = None,
        *,
        count: int | None = None,
        last: int | None = None,
        **params: str,
    ) -> list[Shown]:
        """Read so many events of a stream, or all until it ends."""
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        return [
            each async for each in self.events(path, count=count, headers=headers, params=params)
        ]

    async def events(
        self,
        path: str | None = None,
        *,
        count: int | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> AsyncIterator[Shown]:
        """Return the events of a stream as they come; the client sees them as a browser would."""
        seen = 0
        opening = self.client.sse(
            path or events_of(MEETING_ID), headers=headers or {}, params=params
        )
        async with opening as source:
            source.response.raise_for_status()
            async for event in source:
                # The client hands out blocks without data too, which a browser drops.
                if event.data:
                    number = int(event.id) if event.id else None
                    yield Shown(number, event.event, json.loads(event.data))
                    seen += 1
                if seen == count:
                    return

    @asynccontextmanager
    async def watching(
        self, path: str | None = None, *, last: int | None = None, count: int | None = None
    ) -> AsyncIterator[list[Shown]]:
        """Watch a stream meanwhile, to its end; the list grows as events come."""
        shown: list[Shown] = []
        headers = {} if last is None else {"Last-Event-ID": str(last)}

        async def read() -> None:
            async for each in self.events(path, count=count, headers=headers):
                shown.append(each)  # noqa: PERF401 - looked at meanwhile

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            yield shown

    async def ask(self, path: str, method: str = "GET") -> SocketStream:
        """Ask for a stream over a bare socket with little room, and read nothing."""
        stream = await anyio.connect_tcp("127.0.0.1", self.port)
        bare = stream.extra(SocketAttribute.raw_socket)
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        await stream.send(f"{method} {path} HTTP/1.1\r\nHost: feed\r\n\r\n".encode())
        return stream


async def read_to_the_end(stream: SocketStream) -> bytes:
    """Read a whole chunked response and give its body."""
    received = bytearray()
    while not received.endswith(b"\r\n0\r\n\r\n"):
        received += await stream.receive()
    at = received.index(b"\r\n\r\n") + 4
    body = bytearray()
    while True:
        end_of_size = received.index(b"\r\n", at)
        start = end_of_size + 2
        length = int(received[at:end_of_size], 16)
        if length == 0:
            return bytes(body)
        body += received[start : start + length]
        at = start + length + 2


def events_of(meeting_id: UUID | str) -> str:
    return f"/api/meetings/{meeting_id}/events"


@asynccontextmanager
async def feed_server(
    policy: FeedPolicy | None = None, *, has_notifications: bool = True
) -> AsyncIterator[FeedServer]:
    """Serve a feed over an empty recorder."""
    async with (
        feed_world(has_notifications=has_notifications) as world,
        _serving(world, policy) as port,
    ):
        address = f"http://127.0.0.1:{port}"
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(
            base_url=address, timeout=MAX_WAIT_SECONDS, limits=limits, trust_env=False
        ) as client:
            yield FeedServer(world, port, client)
            world.feed.drain()


@asynccontextmanager
async def _serving(world: World, policy: FeedPolicy | None) -> AsyncIterator[int]:
    app = Litestar(
        feed_routes,
        dependencies={
            "feed": Provide(lambda: world.feed, sync_to_thread=False),
            "feed_policy": Provide(lambda: policy or FeedPolicy(), sync_to_thread=False),
        },
        exception_handlers={HTTPException: answer_http_exception, Exception: answer_exception},
        openapi_config=None,
        logging_config=None,
    )
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        await until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
        world.feed.drain()
        server.should_exit = True
