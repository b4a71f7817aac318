"""What every test may ask for: short folders, a PostgreSQL server, a database of its own."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from meeting_service.app.database import APPLICATION
from meeting_service.embedded_postgres import EmbeddedServer

TEMPLATE = "template_meetings"

collect_ignore = ["real_model"]
"""Jobs of their own, `python3 run.py test --JOB`: they need what not every machine has."""


def short_temporary_folder() -> Path:
    """Make a folder whose path leaves room for a socket's, in memory where there is enough."""
    memory = Path("/dev/shm")
    in_memory = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 1024**3
    return Path(tempfile.mkdtemp(prefix="meetings-", dir=memory if in_memory else "/tmp"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": False}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's, open to the user that a server runs as."""
    folder = short_temporary_folder()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer]:
    """One server for the whole run, without the waits that make data survive a power cut."""
    folder = short_temporary_folder()
    settings = {"shared_buffers": "64MB"}
    try:
        with EmbeddedServer(
            folder, application=APPLICATION, durable=False, settings=settings
        ) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def admin_dsn(postgres_server: EmbeddedServer) -> str:
    """The server's maintenance database, for making and dropping others."""
    return postgres_server.dsn("postgres")


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedServer) -> str:
    """The name of a database with the newest schema, to be copied."""
    from meeting_service.store.postgres.migrate import upgrade

    postgres_server.create_database(TEMPLATE)
    asyncio.run(upgrade(postgres_server.dsn(TEMPLATE)))
    return TEMPLATE


@pytest.fixture(scope="session")
def database_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def empty_database_url(
    postgres_server: EmbeddedServer, admin_dsn: str, database_numbers: Iterator[int]
) -> Iterator[str]:
    """A database of the test's own with nothing in it."""
    with _database(admin_dsn, f"empty_{next(database_numbers)}", "template0") as name:
        yield postgres_server.dsn(name)


@pytest.fixture
def database_url(
    postgres_server: EmbeddedServer,
    admin_dsn: str,
    migrated_template: str,
    database_numbers: Iterator[int],
) -> Iterator[str]:
    """A database of the test's own with the newest schema."""
    with _database(admin_dsn, f"test_{next(database_numbers)}", migrated_template) as name:
        yield postgres_server.dsn(name)


@contextmanager
def _database(admin_dsn: str, name: str, template: str) -> Iterator[str]:
    """Copy a database, and drop the copy afterwards even if it is in use."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
