"""Work on the database while no service need run."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from meeting_service.settings import Settings
from meeting_service.store import schema
from meeting_service.store.embedded import EmbeddedServer


def upgrade_database(settings: Settings) -> None:
    """Bring the settings' database to the newest schema.

    Raises: `EmbeddedServerError`, `MigrationError`.
    """
    with _database(settings) as dsn:
        anyio.run(schema.upgrade, dsn)
    print(f"the database is at schema {schema.HEAD}")


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    with EmbeddedServer(settings.data_dir) as server:
        yield server.dsn()
