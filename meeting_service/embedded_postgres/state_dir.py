"""Where an application keeps its data on a user's machine."""

import os
import pwd
from contextlib import suppress
from pathlib import Path

from meeting_service.embedded_postgres.errors import DataDirError


def user_state_dir(application: str) -> Path:
    """Return the application's folder among the user's state.

    Raises: DataDirError for a user without a home.

    Source: XDG Base Directory Specification.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if Path(state).is_absolute() else _home() / ".local" / "state"
    return folder / application


def _home() -> Path:
    """Return the home of the effective user, which after `sudo` need not be $HOME."""
    user = os.geteuid()
    home = Path(os.environ.get("HOME", ""))
    with suppress(OSError):
        if home.is_absolute() and home.stat().st_uid == user:
            return home
    try:
        return Path(pwd.getpwuid(user).pw_dir)
    except KeyError:
        if home.is_absolute():
            return home
        # Never the working directory: the database would be another one in each.
        raise DataDirError(
            "there is no home folder to keep a database in: HOME is not set"
        ) from None
