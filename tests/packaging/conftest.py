"""The wheel and the source distribution, built once for the tests of this folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

BUILD = "import sys; from hatchling import build; getattr(build, sys.argv[1])(sys.argv[2])"


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build through the backend's hooks, with the locked version of it; return the file."""
    folder.mkdir()
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(folder)]
    subprocess.run(command, check=True, cwd=source)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel") / "built")


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist") / "built")
