"""Durable turns a second: our service in one process beside a raw floor, in one run.

The floor writes one row a turn into a plain table, one transaction each, through asyncpg. Ours
holds whole meetings (4 participants, 3 rounds and a synthesis, replies of 1,000 characters, a
model that answers at once): leases, intents, budget, read models and minutes included. The two
alternate, so that a drift of the machine's speed hits both; read the ratio, not the seconds.

    python bench/turns.py [--database-url URL] [--quick]
"""

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import anyio
import asyncpg
import uvloop

from meeting_core.model import Configuration, Convene, Limits, Meeting, Participant, ReportedUsage
from meeting_service.app.database import embedded_server
from meeting_service.command_handler import Meetings
from meeting_service.minutes_files import OutputFolder
from meeting_service.ports import GatewayReply, GatewayRequest, SaveOutput
from meeting_service.runtime.gateway_client import GatewayClient
from meeting_service.runtime.runner import RunnerDependencies
from meeting_service.runtime.running_policy import RunningPolicy
from meeting_service.runtime.supervisor import Supervisor
from meeting_service.store.postgres.migrate import upgrade
from meeting_service.store.postgres.recorder import PostgresRecorder

SENTENCE = "We measured it twice, and 3 of 4 runs agreed within a percent. "
REPLY = (SENTENCE * 20)[:970]
OTHER_SECTIONS = "## Action Items\nNone\n## Decisions\nNone\n## Blockers\nNone"
TEAM = tuple(Participant(agent, agent.title()) for agent in ("planner", "dev", "design", "qa"))


class InstantGateway:
    """A model that answers at once."""

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        # No two replies are the same, as none would be of a model.
        text = f"{request.call_key[-30:]} {REPLY}"
        if "/synthesis/" in request.call_key:
            text = f"## Discussion Summary\n{request.call_key} {text}\n{OTHER_SECTIONS}"
        return GatewayReply(text, "stop", usage=ReportedUsage(800, 250))

    async def probe(self) -> None:
        """Be there."""

    async def aclose(self) -> None:
        """Hold nothing."""


class Ours:
    """Meetings held by the real runner on the real store."""

    def __init__(self, recorder: PostgresRecorder, save: SaveOutput) -> None:
        meetings = Meetings(recorder, lambda: datetime.now(UTC))
        deps = RunnerDependencies(
            meetings, GatewayClient({"": InstantGateway()}), save, _ignore_change
        )
        self.supervisor = Supervisor(deps, RunningPolicy())

    async def hold(self, rounds: int) -> UUID:
        """Hold one meeting to its end."""
        meeting_id = uuid4()
        # A model that keeps its cap: the replies take 250 tokens.
        config = Configuration(
            goal="Measure",
            participants=TEAM,
            num_rounds=rounds,
            max_tokens_per_turn=400,
            meeting_timeout_seconds=36_000.0,
        )
        command = Convene(meeting_id, config, Limits(max_rounds=30))
        await self.supervisor.convene(command, "bench")
        await self.supervisor.stopped(meeting_id)
        return meeting_id


async def _save_nowhere(meeting: Meeting, markdown: str) -> str:
    return "nowhere"


def _ignore_change(meeting: Meeting, agent_id: str, text: str) -> None:
    """Nobody watches here."""


async def timed(writers: int, jobs: int, job: Callable[[], Awaitable[object]]) -> float:
    """Do `jobs` jobs, `writers` at a time; return the seconds."""
    left = iter(range(jobs))

    async def work() -> None:
        for _ in left:
            await job()

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(writers):
            tasks.start_soon(work)
    return time.perf_counter() - start


@asynccontextmanager
async def floor(dsn: str, writers: int) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Return a job that writes one turn: one INSERT and one commit, without a session reset."""
    pool = await asyncpg.create_pool(
        dsn, min_size=writers, max_size=writers, connection_class=_PlainConnection
    )
    await pool.execute("CREATE TABLE IF NOT EXISTS floor (id uuid PRIMARY KEY, text text)")
    try:
        yield lambda: pool.execute("INSERT INTO floor VALUES ($1, $2)", uuid4(), REPLY)
    finally:
        await pool.close()


class _PlainConnection(asyncpg.Connection):
    def get_reset_query(self) -> str:
        return ""


async def commits(dsn: str) -> int:
    """Count the transactions that have written something."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(
            await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
        )
    finally:
        await connection.close()


async def stored_bytes(dsn: str, meeting_id: UUID) -> tuple[int, int]:
    """Measure a meeting: bytes of its events, and how many there are."""
    connection = await asyncpg.connect(dsn)
    try:
        query = (
            "SELECT sum(octet_length(state) + octet_length(topic)), count(*) "
            "FROM meetings_events WHERE originator_id = $1"
        )
        row = await connection.fetchrow(query, meeting_id)
    finally:
        await connection.close()
    return int(row[0]), int(row[1])


async def compare(dsn: str, ours: Ours, writers: int, meetings: int, runs: int) -> None:
    """Alternate ours and the floor; print turns a second and the ratio, pair by pair."""
    turns = meetings * (len(TEAM) * 3 + 1)
    ratios, our_rates, floor_rates, our_commits = [], [], [], 0
    async with floor(dsn, writers) as write_turn:
        await timed(writers, writers, lambda: ours.hold(3))
        await timed(writers, writers * 13, write_turn)
        for _ in range(runs):
            floor_rates.append(turns / await timed(writers, turns, write_turn))
            before = await commits(dsn)
            our_rates.append(turns / await timed(writers, meetings, lambda: ours.hold(3)))
            our_commits += await commits(dsn) - before
            ratios.append(our_rates[-1] / floor_rates[-1])
    print(
        f"{writers:3} at once: ours {statistics.median(our_rates):7.0f} turns/s, "
        f"floor {statistics.median(floor_rates):7.0f} turns/s, "
        f"ratio {statistics.median(ratios):5.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}), "
        f"{our_commits / runs / turns:.2f} commits a turn",
        flush=True,
    )


async def measure(dsn: str, folder: Path, *, quick: bool) -> None:
    """Print the whole table."""
    await upgrade(dsn)
    runs = 2 if quick else 5
    async with await PostgresRecorder.open(dsn) as recorder:
        ours = Ours(recorder, _save_nowhere)
        with_files = Ours(recorder, OutputFolder(folder).save)
        async with ours.supervisor.supervising(), with_files.supervisor.supervising():
            print("minutes written, but to no file, since the floor writes none:")
            await compare(dsn, ours, 1, 10 if quick else 60, runs)
            await compare(dsn, ours, 64, 64 if quick else 256, runs)
            print("minutes saved to files:")
            await compare(dsn, with_files, 1, 10 if quick else 60, runs)
            await compare(dsn, with_files, 64, 64 if quick else 256, runs)
            for rounds in (3, 10, 30):
                size, events = await stored_bytes(dsn, await ours.hold(rounds))
                turns = rounds * len(TEAM) + 1
                text = turns * 1_000
                print(
                    f"{rounds:3} rounds: {size:8} bytes in {events:4} events, "
                    f"{size / turns:6.0f} a turn, "
                    f"{(size - 500 * events) / text:5.2f} x the text beyond 500 an event"
                )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak / (1024 if sys.platform == 'linux' else 1024**2):.0f} MB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database-url", help="a PostgreSQL to write to, instead of an own one")
    parser.add_argument("--quick", action="store_true", help="fewer runs, for a first look")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if options.database_url:
            _run(measure(options.database_url, place, quick=options.quick))
            return
        with embedded_server(place / "data") as server:
            _run(measure(server.dsn(), place, quick=options.quick))


def _run(work: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
