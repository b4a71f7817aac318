"""The recorder in memory: the same rules without a database, for tests and for embedding."""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Self
from uuid import UUID

from anyio.lowlevel import cancel_shielded_checkpoint
from eventsourcing.persistence import DataError, Notification, StoredEvent
from msgspec.structs import asdict, replace

from meeting_core.model import MeetingId, is_storable
from meeting_service.ports import (
    NO_READ_MODELS,
    Clock,
    Fenced,
    Lease,
    ModelKey,
    ReadModels,
    SummaryFilter,
    SummaryPage,
    SummaryRow,
    TooManyLive,
    VersionConflict,
)
from meeting_service.store.memory_leases import Held, InMemoryLeases
from meeting_service.store.postgres.append_request import only_meeting


class InMemoryRecorder(InMemoryLeases):
    """Records meetings in this process; leases expire by the clock it is given."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._log: list[Notification] = []
        self._streams: dict[MeetingId, dict[int, StoredEvent]] = {}
        self._subscribers: list[Callable[[], None]] = []
        self._factors: dict[ModelKey, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""

    async def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        epoch: int | None = None,
        lease_owner: str | None = None,
        max_live: int | None = None,
        read_models: ReadModels = NO_READ_MODELS,
    ) -> Sequence[int] | None:
        """Append events of one meeting, or nothing; return their positions."""
        if not stored_events:
            return []
        await cancel_shielded_checkpoint()
        meeting_id = only_meeting(stored_events, read_models)
        self._check_versions(meeting_id, stored_events)
        self._check_epoch(meeting_id, epoch)
        summary = read_models.summary
        if summary is not None and summary.is_live and not self._is_quarantined(meeting_id):
            self._check_room(summary)
        if max_live is not None and await self.count_live() >= max_live:
            raise TooManyLive(max_live)
        _check_text(read_models)
        positions = [self._store(meeting_id, event) for event in stored_events]
        if lease_owner is not None:
            self._leases[meeting_id] = Held(Lease(meeting_id, lease_owner, 1, 0), 0, self._clock())
        self._write_rows(read_models)
        for on_change in self._subscribers:
            on_change()
        return positions

    async def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return one meeting's events between two versions."""
        assert isinstance(originator_id, UUID)
        stream = self._streams.get(originator_id, {})
        events = [
            stream[version]
            for version in sorted(stream, reverse=desc)
            if (gt is None or version > gt) and (lte is None or version <= lte)
        ]
        return events[:limit]

    async def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return all meetings' events in commit order."""
        # Positions count from 1 without gaps, so that a position is also a place in the log.
        first = 0 if start is None else max(start - 1 if inclusive_of_start else start, 0)
        found = self._log[first:stop]
        if topics:
            found = [notification for notification in found if notification.topic in topics]
        return found[:limit]

    async def max_notification_id(self) -> int | None:
        """Return the newest position; None in an empty store."""
        return len(self._log) or None

    async def select_summaries(self, wanted: SummaryFilter) -> SummaryPage:
        """Return one page of the meetings, newest first."""
        matching = sorted(
            (self._listed(row) for row in self._summaries.values() if _matches(row, wanted)),
            key=attrgetter("created_at", "meeting_id"),
            reverse=True,
        )
        total = len(matching)
        if wanted.before is not None:
            before = wanted.before
            matching = [row for row in matching if (row.created_at, row.meeting_id) < before]
        end = wanted.offset + wanted.limit
        return SummaryPage(tuple(matching[wanted.offset : end]), total, len(matching) > end)

    async def select_token_factors(self, models: Collection[ModelKey]) -> Mapping[ModelKey, str]:
        """Return what is kept of these models; nothing for a model that has no row."""
        return {key: self._factors[key] for key in models if key in self._factors}

    async def save_token_factors(self, gateway: str, model: str, factors: str) -> None:
        """Replace what is kept of a model."""
        self._factors[gateway, model] = factors

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after each append."""
        self._subscribers.append(on_change)

    async def ping(self) -> None:
        """Return at once: memory always answers."""

    async def select_meeting_ids(
        self, *, after: MeetingId | None, limit: int
    ) -> Sequence[MeetingId]:
        """Return every meeting that has events or rows, in the order of their ids."""
        known = {*self._streams, *self._summaries, *(place[0] for place in self._turns)}
        return sorted(known if after is None else (id_ for id_ in known if id_ > after))[:limit]

    async def select_read_models(self, meeting_id: MeetingId) -> ReadModels:
        """Return the rows that are stored for a meeting."""
        places = sorted(place for place in self._turns if place[0] == meeting_id)
        turns = tuple(self._turns[place] for place in places)
        return ReadModels(self._summaries.get(meeting_id), turns)

    async def correct_read_models(
        self, meeting_id: MeetingId, project: Callable[[Sequence[StoredEvent]], ReadModels]
    ) -> tuple[ReadModels, ReadModels]:
        """Replace a meeting's rows by what its events say; return them as they were and are."""
        right = project(await self.select_events(meeting_id))
        stored = await self.select_read_models(meeting_id)
        self._summaries.pop(meeting_id, None)
        for turn in stored.turns:
            del self._turns[turn.meeting_id, turn.round_num, turn.turn_index]
        self._write_rows(right)
        return stored, right

    def _check_versions(self, meeting_id: MeetingId, events: Sequence[StoredEvent]) -> None:
        taken = set(self._streams.get(meeting_id, ()))
        for event in events:
            version = event.originator_version
            if version in taken:
                raise VersionConflict(f"meeting {meeting_id} has a version {version} already")
            taken.add(version)

    def _check_epoch(self, meeting_id: MeetingId, epoch: int | None) -> None:
        held = self._leases.get(meeting_id)
        if epoch is not None and (held is None or held.lease.epoch != epoch):
            raise Fenced(f"epoch {epoch} of meeting {meeting_id} is over")

    def _listed(self, row: SummaryRow) -> SummaryRow:
        held = self._leases.get(row.meeting_id)
        if held is None or held.quarantined is None:
            return row
        return replace(row, is_live=False, quarantined=held.quarantined)

    def _store(self, meeting_id: MeetingId, event: StoredEvent) -> int:
        self._streams.setdefault(meeting_id, {})[event.originator_version] = event
        position = len(self._log) + 1
        self._log.append(
            Notification(
                id=position,
                originator_id=meeting_id,
                originator_version=event.originator_version,
                topic=event.topic,
                state=event.state,
            )
        )
        return position

    def _write_rows(self, read_models: ReadModels) -> None:
        for turn in read_models.turns:
            self._turns[turn.meeting_id, turn.round_num, turn.turn_index] = turn
        summary = read_models.summary
        if summary is not None:
            self._summaries[summary.meeting_id] = replace(summary, quarantined=None)
            if not summary.is_live:
                self._leases.pop(summary.meeting_id, None)


def _matches(row: SummaryRow, wanted: SummaryFilter) -> bool:
    return (
        (wanted.created_after is None or row.created_at >= wanted.created_after)
        and (wanted.room_id is None or row.room_id == wanted.room_id)
        and (wanted.project_id is None or row.project_id == wanted.project_id)
        and (wanted.state is None or row.state == wanted.state)
    )


def _check_text(read_models: ReadModels) -> None:
    rows = (*((read_models.summary,) if read_models.summary else ()), *read_models.turns)
    for row in rows:
        for name, value in asdict(row).items():
            if isinstance(value, str) and not is_storable(value):
                raise DataError(f"{name} contains a NUL character or a lone surrogate")
