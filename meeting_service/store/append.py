"""One append on its way into the database: already encoded, waiting for its outcome."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

import msgspec
from eventsourcing.persistence import ProgrammingError, StoredEvent

from meeting_core.vocabulary import MeetingId
from meeting_service.ports import ReadModels

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


class Append:
    """One meeting's events and rows, waiting to be committed.

    Shape: what ends in `_json` is rows, named as the columns are, without the array's brackets.
    Raises: `ProgrammingError` for more than one meeting's, `UnicodeError` for text with lone
    surrogates.
    """

    __slots__ = (
        "epoch",
        "events",
        "events_json",
        "head_json",
        "lease_json",
        "meeting_id",
        "outcome",
        "room_id",
        "size",
        "states",
        "summary_json",
        "turns",
        "turns_json",
        "version",
    )

    def __init__(
        self,
        stored_events: Sequence[StoredEvent],
        epoch: int | None,
        lease_owner: str | None,
        read_models: ReadModels,
    ) -> None:
        meeting_id = only_meeting(stored_events, read_models)
        summary, turns = read_models.summary, read_models.turns
        self.meeting_id = meeting_id
        self.version = stored_events[0].originator_version
        self.epoch = epoch
        self.events = stored_events
        self.turns = turns
        self.room_id = summary.room_id if summary else None
        self.states = [event.state for event in stored_events]
        self.size = sum(map(len, self.states))
        self.head_json = rows_json([_Head(meeting_id, self.version, epoch)])
        self.events_json = rows_json(
            [_Event(meeting_id, event.originator_version, event.topic) for event in stored_events]
        )
        self.lease_json = rows_json([_Lease(meeting_id, lease_owner)]) if lease_owner else ""
        self.summary_json = rows_json([summary]) if summary else ""
        self.turns_json = rows_json(turns) if turns else ""
        self.outcome: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    @property
    def is_one_turn(self) -> bool:
        """Say whether it is what the end of a turn usually appends, and nothing else."""
        return (
            len(self.events) <= 2
            and len(self.turns) <= 1
            and not self.summary_json
            and not self.lease_json
        )

    def accept(self, positions: list[int]) -> None:
        """Tell the caller where its events are."""
        if not self.outcome.done():
            self.outcome.set_result(positions)

    def refuse(self, error: Exception) -> None:
        """Tell the caller what went wrong."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # nobody looks when the caller is gone


_Row = TypeVar("_Row", bound=msgspec.Struct)


def rows_json(rows: Sequence[_Row]) -> str:
    """Write rows, columns named as the fields, as a JSON array without its brackets.

    Raises: `UnicodeError` for text with lone surrogates.
    """
    return _encoder.encode(rows)[1:-1].decode()


def only_meeting(stored_events: Sequence[StoredEvent], read_models: ReadModels) -> MeetingId:
    """Say whose events and rows these are.

    Raises: `ProgrammingError` for those of several meetings, or of something else.
    """
    meeting_id = stored_events[0].originator_id
    if not isinstance(meeting_id, UUID):
        raise ProgrammingError(f"a meeting's id is a UUID, not {meeting_id!r}")
    summary = read_models.summary
    if (
        any(event.originator_id != meeting_id for event in stored_events)
        or any(turn.meeting_id != meeting_id for turn in read_models.turns)
        or (summary is not None and summary.meeting_id != meeting_id)
    ):
        raise ProgrammingError("an append holds the events and rows of one meeting only")
    return meeting_id
