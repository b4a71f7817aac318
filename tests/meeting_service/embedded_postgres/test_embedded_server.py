"""The embedded server among real processes: shared, killed, started again, in closed homes."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from meeting_service.embedded_postgres import DataDirError, EmbeddedServer, EmbeddedServerError
from meeting_service.embedded_postgres.probe import ServerState
from tests.meeting_service.embedded_postgres.servers import (
    APPLICATION,
    embedded,
    main_process_id,
    state,
)

ROOT = Path(__file__).resolve().parents[3]


SERVER_USER = "tests.meeting_service.embedded_postgres.server_user"


class User:
    """Another process that uses a server."""

    def __init__(self, folder: Path | str, *options: str, home: Path | None = None) -> None:
        environment = {**os.environ, **({"HOME": str(home)} if home else {})}
        environment.pop("XDG_STATE_HOME", None)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.meeting_service.embedded_postgres.server_user",
                str(folder),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def wait_until_registered(self) -> str:
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


def until(condition: Callable[[], bool]) -> None:
    """Probe until a condition holds; the test's timeout bounds it."""
    while not condition():
        time.sleep(0.005)


def test_the_database_can_be_used_and_the_server_stops_with_its_only_user(folder):
    with embedded(folder) as server, psycopg.connect(server.dsn()) as connection:
        row = connection.execute("SELECT current_database(), version(), upper('ß') || 'é'")
        name, version, text = row.fetchone()
    assert (name, text) == ("lab", "ßé")
    assert version.startswith("PostgreSQL 18")
    assert state(folder) is ServerState.UNREACHABLE


def test_an_existing_cluster_is_up_within_a_second(folder):
    started = time.monotonic()
    with embedded(folder):
        assert time.monotonic() - started < 1.0


def test_two_processes_share_a_server_and_the_last_to_leave_stops_it(folder):
    with using(folder) as first, using(folder) as second:
        assert first.wait_until_registered() == second.wait_until_registered()
        first.leave()
        assert state(folder) is ServerState.READY
        second.leave()
        assert state(folder) is ServerState.UNREACHABLE


def test_after_a_process_was_killed_the_next_one_takes_its_server_over_and_stops_it(folder):
    with using(folder) as first:
        first.wait_until_registered()
        process_id = main_process_id(folder)
        first.kill()
    with embedded(folder):
        assert main_process_id(folder) == process_id
    assert state(folder) is ServerState.UNREACHABLE


def test_a_killed_server_comes_back_with_what_was_committed(folder):
    with embedded(folder) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        killed = main_process_id(folder)
        os.kill(killed, signal.SIGKILL)
        until(server.ensure_running)
        assert main_process_id(folder) != killed
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_server_killed_together_with_its_user_is_started_afresh(folder):
    with using(folder) as user:
        user.wait_until_registered()
        os.kill(main_process_id(folder), signal.SIGKILL)
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
        second.wait_until_registered()
        process_id = main_process_id(new_folder)
        first.wait_until_registered()
        assert main_process_id(new_folder) == process_id


def test_the_server_is_out_of_reach_of_the_terminals_interrupt(folder):
    with embedded(folder):
        assert os.getsid(main_process_id(folder)) == main_process_id(folder)


def test_a_normal_user_gets_a_private_folder_and_keeps_the_home_as_it_was(short_folder):
    home = short_folder / "home"
    home.mkdir()
    home.chmod(0o750)
    if os.geteuid() == 0:
        normal = pwd.getpwnam("nobody")
        os.chown(home, normal.pw_uid, normal.pw_gid)
    with using("-", "--normal-user", home=home) as user:
        assert str(home) in user.wait_until_registered()
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
        f".local/state/{APPLICATION}": "700",
    }


def test_the_process_id_of_a_dead_server_may_have_gone_to_another_process(short_folder):
    if os.geteuid() == 0:
        normal = pwd.getpwnam("nobody")
        os.chown(short_folder, normal.pw_uid, normal.pw_gid)
    for options in ([], ["--stale-process"]):
        with using(short_folder, "--normal-user", *options) as user:
            assert user.wait_until_registered().startswith("postgresql://")
            user.leave()


def test_a_closed_home_stays_closed_and_can_hold_the_data(short_folder):
    home = short_folder / "home"
    data = home / "data"
    home.mkdir(mode=0o700)
    with embedded(data), psycopg.connect(embedded(data).dsn()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert home.stat().st_mode & 0o777 == 0o700
    assert data.stat().st_mode & 0o777 == 0o700


def test_its_description_names_the_data_folder_and_holds_no_connection_string(tmp_path):
    server = EmbeddedServer(tmp_path / "data")
    assert server.description == f"embedded PostgreSQL 18 in {tmp_path / 'data'}"


def test_without_a_database_it_names_the_one_that_every_server_has(tmp_path):
    assert EmbeddedServer(tmp_path).dsn().startswith("postgresql://postgres@/postgres?")


def test_a_folder_that_cannot_be_used_is_named_with_the_cause(new_folder):
    (new_folder / "file").write_text("")
    with pytest.raises(DataDirError, match=r"^cannot keep a database in .*: Not a directory"):
        embedded(new_folder / "file").start()


def test_a_server_that_does_not_come_up_says_why_and_where_its_log_is(folder):
    broken = EmbeddedServer(
        folder, application=APPLICATION, durable=False, settings={"shared_buffers": "none"}
    )
    with pytest.raises(
        EmbeddedServerError, match=r"^.* did not start: .*shared_buffers.*; see .*postgres.log$"
    ):
        broken.start()
    with embedded(folder):
        assert state(folder) is ServerState.READY


def test_a_cluster_of_another_version_is_left_alone(folder):
    (folder / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(DataDirError, match="made by PostgreSQL 17, this is 18"):
        embedded(folder).start()
    (folder / "cluster" / "PG_VERSION").write_text("18\n")
