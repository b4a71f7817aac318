"""One append on its way into the database: its arguments there, and its outcome back."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from uuid import UUID

import msgspec
from eventsourcing.persistence import IntegrityError, ProgrammingError, StoredEvent
from msgspec.structs import astuple

from meeting_core.model import MeetingId
from meeting_service.ports import (
    Fenced,
    ReadModels,
    RoomTaken,
    TooManyLive,
    TurnRow,
    VersionConflict,
)

MAX_EVENTS_ALONE = 4
"""The end of a turn, what follows from it, and the intent of the next; the short statement's."""

_NO_EVENT = (None,) * (3 * MAX_EVENTS_ALONE)
_NO_TURN = (None,) * (len(TurnRow.__struct_fields__) - 1)

_encoder = msgspec.json.Encoder()


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
    max_live: int | None


class Append:
    """One meeting's events and rows, waiting to be committed.

    Raises: `ProgrammingError` for more than one meeting's.
    """

    __slots__ = (
        "epoch",
        "events",
        "lease_owner",
        "max_live",
        "meeting_id",
        "outcome",
        "room_id",
        "size",
        "summary",
        "turns",
        "version",
    )

    def __init__(
        self,
        stored_events: Sequence[StoredEvent],
        epoch: int | None,
        lease_owner: str | None,
        read_models: ReadModels,
        max_live: int | None = None,
    ) -> None:
        self.meeting_id = only_meeting(stored_events, read_models)
        self.version = stored_events[0].originator_version
        self.epoch = epoch
        self.events = stored_events
        self.lease_owner = lease_owner
        self.max_live = max_live
        self.summary = read_models.summary
        self.turns = read_models.turns
        self.room_id = self.summary.room_id if self.summary else None
        self.size = sum([len(event.state) for event in stored_events])
        self.outcome: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    @property
    def is_short(self) -> bool:
        """Return whether the short statement takes it: a live meeting's, of one turn at most."""
        goes_on = self.summary is None or self.summary.is_live
        is_one_turn = len(self.turns) <= 1 and len(self.events) <= MAX_EVENTS_ALONE
        return goes_on and is_one_turn and self.epoch is not None

    def accept(self, positions: list[int]) -> None:
        """Return the positions of its events to the caller that waits."""
        if not self.outcome.done():
            self.outcome.set_result(positions)

    def refuse(self, error: Exception) -> None:
        """Raise the error where the caller waits."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # else it is logged as never retrieved when the caller is gone


def only_meeting(stored_events: Sequence[StoredEvent], read_models: ReadModels) -> MeetingId:
    """Return the meeting that these events and rows are of.

    Raises: `ProgrammingError` for those of several meetings, or of something else.
    """
    meeting_id = stored_events[0].originator_id
    if not isinstance(meeting_id, UUID):
        raise ProgrammingError(f"a meeting's id is a UUID, not {meeting_id!r}")
    named = [event.originator_id for event in stored_events]
    named += [turn.meeting_id for turn in read_models.turns]
    if read_models.summary is not None:
        named.append(read_models.summary.meeting_id)
    if named.count(meeting_id) < len(named):
        raise ProgrammingError("an append holds the events and rows of one meeting only")
    return meeting_id


def arguments_alone(append: Append) -> tuple[object, ...]:
    """Return one append as the short statement takes it: without JSON, and without arrays."""
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
    """Return a batch as the statement takes it: JSON arrays, and the events' states."""
    leases = [
        _Lease(append.meeting_id, append.lease_owner, append.max_live)
        for append in batch
        if append.lease_owner
    ]
    summaries = [append.summary for append in batch if append.summary is not None]
    turns = [turn for append in batch for turn in append.turns]
    return (
        rows_json([_Head(append.meeting_id, append.version, append.epoch) for append in batch]),
        rows_json(
            [
                _Event(append.meeting_id, event.originator_version, event.topic)
                for append in batch
                for event in append.events
            ]
        ),
        [event.state for append in batch for event in append.events],
        rows_json(leases) if leases else None,
        rows_json(summaries) if summaries else None,
        rows_json(turns) if turns else None,
    )


def rows_json(rows: Sequence[msgspec.Struct]) -> str:
    """Return rows, columns named as the fields, as a JSON array.

    Raises: `UnicodeError` for text with lone surrogates.
    """
    return _encoder.encode(rows).decode()


def settle(
    batch: Sequence[Append],
    refused: Sequence[UUID] | None,
    reasons: Sequence[str] | None,
    holders: Sequence[UUID | None] | None,
    positions: Sequence[int] | None,
) -> None:
    """Settle every append of a committed batch: positions, or an error."""
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
        case "live" if append.max_live is not None:
            return TooManyLive(append.max_live)
        case _:
            raise AssertionError(f"the database refused an append for {reason!r}")
