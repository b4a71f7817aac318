"""One append on its way into the database: waiting for its outcome."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from eventsourcing.persistence import ProgrammingError, StoredEvent

from meeting_core.model import MeetingId
from meeting_service.ports import ReadModels

MAX_EVENTS_ALONE = 4
"""The end of a turn, what follows from it, and the intent of the next; the short statement's."""


class Append:
    """One meeting's events and rows, waiting to be committed.

    Raises: `ProgrammingError` for more than one meeting's.
    """

    __slots__ = (
        "epoch",
        "events",
        "lease_owner",
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
    ) -> None:
        self.meeting_id = only_meeting(stored_events, read_models)
        self.version = stored_events[0].originator_version
        self.epoch = epoch
        self.events = stored_events
        self.lease_owner = lease_owner
        self.summary = read_models.summary
        self.turns = read_models.turns
        self.room_id = self.summary.room_id if self.summary else None
        self.size = sum([len(event.state) for event in stored_events])
        self.outcome: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    @property
    def is_short(self) -> bool:
        """Say whether its owner only carries a meeting on with it, by one turn at most."""
        goes_on = self.summary is None or self.summary.is_live
        is_one_turn = len(self.turns) <= 1 and len(self.events) <= MAX_EVENTS_ALONE
        return goes_on and is_one_turn and self.epoch is not None

    def accept(self, positions: list[int]) -> None:
        """Tell the caller where its events are."""
        if not self.outcome.done():
            self.outcome.set_result(positions)

    def refuse(self, error: Exception) -> None:
        """Tell the caller what went wrong."""
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # nobody looks when the caller is gone


def only_meeting(stored_events: Sequence[StoredEvent], read_models: ReadModels) -> MeetingId:
    """Say whose events and rows these are.

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
