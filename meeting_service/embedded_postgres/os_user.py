"""The operating system user that the server runs as.

PostgreSQL does not run as root. A process of root runs it as a user without rights.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from meeting_service.embedded_postgres.errors import (
    EmbeddedServerError,
    NoAccountError,
    UnsupportedPlatformError,
)

UNPRIVILEGED_USER = "nobody"


@dataclass(frozen=True)
class OsUser:
    """A user that is not the one of this process."""

    uid: int
    gid: int


def server_user(cluster: Path) -> OsUser | None:
    """Return the owner of the cluster, or `nobody` before there is one; None unless we are root.

    Raises: EmbeddedServerError, OSError.
    """
    if os.geteuid() != 0:
        _check_account(cluster)
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


def _check_account(cluster: Path) -> None:
    """Check that the user has a name, without which `initdb` makes no cluster.

    Raises: NoAccountError, OSError.
    """
    user = os.geteuid()
    try:
        pwd.getpwuid(user)
    except KeyError:
        if not cluster.exists():
            raise NoAccountError(
                f"the user id {user} has no entry in /etc/passwd, without which PostgreSQL makes no"
                " database"
            ) from None


def _unprivileged_user() -> OsUser:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise UnsupportedPlatformError(
            f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED_USER!r} to run"
            " it as: become a normal user"
        ) from None
    return OsUser(entry.pw_uid, entry.pw_gid)
