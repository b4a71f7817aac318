"""Making the read models anew from the events, and reporting what was wrong with them."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias

from eventsourcing.persistence import StoredEvent
from msgspec import Struct
from msgspec.structs import asdict

from meeting_core.codec import MeetingMapper
from meeting_core.errors import CorruptHistory
from meeting_core.model import MeetingId
from meeting_core.projector import project
from meeting_service.ports import NO_READ_MODELS, ReadModels
from meeting_service.projections import read_models

PAGE = 500

RowsOf: TypeAlias = Callable[[Sequence[StoredEvent]], ReadModels]

_Rows: TypeAlias = Mapping[tuple[int, ...], Mapping[str, object]]


class RebuildableStore(Protocol):
    """What a recorder offers besides, so that its read models can be checked and replaced."""

    async def select_meeting_ids(
        self, *, after: MeetingId | None, limit: int
    ) -> Sequence[MeetingId]: ...

    async def select_events(self, originator_id: MeetingId) -> Sequence[StoredEvent]: ...

    async def select_read_models(self, meeting_id: MeetingId) -> ReadModels: ...

    async def correct_read_models(
        self, meeting_id: MeetingId, project: RowsOf
    ) -> tuple[ReadModels, ReadModels]: ...


class Difference(Struct, frozen=True):
    """A stored row that was not what the events say, before it was replaced.

    Shape: `row` is the round and the turn's index for a turn, and empty for a summary. `columns`
    names what differed; it is empty where the whole row was missing, or should not have been.
    """

    meeting_id: MeetingId
    table: str
    row: tuple[int, ...]
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = "".join(f" {number}" for number in self.row)
        what = f": {', '.join(self.columns)}" if self.columns else ": the whole row"
        return f"{self.table} {self.meeting_id}{place}{what}"


class Rebuilt(Struct, frozen=True):
    """What a rebuild looked at and found. `unreadable` are meetings whose history makes no sense,
    and why; their rows are left as they are.
    """

    meetings: int
    differences: tuple[Difference, ...]
    unreadable: tuple[tuple[MeetingId, str], ...]


async def rebuild(store: RebuildableStore, mapper: MeetingMapper) -> Rebuilt:
    """Replay every meeting, replace the rows that differ, and report them.

    May run beside services that write: only rows that still differ under the writers' lock count.
    """

    rows_of = partial(_rows_of, mapper)
    differences: list[Difference] = []
    unreadable: list[tuple[MeetingId, str]] = []
    meetings = 0
    async for meeting_id in _meeting_ids(store):
        meetings += 1
        try:
            differences += await _correct(store, meeting_id, rows_of)
        except CorruptHistory as error:
            unreadable.append((meeting_id, str(error)))
    return Rebuilt(meetings, tuple(differences), tuple(unreadable))


def _rows_of(mapper: MeetingMapper, stored_events: Sequence[StoredEvent]) -> ReadModels:
    meeting = project(None, mapper.to_meeting_events(stored_events))
    return NO_READ_MODELS if meeting is None else read_models(None, meeting)


async def _meeting_ids(store: RebuildableStore) -> AsyncIterator[MeetingId]:
    after: MeetingId | None = None
    while page := await store.select_meeting_ids(after=after, limit=PAGE):
        for meeting_id in page:
            yield meeting_id
        after = page[-1]


async def _correct(
    store: RebuildableStore, meeting_id: MeetingId, rows_of: RowsOf
) -> list[Difference]:
    # Nearly every meeting is right, and for those the writers need not be kept waiting.
    if rows_of(await store.select_events(meeting_id)) == await store.select_read_models(meeting_id):
        return []
    stored, right = await store.correct_read_models(meeting_id, rows_of)
    return list(_differences(meeting_id, stored, right))


def _differences(
    meeting_id: MeetingId, stored: ReadModels, right: ReadModels
) -> Iterator[Difference]:
    yield from _in_table(meeting_id, "meetings_summaries", _summaries(stored), _summaries(right))
    yield from _in_table(meeting_id, "meetings_turns", _turns(stored), _turns(right))


def _in_table(
    meeting_id: MeetingId, table: str, stored: _Rows, right: _Rows
) -> Iterator[Difference]:
    for row in sorted(stored.keys() | right.keys()):
        before, after = stored.get(row), right.get(row)
        if before is None or after is None:
            yield Difference(meeting_id, table, row)
        elif before != after:
            columns = tuple(name for name in after if before[name] != after[name])
            yield Difference(meeting_id, table, row, columns)


def _summaries(rows: ReadModels) -> _Rows:
    return {} if rows.summary is None else {(): asdict(rows.summary)}


def _turns(rows: ReadModels) -> _Rows:
    return {(turn.round_num, turn.turn_index): asdict(turn) for turn in rows.turns}
