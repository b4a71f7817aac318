"""Work on the database while no service need run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from meeting_core.mapper import MeetingMapper
from meeting_service.cli.exits import Exit
from meeting_service.cli.printable import one_line
from meeting_service.read.rebuild import Rebuilt, rebuild
from meeting_service.settings import Settings
from meeting_service.store import schema
from meeting_service.store.embedded import EmbeddedServer
from meeting_service.store.postgres import PostgresRecorder


def upgrade_database(settings: Settings) -> None:
    """Bring the settings' database to the newest schema.

    Raises: `EmbeddedServerError`, `MigrationError`.
    """
    with _database(settings) as dsn:
        anyio.run(schema.upgrade, dsn)
    print(f"the database is at schema {schema.HEAD}")


def rebuild_read_models(settings: Settings) -> Exit:
    """Make the read models anew and print what was wrong with them.

    Raises: `EmbeddedServerError`, `MigrationError`, `PersistenceError`.
    """
    with _database(settings) as dsn:
        rebuilt = anyio.run(_rebuild, dsn)
    for difference in rebuilt.differences:
        print(f"replaced {one_line(str(difference))}")
    for meeting_id, reason in rebuilt.unreadable:
        print(f"meetings: left alone {meeting_id}: {one_line(reason)}", file=sys.stderr)
    rows = len(rebuilt.differences)
    print(f"{rebuilt.meetings} meetings replayed, {rows} rows differed and were replaced")
    return Exit.FAILED if rebuilt.unreadable else Exit.COMPLETE


async def _rebuild(dsn: str) -> Rebuilt:
    await schema.upgrade(dsn)
    async with await PostgresRecorder.open(dsn) as recorder:
        return await rebuild(recorder, MeetingMapper())


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    with EmbeddedServer(settings.data_dir) as server:
        yield server.dsn()
