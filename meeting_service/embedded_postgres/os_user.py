"""The operating system user that the server runs as.

PostgreSQL does not run as root. A process of root runs it as a user without rights.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from meeting_service.embedded_postgres.errors import EmbeddedServerError, UnsupportedPlatformError

UNPRIVILEGED_USER = "nobody"


@dataclass(frozen=True)
class OsUser:
    """A user that is not the one of this process."""

    uid: int
    gid: int


def server_user(cluster: Path) -> OsUser | None:
    """Return the owner of the cluster, or `nobody` before there is one; None unless we are root.

    Raises: EmbeddedServerError.
    """
    if os.geteuid() != 0:
        return None
    try:
        found = cluster.stat()
    except FileNotFoundError:
        return _unprivileged_user()
    if found.st_uid == 0:
        raise EmbeddedServerError(
            f"{cluster} belongs to root, and PostgreSQL does not run as root:"
            f" give it back to its owner (chown -R {UNPRIVILEGED_USER} {cluster})"
        )
    return OsUser(found.st_uid, found.st_gid)


def _unprivileged_user() -> OsUser:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise UnsupportedPlatformError(
            f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED_USER!r} to run"
            " it as: become a normal user"
        ) from None
    return OsUser(entry.pw_uid, entry.pw_gid)
