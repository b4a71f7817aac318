"""What is said of a password that a server does not accept: whether there was any."""

import os
import stat
from pathlib import Path

from meeting_service.database_address import DatabaseAddress

ENCODE = "signs like @ : / ? # % in it are written as %40 %3A %2F %3F %23 %25"


def password_advice(address: DatabaseAddress) -> str:
    """Return which password was not accepted, and what to do."""
    if address.password:
        return f"correct it; {ENCODE}"
    if os.environ.get("PGPASSWORD"):
        return "correct it in PGPASSWORD"
    return f"none was given: the address has none, and {_of_file(address)}"


def _of_file(address: DatabaseAddress) -> str:
    named = address.driver.get("passfile") or os.environ.get("PGPASSFILE")
    file = Path(named) if named else Path("~/.pgpass").expanduser()
    try:
        mode = file.stat().st_mode
    except OSError:
        return f"the passfile {file} is not there or may not be read: write one of them"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"the passfile {file} is not used while others may read it: chmod 600 it"
    return f"the passfile {file} has none for it, or a wrong one: correct it"
