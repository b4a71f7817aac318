"""Run the migrations: on the connection that `schema` hands over, else on `DATABASE_URL`."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from meeting_service.store.postgres.migrate import VERSION_TABLE, run_in_transaction


def migrate(connection: Connection) -> None:
    """Run what alembic was asked for, in the connection's transaction."""
    context.configure(connection=connection, version_table=VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    asyncio.run(run_in_transaction(os.environ["DATABASE_URL"], migrate))
