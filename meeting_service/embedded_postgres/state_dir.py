"""Where an application keeps its data on a user's machine."""

import os
import pwd
from contextlib import suppress
from pathlib import Path


def user_state_dir(application: str) -> Path:
    """Return the application's folder among the user's state.

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
        return home.absolute()
