"""The HTTP server: uvicorn, started and stopped by our own code.

uvicorn's own handling of signals does not fit: with a stream of the feed open it never stops, and
once it has stopped it raises the signal again, which skips every clean-up after it.
"""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext

import anyio
import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from meeting_service.http.problems import MEDIA_TYPE, unreadable_request

TICK_SECONDS = 1.0
"""How often the `Date` header of the answers changes."""

KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection, so that no request arrives while we close it."""

BACKLOG = 2_048


class CannotListen(Exception):
    """The service cannot listen at its address; the text says why and what to do."""


class _Protocol(HttpToolsProtocol):
    unreadable = unreadable_request("")

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed as HTTP with a problem document."""
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(self.unreadable)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + self.unreadable)
        self.transport.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = anyio.Event()
        self.stops = anyio.Event()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # the composition root handles signals
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def main_loop(self) -> None:
        while not self.stops.is_set():
            await self.on_tick(0)
            with anyio.move_on_after(TICK_SECONDS):
                await self.stops.wait()


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind the port, so that a port in use is found before anything else starts.

    Raises: `CannotListen`.
    """
    try:
        family, _, protocol, _, address = min(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE),
            key=lambda found: found[0] != socket.AF_INET,
        )
        # asyncio turns Nagle's algorithm off only where the protocol is named; with it every
        # answer would wait 40 ms.
        with ExitStack() as undo:
            listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            undo.pop_all()
            return listener
    except OSError as error:
        # A resolver's errors have numbers of their own, below zero.
        number = error.errno or 0
        reason = os.strerror(number).lower() if number > 0 else error.strerror
        raise CannotListen(
            f"cannot listen on {host}:{port}: {reason}; "
            "choose another place with --port or --host (port 0 picks a free one)"
        ) from error


@asynccontextmanager
async def serving(
    app: ASGIApp, sockets: Sequence[socket.socket], *, grace_seconds: float, root_path: str = ""
) -> AsyncIterator[None]:
    """Serve requests until the context ends, then finish those under way.

    Requests that take longer than `grace_seconds` then are cut off. `root_path` is for the links in
    answers that the application does not give.
    """
    below_root_path = {"unreadable": unreadable_request(root_path)}
    config = uvicorn.Config(
        app,
        http=type("_ProtocolBelow", (_Protocol,), below_root_path),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(grace_seconds)),
    )
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_serve, server, list(sockets))
        await server.listens.wait()
        try:
            yield
        finally:
            server.should_exit = True
            server.stops.set()


async def _serve(server: _Server, sockets: list[socket.socket]) -> None:
    # Answers under way are finished even if the task group is cancelled.
    with anyio.CancelScope(shield=True):
        await server.serve(sockets)
