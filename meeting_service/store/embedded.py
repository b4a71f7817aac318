"""The embedded database: one PostgreSQL server for every process that uses a data folder.

Lock files carry all that is shared, and the kernel gives each back when its holder dies:

    users.lock    held shared by every user as long as it lives; who gets it alone is the last
    server.lock   held alone by the processes of the server
    start.lock    held alone while somebody starts or stops the server, or counts itself in or out

A process killed with -9 leaves the server running: the next user finds it, and the last one out
stops it.
"""

import hashlib
import logging
import os
import pwd
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import anyio

from meeting_service.store.file_locks import Hold, open_lock, try_lock
from meeting_service.store.server_binaries import EmbeddedServerError
from meeting_service.store.server_probe import (
    DUPLICATE_DATABASE,
    ServerState,
    ask,
)
from meeting_service.store.server_process import (
    POLL_SECONDS,
    PORT,
    SOCKET_NAME,
    START_SECONDS,
    ServerProcess,
)

__all__ = ["EmbeddedServer", "EmbeddedServerError", "default_data_dir"]

logger = logging.getLogger(__name__)

DATABASE = "meetings"

SOCKET_PATH_BYTES = 103
"""The longest path of a socket that every system takes."""
PLAIN_PATH = re.compile(r"[\w/.+-]+", re.ASCII)
"""Paths that need no quoting in any place a data source name goes."""


class EmbeddedServer:
    """This process's use of the server of one data folder.

    `durable=False` gives up what a power cut would take, for tests. `settings` are PostgreSQL's
    own, over ours; whoever starts the server decides them for all.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = (data_dir or default_data_dir()).resolve()
        self._server = ServerProcess(
            self.data_dir,
            socket_dir=_socket_dir(self.data_dir),
            durable=durable,
            settings=settings or {},
        )
        self._users: int | None = None
        self._one_at_a_time = threading.RLock()

    def start(self) -> str:
        """Count this process in, bring the server up if need be, return the data source name.

        Raises: EmbeddedServerError.
        """
        with self._one_at_a_time:
            try:
                _make_private(self.data_dir)
                with self._start_lock():
                    self._count_in()
                    self._server.start()
                    self.create_database(DATABASE)
            except BaseException as error:
                self.close()
                if isinstance(error, OSError):
                    raise self._unusable(error) from error
                raise
        return self.dsn()

    def dsn(self, database: str = DATABASE) -> str:
        """Name a database of the server as a URL that asyncpg, SQLAlchemy and libpq take."""
        folder = quote(str(self._server.socket.parent), safe="/")
        return f"postgresql://postgres@/{database}?host={folder}&port={PORT}"

    def create_database(self, name: str) -> None:
        """Make a database unless it is there. Raises: EmbeddedServerError, OSError."""
        refusal = ask(self._server.socket, "postgres", f'CREATE DATABASE "{name}"')
        if refusal not in (None, DUPLICATE_DATABASE):
            raise EmbeddedServerError(
                f"PostgreSQL refused to make the database {name} (SQLSTATE {refusal});"
                f" see {self._server.log}"
            )

    def ensure_running(self) -> bool:
        """Start the server again if it is gone; say whether it was.

        Raises: EmbeddedServerError.
        """
        with self._one_at_a_time:
            if self._users is None or self._server.main_process() is not None:
                return False
            try:
                with self._start_lock():
                    # Another of its users may have been faster.
                    if self._server.state() is ServerState.READY:
                        return False
                    self._server.start()
                    return True
            except OSError as error:
                raise self._unusable(error) from error

    async def keep_running(self, *, interval_seconds: float = 0.5) -> None:
        """Watch over the server until cancelled, starting it again whenever it is gone."""
        while True:
            try:
                if await anyio.to_thread.run_sync(self.ensure_running):
                    logger.warning("PostgreSQL was gone and runs again")
            except EmbeddedServerError as error:
                logger.error("PostgreSQL is gone: %s", error)  # noqa: TRY400 - one line says it
            await anyio.sleep(interval_seconds)

    def close(self) -> None:
        """Count this process out; the last one stops the server. Harmless to repeat."""
        with self._one_at_a_time:
            if self._users is None:
                return
            users, self._users = self._users, None
            try:
                with self._start_lock():
                    if not try_lock(users, Hold.ALONE):
                        self._server.abandon()
                    elif not self._server.stop():
                        logger.warning("PostgreSQL in %s did not stop", self.data_dir)
            finally:
                os.close(users)

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

    def _count_in(self) -> None:
        """Share the users' lock; it is free, as only a holder of the start lock takes it alone."""
        if self._users is None:
            self._users = open_lock(self.data_dir / "users.lock")
        while not try_lock(self._users, Hold.SHARED):
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Be the only one who starts or stops the server. Raises: EmbeddedServerError."""
        lock = open_lock(self.data_dir / "start.lock")
        try:
            give_up_at = time.monotonic() + 2 * START_SECONDS
            while not try_lock(lock, Hold.ALONE):
                if time.monotonic() > give_up_at:
                    raise EmbeddedServerError(
                        f"another process holds {self.data_dir / 'start.lock'}: end it, try again"
                    )
                time.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(lock)

    def _unusable(self, error: OSError) -> EmbeddedServerError:
        cause = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        return EmbeddedServerError(
            f"cannot keep a database in {self.data_dir}: {cause};"
            " give another folder with --data-dir, or set DATABASE_URL"
        )


def default_data_dir() -> Path:
    """Return the database's folder among the user's state.

    Source: XDG Base Directory Specification.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if Path(state).is_absolute() else _home() / ".local" / "state"
    return folder / "ai-meetings"


def _home() -> Path:
    """Return the home of the user we run as, which after `sudo` need not be $HOME."""
    user = os.geteuid()
    home = Path(os.environ.get("HOME", ""))
    with suppress(OSError):
        if home.is_absolute() and home.stat().st_uid == user:
            return home
    try:
        return Path(pwd.getpwuid(user).pw_dir)
    except KeyError:
        return home.absolute()


def _socket_dir(data_dir: Path) -> Path:
    """Choose the cluster for the socket too, or a short folder when its path would not do."""
    cluster = data_dir / "cluster"
    path = str(cluster / SOCKET_NAME)
    if len(path) <= SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(path):
        return cluster
    return Path("/tmp", f"ai-meetings-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}")  # noqa: S108 - its owner and mode are checked


def _make_private(folder: Path) -> None:
    """Make a folder and the parents it lacks, for this user alone; leave what is there alone."""
    if not folder.exists():
        _make_private(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
