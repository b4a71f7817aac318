"""Run the two programs, `initdb` and `postgres`: their arguments, settings and environment."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from meeting_service.embedded_postgres.os_user import OsUser

INITDB_OPTIONS = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    # The server's own Unicode rules are the same on every machine, with any locales.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "min_wal_size": "32MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements carry the application's data, and it reports refused ones itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}

NOT_DURABLE: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
}

NO_SPACE = "No space left on device"


class ProgramFailed(Exception):
    """A program failed; the text is its whole output."""


def run_initdb(
    initdb: Path, folder: Path, os_user: OsUser | None, *, options: Sequence[str] = ()
) -> None:
    """Create a cluster in an empty folder. Raises: ProgramFailed, OSError."""
    with _path_for_user(os_user, folder) as (path, descriptors):
        finished = subprocess.run(
            [initdb, f"--pgdata={path}", *INITDB_OPTIONS, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            pass_fds=descriptors,
            **_process_options(os_user),
        )
    if finished.returncode != 0:
        raise ProgramFailed(finished.stdout)


def spawn_postgres(
    postgres: Path,
    cluster: Path,
    os_user: OsUser | None,
    *,
    log: IO[bytes],
    lock_fd: int,
    settings: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """Start the server without waiting for it.

    All its processes inherit `lock_fd`: a lock held through it is free once the last has ended.
    Raises: OSError.
    """
    options = [f"--{name}={value}" for name, value in settings.items()]
    with _path_for_user(os_user, cluster) as (path, descriptors):
        return subprocess.Popen(
            [postgres, "-D", path, *options],
            stdout=log,
            stderr=log,
            pass_fds=(*descriptors, lock_fd),
            # A Ctrl-C is for the application, which shuts the server down itself.
            start_new_session=True,
            umask=0o077,
            **_process_options(os_user),
        )


def failure_reason(output: str) -> str:
    """Return the line of its output that says why a program failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output"]
    for line in lines:
        if NO_SPACE in line:
            return line
    for sign in ("PANIC: ", "FATAL: ", "error: "):
        for line in reversed(lines):
            if sign in line:
                return line.partition(sign)[2].strip()
    return lines[-1]


@contextmanager
def _path_for_user(os_user: OsUser | None, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Return a path by which the user reaches a folder, and the descriptors to pass with it.

    A folder in a closed home is reached through an open descriptor; no permission is changed.
    """
    if os_user is None or sys.platform != "linux":
        yield str(folder), ()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _process_options(os_user: OsUser | None) -> dict[str, Any]:
    """Return what both programs are started with, apart from their arguments."""
    # PG* variables would change the server's port or folder, LC_* the language of its messages.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {
        "stdin": subprocess.DEVNULL,
        "env": kept | {"LC_ALL": "C"},
        "cwd": "/",
        "user": os_user.uid if os_user else None,
        "group": os_user.gid if os_user else None,
        "extra_groups": [] if os_user else None,
    }
