"""What these tests share: a server over TCP, and a database of each test's own."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import short_temporary_folder
from tests.databases.servers import Server


@pytest.fixture(scope="module")
def server_folder() -> Iterator[Path]:
    folder = short_temporary_folder()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[Server]:
    """A server that these tests connect to over TCP, with a password."""
    made = Server(server_folder, "primary")
    try:
        yield made.create().start()
    finally:
        made.stop()


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def database(server: Server, numbers: Iterator[int]) -> str:
    """The name of an empty database of the test's own."""
    name = f"meetings_{next(numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return name
