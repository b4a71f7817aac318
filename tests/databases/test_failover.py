"""A primary with a standby that is promoted in mid-meeting: every meeting goes on there."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from anyio import to_thread

from tests.conftest import short_temporary_folder
from tests.crash.world import World, assert_sound
from tests.databases.servers import PASSWORD, Server, database_url
from tests.model_peer import ModelPeer

pytestmark = pytest.mark.anyio

MEETINGS = 6
FATAL_CALL = 12
TIMEOUT_SECONDS = 60.0


class Pair:
    """A primary, and its standby: what is committed is on both before it is acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.primary = Server(folder, "first", synchronous_standby_names="standby").create()
        self.standby = Server(folder, "second")

    def start(self) -> None:
        self.primary.start()
        self.standby.copy(self.primary).start()
        self.primary.wait_until("SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication")
        self.primary.execute("CREATE DATABASE meetings TEMPLATE template0")

    def promote(self) -> None:
        """Make the standby the primary."""
        assert self.standby.execute("SELECT pg_promote(true, 30)") == [(True,)]

    def kill_and_promote(self) -> None:
        self.primary.kill()
        self.promote()

    def demote_and_promote(self) -> None:
        """Keep the old primary alive, only reading, as managed services do in a switch-over."""
        self.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        self.primary.execute("SELECT pg_reload_conf()")
        self.promote()
        # Else what is under way there would wait for a standby that is gone.
        self.primary.execute("ALTER SYSTEM SET synchronous_commit = local")
        self.primary.execute("SELECT pg_reload_conf()")

    def url(self, query: str, *, is_standby_first: bool = False) -> str:
        places = [self.primary.place, self.standby.place]
        return database_url(
            ",".join(reversed(places) if is_standby_first else places), "meetings", query=query
        )

    def stop(self) -> None:
        self.primary.stop()
        self.standby.stop()


@pytest.fixture
def pair() -> Iterator[Pair]:
    folder = short_temporary_folder()
    folder.chmod(0o711)
    made = Pair(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def peer() -> AsyncIterator[tuple[ModelPeer, str]]:
    made = ModelPeer()
    async with made.listening() as url:
        yield made, url


@pytest.mark.parametrize("change", ["kill_and_promote", "demote_and_promote"])
@pytest.mark.parametrize(
    ("query", "is_standby_first"),
    [("target_session_attrs=read-write", False), ("connect_timeout=3", True)],
)
async def test_every_meeting_goes_on_at_the_new_primary(
    pair: Pair,
    peer: tuple[ModelPeer, str],
    tmp_path: Path,
    change: str,
    query: str,
    is_standby_first: bool,
) -> None:
    model, model_url = peer
    url = pair.url(query, is_standby_first=is_standby_first)
    world = World(tmp_path, url, model, model_url)
    world.database_url = pair.standby.url("meetings")  # where its history is looked up
    shown: set[int] = set()
    statuses: set[int] = set()
    all_watched, is_fatal, is_changed = anyio.Event(), anyio.Event(), anyio.Event()
    watched: set[str] = set()

    async def hold_the_fatal_call(_: str) -> None:
        await all_watched.wait()
        if len(model.seen) >= FATAL_CALL and not is_fatal.is_set():
            is_fatal.set()
        if is_fatal.is_set():
            await is_changed.wait()

    async def watch(meeting_id: str) -> None:
        """Note the positions that the feed shows before the change; all of them are acknowledged."""
        path = f"{world.service.url}/api/meetings/{meeting_id}/events"
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client,
            client.stream("GET", path) as stream,
        ):
            async for line in stream.aiter_lines():
                watched.add(meeting_id)
                if len(watched) == MEETINGS:
                    all_watched.set()
                if line.startswith("id:") and not is_fatal.is_set():
                    shown.add(int(line.partition(":")[2]))

    async def start_until_one_starts(meeting_ids: list[str]) -> None:
        async with httpx.AsyncClient(base_url=world.service.url, timeout=TIMEOUT_SECONDS) as client:
            while True:
                body = {"goal": "Go on", "participants": ["planner", "dev"], "num_rounds": 1}
                answer = await client.post("/api/meetings/start", json=body)
                statuses.add(answer.status_code)
                if answer.status_code == 201:
                    meeting_ids.append(answer.json()["id"])
                    return

    model.before_reply = hold_the_fatal_call
    async with world.service:
        meeting_ids = [await world.convene(title=f"Meeting {n}") for n in range(MEETINGS)]
        later: list[str] = []
        with anyio.fail_after(TIMEOUT_SECONDS):
            async with anyio.create_task_group() as tasks:
                for meeting_id in meeting_ids:
                    tasks.start_soon(watch, meeting_id)
                await is_fatal.wait()
                await to_thread.run_sync(getattr(pair, change))
                is_changed.set()
                await start_until_one_starts(later)
                # Read at once, where another connection wrote it: the old primary knows nothing.
                async with httpx.AsyncClient(base_url=world.service.url) as client:
                    status = await client.get(f"/api/meetings/{later[0]}/status")
                    assert status.status_code == 200, status.text
            for meeting_id in meeting_ids + later:
                await world.ended(meeting_id)
        assert statuses <= {201, 503}
        for meeting_id in meeting_ids:
            history = await world.history(meeting_id)
            assert_sound(await world.ended(meeting_id), history)
    kept = pair.standby.execute("SELECT notification_id FROM meetings_events", database="meetings")
    assert shown
    assert shown <= {position for (position,) in kept}


async def test_a_standby_alone_is_refused_in_one_line(pair: Pair) -> None:
    url = database_url(pair.standby.place, "meetings")
    command = [sys.executable, "-m", "meeting_service", "serve", "--port", "0"]
    ended = await anyio.run_process([*command, "--database-url", url], check=False)
    said = ended.stderr.decode()
    assert ended.returncode == 1
    assert "cannot be written to: it is a standby" in said
    assert said.count("\n") == 1
    assert PASSWORD not in said
