"""Comparing the read models with the events, and setting them right; on PostgreSQL."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from asyncpg.pool import PoolConnectionProxy
from eventsourcing.persistence import StoredEvent

from meeting_core.model import MeetingId
from meeting_service.ports import ReadModels
from meeting_service.store.postgres import rows
from meeting_service.store.postgres.append_request import rows_json
from meeting_service.store.postgres.statements import QUERIES

Project: TypeAlias = Callable[[Sequence[StoredEvent]], ReadModels]
"""Makes a meeting's read models from its whole history; empty ones from an empty history."""


async def select_read_models(connection: PoolConnectionProxy, meeting_id: MeetingId) -> ReadModels:
    """Return the rows that are stored for a meeting."""
    summary = await connection.fetchrow(QUERIES["select_summary"], meeting_id)
    turns = await connection.fetch(QUERIES["select_turns"], meeting_id)
    return ReadModels(
        None if summary is None else rows.summary_row(summary),
        tuple(rows.turn_row(turn) for turn in turns),
    )


async def correct_read_models(
    connection: PoolConnectionProxy, meeting_id: MeetingId, project: Project
) -> tuple[ReadModels, ReadModels]:
    """Replace a meeting's rows by what its events say, if they differ, keeping writers out.

    Shape: the rows as they were, and as they are now.
    """
    async with connection.transaction():
        await connection.execute(QUERIES["lock_appends"])
        events = await connection.fetch(QUERIES["select_events"], meeting_id, None, None, None)
        right = project([StoredEvent(meeting_id, *event) for event in events])
        stored = await select_read_models(connection, meeting_id)
        if stored != right:
            await connection.execute(QUERIES["delete_summary"], meeting_id)
            await connection.execute(QUERIES["delete_turns"], meeting_id)
            summaries = [] if right.summary is None else [right.summary]
            await connection.execute(QUERIES["insert_summary"], rows_json(summaries))
            await connection.execute(QUERIES["insert_turns"], rows_json(right.turns))
            await connection.execute(QUERIES["delete_lease_of_ended"], meeting_id)
    return stored, right
