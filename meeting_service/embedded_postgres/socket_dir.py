"""The folder of the server's Unix socket."""

import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from meeting_service.embedded_postgres.errors import EmbeddedServerError
from meeting_service.embedded_postgres.os_user import OsUser

PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"

MAX_SOCKET_PATH_BYTES = 103
"""The longest path of a socket that every system takes."""
PLAIN_PATH = re.compile(r"[\w/.+-]+", re.ASCII)
"""Paths that need no quoting anywhere in a data source name or in PostgreSQL's settings."""


class SocketDir:
    """The cluster itself, or a short private folder where the cluster's path would not do."""

    def __init__(self, data_dir: Path, cluster: Path, *, application: str) -> None:
        self.path = cluster
        self._cluster = cluster
        in_cluster = str(cluster / SOCKET_NAME)
        if len(in_cluster) > MAX_SOCKET_PATH_BYTES or not PLAIN_PATH.fullmatch(in_cluster):
            digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()
            self.path = Path("/tmp", f"{application}-{digest[:16]}")  # noqa: S108 - its owner and mode are checked

    @property
    def socket(self) -> Path:
        """Return the path of the socket."""
        return self.path / SOCKET_NAME

    @property
    def setting(self) -> str:
        """Return the value of `unix_socket_directories`; the server runs in its cluster."""
        return "." if self.path == self._cluster else str(self.path)

    def create(self, os_user: OsUser | None) -> None:
        """Create the folder unless it is the cluster. Raises: EmbeddedServerError, OSError."""
        if self.path == self._cluster:
            return
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
            if os_user is not None:
                os.chown(self.path, os_user.uid, os_user.gid)
        found = self.path.lstat()
        owner = os_user.uid if os_user else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise EmbeddedServerError(f"{self.path} is not a private folder of ours: remove it")

    def remove(self) -> None:
        """Remove the folder unless it is the cluster, or not empty."""
        if self.path != self._cluster:
            with suppress(OSError):
                self.path.rmdir()
