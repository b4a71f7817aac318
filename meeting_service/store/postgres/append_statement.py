"""The statements that write: appends as their arguments, their answers as outcomes."""

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

import asyncpg
import msgspec
from eventsourcing.persistence import IntegrityError
from msgspec.structs import astuple

from meeting_core.model import MeetingId
from meeting_service.deadlines import Deadlines
from meeting_service.ports import Fenced, RoomTaken, TurnRow, VersionConflict
from meeting_service.store.postgres.append import MAX_EVENTS_ALONE, Append
from meeting_service.store.postgres.group_commit import Commit
from meeting_service.store.postgres.persistence_errors import library_errors
from meeting_service.store.postgres.queries import QUERIES
from meeting_service.store.postgres.rows import rows_json


class _Head(msgspec.Struct):
    meeting_id: MeetingId
    version: int
    epoch: int | None


class _Event(msgspec.Struct):
    meeting_id: MeetingId
    version: int
    topic: str


class _Lease(msgspec.Struct):
    meeting_id: MeetingId
    owner: str


# The plans must not depend on how small the tables were when they were made: a connection that
# first appended to an empty table would go on reading all of it for ever.
SETTINGS = {
    "application_name": "meetings: appends",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
"""Server settings for the connection that appends."""


_NO_EVENT = (None,) * (3 * MAX_EVENTS_ALONE)
_NO_TURN = (None,) * (len(TurnRow.__struct_fields__) - 1)


async def prepare(
    connection: asyncpg.Connection, deadlines: Deadlines, timeout_seconds: float
) -> Commit:
    """Prepare the statements; the result commits batches, one round trip each.

    A connection on which a commit takes longer than `timeout_seconds` is terminated: whatever is
    wrong with it, the next ones shall not wait.
    """
    append_all = await connection.prepare(QUERIES["append"])
    append_one = await connection.prepare(QUERIES["append_one"])

    async def is_accepted_alone(append: Append) -> bool:
        # Under little load most batches are of this kind, and time is latency there. It only ever
        # accepts: why something is refused is for the other statement to say.
        try:
            rows = await append_one.fetch(*arguments_alone(append))
        except asyncpg.UniqueViolationError:
            return False
        if rows:
            append.accept([position for (position,) in rows])
        return bool(rows)

    async def commit(batch: Sequence[Append]) -> None:
        deadlines.watch(connection.terminate, timeout_seconds)
        with library_errors():
            try:
                if len(batch) == 1 and batch[0].is_short and await is_accepted_alone(batch[0]):
                    return
                answer = await append_all.fetchrow(*arguments(batch))
            except asyncpg.UniqueViolationError as error:
                # Within one append, or by a writer that does not take our lock.
                if error.constraint_name == "meetings_events_pkey":
                    raise VersionConflict(str(error)) from error
                raise
            finally:
                deadlines.forget(connection.terminate)
        assert answer is not None
        settle(batch, *answer)

    return commit


def arguments_alone(append: Append) -> tuple[object, ...]:
    """Lay one append out as the short statement takes it: without JSON, and without arrays."""
    events: list[object] = []
    for event in append.events:
        events += (event.originator_version, event.topic, event.state)
    return (
        append.meeting_id,
        append.epoch,
        *events,
        *_NO_EVENT[len(events) :],
        *(astuple(append.turns[0])[1:] if append.turns else _NO_TURN),
        None if append.summary is None else append.summary.state,
    )


def arguments(batch: Sequence[Append]) -> tuple[str | list[bytes] | None, ...]:
    """Lay a batch out as the statement takes it: JSON arrays, and the events' states."""
    return (
        _json_or_none([_Head(append.meeting_id, append.version, append.epoch) for append in batch]),
        _json_or_none(
            [
                _Event(append.meeting_id, event.originator_version, event.topic)
                for append in batch
                for event in append.events
            ]
        ),
        [event.state for append in batch for event in append.events],
        _json_or_none(
            [_Lease(each.meeting_id, each.lease_owner) for each in batch if each.lease_owner]
        ),
        _json_or_none([append.summary for append in batch if append.summary is not None]),
        _json_or_none([turn for append in batch for turn in append.turns]),
    )


def _json_or_none(rows: Sequence[msgspec.Struct]) -> str | None:
    return rows_json(rows) if rows else None


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
            append.accept(list(islice(given, len(append.events))))


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
