"""A primary with a standby that is promoted in mid-meeting: every meeting goes on there."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio import to_thread

from tests.conftest import short_temporary_folder
from tests.crash.world import World, assert_sound
from tests.databases.servers import Server, database_url
from tests.databases.service import refused
from tests.model_peer import ModelPeer
from tests.service_process import ServiceProcess

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
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def peer() -> AsyncIterator[tuple[ModelPeer, str]]:
    made = ModelPeer()
    async with made.listening() as url:
        yield made, url


class Change:
    """Holds the models' answers back from one call on, until the primary is another."""

    def __init__(self, model: ModelPeer, service: ServiceProcess) -> None:
        self._model = model
        self._service = service
        self._watched: set[str] = set()
        self._all_watched = anyio.Event()
        self.is_due = anyio.Event()
        self.is_over = anyio.Event()
        self.shown: set[int] = set()
        """The positions that the feed showed before: they are acknowledged."""
        model.before_reply = self._before_reply

    async def _before_reply(self, _: str) -> None:
        await self._all_watched.wait()
        if len(self._model.seen) >= FATAL_CALL:
            self.is_due.set()
        if self.is_due.is_set():
            await self.is_over.wait()

    async def watch(self, meeting_id: str) -> None:
        path = f"/api/meetings/{meeting_id}/events"
        async with self._client() as client, client.stream("GET", path) as stream:
            async for line in stream.aiter_lines():
                self._watched.add(meeting_id)
                if len(self._watched) == MEETINGS:
                    self._all_watched.set()
                if line.startswith("id:") and not self.is_due.is_set():
                    self.shown.add(int(line.partition(":")[2]))

    async def start_until_one_starts(self) -> str:
        """Start a meeting at the new primary, and read it at once: the old one knows nothing."""
        body = {"goal": "Go on", "participants": ["planner", "dev"], "num_rounds": 1}
        async with self._client() as client:
            while (answer := await client.post("/api/meetings/start", json=body)).is_error:
                assert answer.status_code == 503
            meeting_id = str(answer.json()["id"])
            status = await client.get(f"/api/meetings/{meeting_id}/status")
        assert status.status_code == 200, status.text
        return meeting_id

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self._service.url, timeout=TIMEOUT_SECONDS)


@pytest.mark.parametrize("change", ["kill_and_promote", "demote_and_promote"])
@pytest.mark.parametrize(
    ("query", "is_standby_first"),
    [("target_session_attrs=read-write", False), ("connect_timeout=3", True)],
)
async def test_every_meeting_goes_on_at_the_new_primary(
    *,
    pair: Pair,
    peer: tuple[ModelPeer, str],
    tmp_path: Path,
    change: str,
    query: str,
    is_standby_first: bool,
) -> None:
    world = World(tmp_path, pair.url(query, is_standby_first=is_standby_first), *peer)
    world.database_url = pair.standby.url("meetings")  # where its history is looked up
    seen = Change(world.peer, world.service)
    async with world.service:
        meeting_ids = [await world.convene(title=f"Meeting {n}") for n in range(MEETINGS)]
        with anyio.fail_after(TIMEOUT_SECONDS):
            async with anyio.create_task_group() as tasks:
                for meeting_id in meeting_ids:
                    tasks.start_soon(seen.watch, meeting_id)
                await seen.is_due.wait()
                await to_thread.run_sync(getattr(pair, change))
                seen.is_over.set()
                later = await seen.start_until_one_starts()
            assert (await world.ended(later)).state == "complete"
            for meeting_id in meeting_ids:
                assert_sound(await world.ended(meeting_id), await world.history(meeting_id))
    kept = pair.standby.execute("SELECT notification_id FROM meetings_events", database="meetings")
    assert seen.shown
    assert seen.shown <= {position for (position,) in kept}


async def test_a_standby_alone_is_refused_in_one_line(pair: Pair) -> None:
    url = database_url(pair.standby.place, "meetings")
    said = await refused("--database-url", url, code=1)
    assert "cannot be written to: it is a standby" in said
    assert "name the primary" in said
