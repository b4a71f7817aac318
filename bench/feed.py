"""From commit to client: how long an event takes to everybody who watches a meeting.

One process holds the store's connections, the feed, the HTTP server and all the clients, so the
clients' own work is in the figures. Each event of a meeting is appended by itself; the time runs
from the moment the append is known to be committed.

    python bench/feed.py [--database-url URL] [--clients 100] [--gap-ms 20]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import uuid4

import anyio
import uvicorn
import uvloop
from litestar import Litestar
from litestar.di import Provide

from meeting_core import Configuration, MeetingEvent, Participant, hold_meeting
from meeting_service.app.database import embedded_server
from meeting_service.command_handler import Meetings
from meeting_service.feed.feed import Feed
from meeting_service.http.feed import FeedPolicy, feed_routes
from meeting_service.store.postgres.migrate import upgrade
from meeting_service.store.postgres.recorder import PostgresRecorder

TEAM = tuple(Participant(agent, agent.title()) for agent in "abcdefgh")
REPLY = "We measured it twice, and 3 of 4 runs agreed within a percent. " * 16


class Client(asyncio.Protocol):
    """Notes when each event's id arrives."""

    def __init__(self, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        self._rest = b""
        self.arrivals: dict[int, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The faster loop's transport does not derive from asyncio's.
        cast("asyncio.WriteTransport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"id: "):
                self.arrivals[int(line[4:])] = now


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not is_so():  # noqa: ASYNC110 - what is looked at has no event
            await anyio.sleep(0.01)


def now() -> datetime:
    return datetime.now(UTC)


def history() -> Sequence[MeetingEvent]:
    """Return the longest meeting that the usual limits allow."""
    config = Configuration(participants=TEAM, num_rounds=5)
    return hold_meeting(config, lambda _: REPLY, clock=now, new_id=uuid4).events


@asynccontextmanager
async def serving(feed: Feed) -> AsyncIterator[int]:
    """Serve the feed's routes; give the port."""
    app = Litestar(
        feed_routes,
        dependencies={
            "feed": Provide(lambda: feed, sync_to_thread=False),
            "feed_policy": Provide(FeedPolicy, sync_to_thread=False),
        },
        openapi_config=None,
        logging_config=None,
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    async with feed.following(), anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        await until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
        feed.drain()
        server.should_exit = True


async def watched(meetings: Meetings, clients: int, gap_seconds: float) -> list[float]:
    """Store a meeting event by event while all watch it; give every delay.

    Units: seconds, one for each event and client.
    """
    feed = Feed(meetings)
    events = history()
    store = meetings.recorder.insert_events
    stored = [meetings.mapper.to_stored_event(event) for event in events]
    await store(stored[:1])
    committed: dict[int, float] = {}
    path = f"/api/meetings/{events[0].originator_id}/events"
    async with serving(feed) as port:
        loop = asyncio.get_running_loop()
        watchers = [Client(path) for _ in range(clients)]
        for watcher in watchers:
            await loop.create_connection(lambda each=watcher: each, "127.0.0.1", port)  # type: ignore[misc]
        await until(lambda: all(1 in watcher.arrivals for watcher in watchers))
        for event in stored[1:]:
            await store([event])
            committed[event.originator_version] = time.perf_counter()
            await anyio.sleep(gap_seconds)
        await until(lambda: all(len(events) in watcher.arrivals for watcher in watchers))
    return [
        at - committed[version]
        for watcher in watchers
        for version, at in watcher.arrivals.items()
        if version > 1
    ]


async def measure(dsn: str, clients: int, gap_seconds: float) -> None:
    """Print the delays."""
    await upgrade(dsn)
    async with await PostgresRecorder.open(dsn) as recorder:
        meetings = Meetings(recorder, now)
        await watched(meetings, clients, 0.0)
        delays = [each * 1_000 for each in await watched(meetings, clients, gap_seconds)]
    cuts = statistics.quantiles(delays, n=100)
    print(
        f"{clients} clients, an event every {gap_seconds * 1_000:g} ms, {len(delays)} deliveries: "
        f"commit to client p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, most {max(delays):.1f} ms"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database-url", help="a PostgreSQL to write to, instead of an own one")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--gap-ms", type=float, default=20.0, help="time between two events")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, uvloop_runner() as runner:
        gap_seconds = options.gap_ms / 1_000
        if options.database_url:
            runner.run(measure(options.database_url, options.clients, gap_seconds))
            return
        with embedded_server(Path(folder) / "data") as server:
            runner.run(measure(server.dsn(), options.clients, gap_seconds))


def uvloop_runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
