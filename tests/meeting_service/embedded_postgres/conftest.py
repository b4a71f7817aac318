"""Data folders for embedded servers."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import short_temporary_folder
from tests.meeting_service.embedded_postgres.servers import embedded


@pytest.fixture(scope="package")
def made_before() -> Iterator[Path]:
    """A data folder whose cluster is made once, as making one takes seconds."""
    folder = short_temporary_folder()
    with embedded(folder):
        pass
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_folder(short_folder: Path) -> Iterator[Path]:
    """A data folder without a cluster; a server that a test left running in it is stopped."""
    yield short_folder
    if (short_folder / "cluster").exists():
        with embedded(short_folder):
            pass


@pytest.fixture
def folder(new_folder: Path, made_before: Path) -> Path:
    """A data folder with a cluster that was used and left."""
    subprocess.check_call(["cp", "-a", made_before / "cluster", new_folder])
    return new_folder
