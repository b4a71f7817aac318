"""llama.cpp's server as a child process on this machine's loopback address."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from meeting_service.local_model.errors import LocalModelError
from meeting_service.local_model.model_files import (
    ModelFiles,
    find_model_files,
    install_model_files,
    user_cache_dir,
)

MODEL = "smollm2-135m-instruct"
"""The name under which the server knows its model; it answers to any other as well."""
PROGRAM = Path(__file__).with_name("server_program.py")
MAX_START_SECONDS = 60.0
MAX_STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
MAX_THREADS = 8
"""More do not make a model of this size any faster."""


@contextmanager
def running_local_model(
    *,
    context_tokens: int = 4096,
    calls_at_once: int = 2,
    threads: int | None = None,
    folder: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[str]:
    """Run the local model, installing it first if need be; yield the base URL of its API.

    Units: `context_tokens` are for each call: brief and reply together.
    Raises: LocalModelError, OSError.
    """
    folder = user_cache_dir() if folder is None else folder
    files = find_model_files(folder)
    if files is None:
        report("installing the local model, about 130 MB, once")
        files = install_model_files(folder)
    options = {
        "packages": str(files.packages),
        "model": str(files.model),
        "alias": MODEL,
        "context_tokens": context_tokens,
        "calls_at_once": calls_at_once,
        "threads": min(threads or os.cpu_count() or 1, MAX_THREADS),
    }
    with tempfile.TemporaryFile() as log, _child(files, options, log) as child:
        address = _address(child, log)
        _wait_until_healthy(address, child, log)
        yield f"{address}/v1"


@contextmanager
def _child(
    files: ModelFiles, options: dict[str, object], log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server; it ends with the pipe to it, so also when this process is killed."""
    child = subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM), json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=files.model.parent,
        # Its threads wait for each other after every layer. By default they spin, and where other
        # programs want the cores too, one that spins keeps out the one that it waits for: measured
        # on two busy cores, 22 s for what takes 3.
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        # Ctrl-C in a terminal is for this process, which may still need the model to end well.
        start_new_session=True,
    )
    try:
        yield child
    finally:
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        try:
            child.wait(MAX_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _address(child: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    """Wait for the line that says where the server listens. Raises: LocalModelError."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], MAX_START_SECONDS)
    line = child.stdout.readline().decode().strip() if ready else ""
    if not line.startswith("http://"):
        if ready:
            # Its output has ended, so it has nearly done so too, and then there is an exit code.
            with suppress(subprocess.TimeoutExpired):
                child.wait(MAX_STOP_SECONDS)
        raise _not_started(child, log)
    return line


def _wait_until_healthy(address: str, child: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """Wait until the server has read its model. Raises: LocalModelError."""
    deadline = time.monotonic() + MAX_START_SECONDS
    while not _is_healthy(address):
        if child.poll() is not None or time.monotonic() > deadline:
            raise _not_started(child, log)
        time.sleep(POLL_SECONDS)


def _is_healthy(address: str) -> bool:
    """Ask without a proxy: the server is on this machine."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=MAX_STOP_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _not_started(child: subprocess.Popen[bytes], log: IO[bytes]) -> LocalModelError:
    """Say why the server did not start, by the last line of its log."""
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    ending = f"not ready after {MAX_START_SECONDS:.0f} s"
    if (code := child.poll()) is not None:
        ending = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return LocalModelError(
        f"the local model's server did not start ({ending}): {lines[-1].strip() if lines else '-'}"
    )
