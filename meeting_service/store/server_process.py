"""The PostgreSQL server over one data folder: make the cluster, start it, find it, stop it.

Whoever starts or stops holds the data folder's start lock; `embedded` says who shares a server.
All processes of a server hold `server.lock` through an inherited descriptor, so whether it lives
is a question to the kernel, which neither zombies nor reused process ids can answer wrongly.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from meeting_service.store.file_locks import Hold, is_held_alone, open_lock, try_lock
from meeting_service.store.server_binaries import (
    MAJOR_VERSION,
    Account,
    EmbeddedServerError,
    find_programs,
    server_account,
)
from meeting_service.store.server_probe import ServerState, probe
from meeting_service.store.server_programs import (
    NO_SPACE,
    NOT_DURABLE,
    SETTINGS,
    ProgramFailed,
    reason_in,
    run_initdb,
    spawn_postgres,
)

PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"

START_SECONDS = 120.0
"""Long enough to replay the write-ahead log after a crash."""
STOP_SECONDS = 20.0
LINGER_SECONDS = 10.0
"""How long a server may live that is being killed, or that has no socket to reach it by."""
POLL_SECONDS = 0.01
LOG_BYTES = 10_000_000


class ServerProcess:
    """The server of one data folder, whichever process started it."""

    def __init__(
        self, data_dir: Path, *, socket_dir: Path, durable: bool, settings: Mapping[str, str]
    ) -> None:
        self.cluster = data_dir / "cluster"
        self.log = data_dir / "postgres.log"
        self.socket = socket_dir / SOCKET_NAME
        self._data_dir = data_dir
        self._lock = data_dir / "server.lock"
        self._durable = durable
        self._settings = {**SETTINGS, **({} if durable else NOT_DURABLE), **settings}
        self._child: subprocess.Popen[bytes] | None = None

    def state(self) -> ServerState:
        """Ask the server itself whether it takes queries."""
        return probe(self.socket)

    def is_running(self) -> bool:
        """Say, without connecting, whether a process of the server lives. Raises: OSError."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        return is_held_alone(self._lock)

    def main_process(self) -> int | None:
        """Return the id of the living main process, if it is sure to be the server's."""
        try:
            process_id = int((self.cluster / "postmaster.pid").read_text().partition("\n")[0])
            if sys.platform == "linux":
                # A server's working directory is its cluster.
                is_ours = Path(f"/proc/{process_id}/cwd").samefile(self.cluster)
            else:
                is_ours = self.is_running()
        except (OSError, ValueError):
            return None
        return process_id if is_ours else None

    def start(self) -> None:
        """Bring the server up and wait until it takes queries.

        Raises: EmbeddedServerError, OSError.
        """
        account = server_account(self.cluster)
        programs = find_programs(account)
        if not self.cluster.exists():
            self._create_cluster(programs / "initdb", account)
        self._check_version()
        self._settle()
        if not self.is_running():
            self._reap()
            self._make_socket_dir(account)
            self._forget_stale_process()
            self._launch(programs / "postgres", account)

    def stop(self) -> bool:
        """Shut the server down, politely first; say whether all its processes are gone."""
        for request, patience_seconds in (
            (signal.SIGINT, STOP_SECONDS),
            (signal.SIGQUIT, LINGER_SECONDS),
            (signal.SIGKILL, LINGER_SECONDS),
        ):
            if (process_id := self.main_process()) is not None:
                with suppress(ProcessLookupError):
                    os.kill(process_id, request)
            give_up_at = time.monotonic() + patience_seconds
            while self.is_running() and time.monotonic() < give_up_at:
                time.sleep(POLL_SECONDS)
            if not self.is_running():
                self._reap()
                self._remove_socket_dir()
                return True
        return False

    def abandon(self) -> None:
        """Leave a running server to its other users."""
        if self._child is not None:
            # Else Python warns of a child left running, which is just what is wanted.
            self._child.returncode = 0
            self._child = None

    def _reap(self) -> None:
        """See the child out; it let go of the lock, so it is all but gone."""
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _settle(self) -> None:
        """Wait for a server on its way up or down; stop one that cannot be reached.

        Raises: EmbeddedServerError.
        """
        began_at = time.monotonic()
        while self.is_running() and (state := self.state()) is not ServerState.READY:
            patience = START_SECONDS if state is ServerState.BUSY else LINGER_SECONDS
            if time.monotonic() - began_at > patience and not self.stop():
                raise EmbeddedServerError(
                    f"a PostgreSQL server uses {self.cluster} and cannot be reached or stopped"
                    " from here: end it where it runs, perhaps in another container"
                )
            time.sleep(10 * POLL_SECONDS)

    def _says_it_is_ready(self) -> bool:
        with suppress(FileNotFoundError):
            return "ready" in (self.cluster / "postmaster.pid").read_text()
        return False

    def _create_cluster(self, initdb: Path, account: Account | None) -> None:
        """Make a cluster aside and move it in place whole, so a killed attempt leaves none."""
        for leftover in self._data_dir.glob("cluster.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="cluster.new-", dir=self._data_dir))
        if account is not None:
            os.chown(fresh, account.uid, account.gid)
        try:
            run_initdb(initdb, fresh, account, options=() if self._durable else ("--no-sync",))
        except ProgramFailed as failure:
            shutil.rmtree(fresh, ignore_errors=True)
            with self._open_log(account) as log:
                log.write(str(failure).encode())
            raise self._error("could not make its files", reason_in(str(failure))) from None
        fresh.rename(self.cluster)

    def _check_version(self) -> None:
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise EmbeddedServerError(
                f"{self.cluster} was made by PostgreSQL {version}, this is {MAJOR_VERSION}:"
                " move the data with pg_dump, or give another folder with --data-dir"
            )

    def _make_socket_dir(self, account: Account | None) -> None:
        """Make the socket's own folder, where the cluster's path is too long for a socket."""
        folder = self.socket.parent
        if folder == self.cluster:
            return
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if account is not None:
                os.chown(folder, account.uid, account.gid)
        found = folder.lstat()
        owner = account.uid if account else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise EmbeddedServerError(f"{folder} is not a private folder of ours: remove it")

    def _remove_socket_dir(self) -> None:
        if self.socket.parent != self.cluster:
            with suppress(OSError):
                self.socket.parent.rmdir()

    def _forget_stale_process(self) -> None:
        """Remove the process id of a server that is gone.

        PostgreSQL refuses to start while that number is alive, were it a zombie or a stranger
        who got it after a reboot.
        """
        for folder in (self.cluster, self.socket.parent):
            (folder / "postmaster.pid").unlink(missing_ok=True)
            (folder / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)

    def _launch(self, postgres: Path, account: Account | None) -> None:
        """Start the server and wait for it. Raises: EmbeddedServerError, OSError."""
        own_folder = self.socket.parent != self.cluster
        settings = {
            **self._settings,
            "port": str(PORT),
            "unix_socket_directories": str(self.socket.parent) if own_folder else ".",
        }
        with self._open_log(account) as log, self._lifeline() as lifeline:
            written_before = log.seek(0, os.SEEK_END)
            self._child = child = spawn_postgres(
                postgres, self.cluster, account, log=log, lifeline=lifeline, settings=settings
            )
        give_up_at = time.monotonic() + START_SECONDS
        # Asking a server that is not up yet would write a line in its log each time.
        while not (self._says_it_is_ready() and self.state() is ServerState.READY):
            if child.poll() is not None:
                with self.log.open("rb") as log:
                    log.seek(written_before)
                    output = log.read().decode(errors="replace")
                raise self._error("did not start", reason_in(output))
            if time.monotonic() > give_up_at:
                self.stop()
                raise self._error("did not start", f"not ready after {START_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _lifeline(self) -> Iterator[int]:
        """Hold the lock that passes to the server. Raises: EmbeddedServerError."""
        descriptor = open_lock(self._lock)
        try:
            give_up_at = time.monotonic() + LINGER_SECONDS
            # Somebody who asks whether the server runs holds the lock for a moment.
            while not try_lock(descriptor, Hold.ALONE):
                if time.monotonic() > give_up_at:
                    raise EmbeddedServerError(f"{self._lock} is held by another process: end it")
                time.sleep(POLL_SECONDS)
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_log(self, account: Account | None) -> IO[bytes]:
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        log = self.log.open("ab")
        if account is not None:
            os.fchown(log.fileno(), account.uid, account.gid)
        return log

    def _error(self, what: str, reason: str) -> EmbeddedServerError:
        if NO_SPACE in reason:
            return EmbeddedServerError(
                f"no space left for the database in {self._data_dir}: free some and start again"
            )
        return EmbeddedServerError(f"PostgreSQL {what}: {reason}; see {self.log}")
