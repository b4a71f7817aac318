"""A proxy before a PostgreSQL server that can stop passing bytes on, without closing anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict


class StallingProxy:
    """Passes bytes on in both ways, except while it stalls."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def stall(self) -> None:
        """Pass nothing on until `resume`."""
        self._passing.clear()

    def resume(self) -> None:
        """Pass on what came meanwhile, and what comes."""
        self._passing.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client with the server."""
        from_server, to_server = await asyncio.open_unix_connection(self._server_socket)
        for source, sink in ((reader, to_server), (from_server, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close every connection."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while data := await source.read(65_536):
                    await self._passing.wait()
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()


@asynccontextmanager
async def stalling_proxy(dsn: str, folder: Path) -> AsyncIterator[tuple[StallingProxy, str]]:
    """Open a proxy whose socket is in the folder; give it, and the address through it."""
    parts = conninfo_to_dict(dsn)
    name = f".s.PGSQL.{parts.get('port') or 5432}"
    proxy = StallingProxy(f"{parts['host']}/{name}")
    server = await asyncio.start_unix_server(proxy.accept, folder / name)
    try:
        yield proxy, dsn.replace(str(parts["host"]), str(folder))
    finally:
        server.close()
        await proxy.close()
