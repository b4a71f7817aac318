"""The statements that write: appends as their arguments, their answers as outcomes."""

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

import asyncpg
from eventsourcing.persistence import IntegrityError
from msgspec.structs import astuple

from meeting_service.ports import Fenced, RoomTaken, TurnRow, VersionConflict
from meeting_service.store.append import Append
from meeting_service.store.group_commit import Commit
from meeting_service.store.persistence_errors import library_errors
from meeting_service.store.queries import QUERIES

# The plans must not depend on how small the tables were when they were made: a connection that
# first appended to an empty table would go on reading all of it for ever.
SETTINGS = {
    "application_name": "meetings: appends",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
"""Server settings for the connection that appends."""


_NO_TURN = (None,) * (len(TurnRow.__struct_fields__) - 1)


async def prepare(connection: asyncpg.Connection, timeout_seconds: float) -> Commit:
    """Prepare the statements; the result commits batches, one round trip each."""
    append_all = await connection.prepare(QUERIES["append"])
    append_turn = await connection.prepare(QUERIES["append_turn"])

    async def accepts_turn(append: Append) -> bool:
        # Under little load most batches are of this kind, and time is latency there. It only ever
        # accepts: why something is refused is for the other statement to say.
        try:
            rows = await append_turn.fetch(*turn_arguments(append), timeout=timeout_seconds)
        except asyncpg.UniqueViolationError:
            return False
        if rows:
            append.accept([position for position, _ in rows])
        return bool(rows)

    async def commit(batch: Sequence[Append]) -> None:
        with library_errors():
            try:
                if len(batch) == 1 and batch[0].is_one_turn and await accepts_turn(batch[0]):
                    return
                answer = await append_all.fetchrow(*arguments(batch), timeout=timeout_seconds)
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


def turn_arguments(append: Append) -> tuple[object, ...]:
    """Lay one append out as the short statement takes it: events and turn as plain values."""
    first = append.events[0]
    head = (append.meeting_id, append.epoch, first.originator_version, first.topic, first.state)
    if len(append.events) == 1:
        second: tuple[object, ...] = (None, None, None)
    else:
        event = append.events[1]
        second = (event.originator_version, event.topic, event.state)
    return (*head, *second, *(astuple(append.turns[0])[1:] if append.turns else _NO_TURN))


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
