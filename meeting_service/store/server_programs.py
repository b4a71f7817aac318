"""The two PostgreSQL programs we run, as whom and with which settings: `initdb` and `postgres`."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from meeting_service.store.server_binaries import Account

INITDB_OPTIONS = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    # The server's own Unicode rules: the same on every machine, whatever locales it has.
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
    # Statements carry what was said in meetings, and refused ones are the service's to report.
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
    """A program ended badly; the text is all it said."""


def run_initdb(
    initdb: Path, folder: Path, account: Account | None, *, options: Sequence[str] = ()
) -> None:
    """Fill an empty folder with a new cluster. Raises: ProgramFailed, OSError."""
    with _path_for(account, folder) as (path, descriptors):
        made = subprocess.run(
            [initdb, f"--pgdata={path}", *INITDB_OPTIONS, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            pass_fds=descriptors,
            **_circumstances(account),
        )
    if made.returncode != 0:
        raise ProgramFailed(made.stdout)


def spawn_postgres(
    postgres: Path,
    cluster: Path,
    account: Account | None,
    *,
    log: IO[bytes],
    lifeline: int,
    settings: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """Start the server without waiting for it.

    All its processes inherit `lifeline`: a lock held through it is free when the last has ended.
    Raises: OSError.
    """
    options = [f"--{name}={value}" for name, value in settings.items()]
    with _path_for(account, cluster) as (path, descriptors):
        return subprocess.Popen(
            [postgres, "-D", path, *options],
            stdout=log,
            stderr=log,
            pass_fds=(*descriptors, lifeline),
            # A Ctrl-C is for the application, which shuts the server down itself.
            start_new_session=True,
            umask=0o077,
            **_circumstances(account),
        )


def reason_in(output: str) -> str:
    """Pick the line that says why a program failed."""
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
def _path_for(account: Account | None, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give a path by which the account reaches a folder, and the descriptors to pass with it.

    A folder in a closed home is reached through an open descriptor: no permission is changed.
    """
    if account is None or sys.platform != "linux":
        yield str(folder), ()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", (descriptor,)
    finally:
        os.close(descriptor)


def _circumstances(account: Account | None) -> dict[str, Any]:
    """Give what both programs run with, apart from their arguments."""
    # PG* variables would change the server's port or folder, LC_* the language of its messages.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {
        "stdin": subprocess.DEVNULL,
        "env": kept | {"LC_ALL": "C"},
        "cwd": "/",
        "user": account.uid if account else None,
        "group": account.gid if account else None,
        "extra_groups": [] if account else None,
    }
