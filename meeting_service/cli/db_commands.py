"""Commands on the database; no service need run."""

import sys

import anyio

from meeting_core.codec import MeetingMapper
from meeting_service.app.database import open_recorder
from meeting_service.cli.exit_codes import Exit
from meeting_service.cli.printable import one_line
from meeting_service.rebuild_read_models import Rebuilt, rebuild
from meeting_service.settings import Settings
from meeting_service.store.postgres.migrate import HEAD


def upgrade_database(settings: Settings) -> None:
    """Upgrade the database of the settings to the newest schema.

    Raises: `EmbeddedServerError`, `MigrationError`, `PersistenceError`.
    """
    anyio.run(_upgrade, settings)
    print(f"the database is at schema {HEAD}")


def rebuild_read_models(settings: Settings) -> Exit:
    """Rebuild the read models and print the rows that differed.

    Raises: `EmbeddedServerError`, `MigrationError`, `PersistenceError`.
    """
    rebuilt = anyio.run(_rebuild, settings)
    for difference in rebuilt.differences:
        print(f"replaced {one_line(str(difference))}")
    for meeting_id, reason in rebuilt.unreadable:
        print(f"meetings: left alone {meeting_id}: {one_line(reason)}", file=sys.stderr)
    rows = len(rebuilt.differences)
    print(f"{rebuilt.meetings} meetings replayed, {rows} rows differed and were replaced")
    return Exit.FAILED if rebuilt.unreadable else Exit.COMPLETE


async def _upgrade(settings: Settings) -> None:
    # Opening the database upgrades it.
    async with open_recorder(settings):
        pass


async def _rebuild(settings: Settings) -> Rebuilt:
    async with open_recorder(settings) as recorder:
        return await rebuild(recorder, MeetingMapper())
