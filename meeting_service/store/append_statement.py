"""The one statement that writes: a batch of appends as its arguments, its answer as outcomes."""

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

import asyncpg
from eventsourcing.persistence import IntegrityError

from meeting_service.ports import Fenced, RoomTaken, VersionConflict
from meeting_service.store.append import Append
from meeting_service.store.group_commit import Commit
from meeting_service.store.persistence_errors import library_errors
from meeting_service.store.queries import QUERIES

# The plans must not depend on how small the tables were when they were made: a connection that
# first appended to an empty table would go on reading all of it for ever.
SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
"""Server settings for the connection that appends."""


async def prepare(connection: asyncpg.Connection, timeout_seconds: float) -> Commit:
    """Prepare the statement; the result commits batches, one round trip each."""
    statement = await connection.prepare(QUERIES["append"])

    async def commit(batch: Sequence[Append]) -> None:
        with library_errors():
            try:
                answer = await statement.fetchrow(*arguments(batch), timeout=timeout_seconds)
            except TimeoutError:
                connection.terminate()  # whatever is wrong with it, the next ones shall not wait
                raise
            except asyncpg.UniqueViolationError as error:
                # Within one append, or by a writer that does not take our lock.
                if error.constraint_name == "meetings_events_pkey":
                    raise VersionConflict(str(error)) from error
                raise
        assert answer is not None
        settle(batch, *answer)

    return commit


def arguments(batch: Sequence[Append]) -> tuple[str | list[bytes] | None, ...]:
    """Lay a batch out as the statement takes it: JSON arrays, and the events' states."""
    return (
        _array([append.head_json for append in batch]),
        _array([append.events_json for append in batch]),
        [state for append in batch for state in append.states],
        _array([append.lease_json for append in batch if append.lease_json]),
        _array([append.summary_json for append in batch if append.summary_json]),
        _array([append.turns_json for append in batch if append.turns_json]),
    )


def settle(
    batch: Sequence[Append],
    refused: Sequence[UUID] | None,
    reasons: Sequence[str] | None,
    holders: Sequence[UUID | None] | None,
    positions: Sequence[int] | None,
) -> None:
    """Tell every append of a committed batch what became of it."""
    given = iter(positions or ())
    refusals = dict(zip(refused or (), zip(reasons or (), holders or (), strict=True), strict=True))
    for append in batch:
        if refusals and append.meeting_id in refusals:
            append.refuse(_refusal(append, *refusals[append.meeting_id]))
        else:
            append.accept(list(islice(given, len(append.states))))


def _refusal(append: Append, reason: str, holder: UUID | None) -> IntegrityError:
    match reason:
        case "conflict":
            return VersionConflict(
                f"meeting {append.meeting_id} has a version {append.version} already"
            )
        case "fenced":
            return Fenced(f"epoch {append.epoch} of meeting {append.meeting_id} is over")
        case "room" if append.room_id is not None and holder is not None:
            return RoomTaken(append.room_id, holder)
        case _:
            raise AssertionError(f"the database refused an append for {reason!r}")


def _array(rows: Sequence[str]) -> str | None:
    return f"[{','.join(rows)}]" if rows else None
