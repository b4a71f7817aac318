"""The list of meetings: one query a page, and a cursor to the next."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct

from meeting_core.model import MeetingId, Phase, milliseconds_utc
from meeting_service.ports import Recorder, SummaryFilter, SummaryRow
from meeting_service.views import Time
from meeting_service.views.wait_reasons import WaitingView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = struct.Struct(">q16s")


class SummaryView(Struct, frozen=True, kw_only=True):
    """One meeting in the list.

    Units: `duration_seconds` from convening to the end, null before it. `completed_at` is only
    for complete meetings, `ended_at` for all that have ended. `waiting` shows only the wait for a
    gateway that no process has; `quarantined` is why a meeting was put aside.
    """

    id: str
    title: str
    goal: str
    state: str
    participant_count: int
    participant_names: tuple[str, ...]
    num_rounds: int
    room_id: str | None
    project_id: str | None
    output_path: str | None
    parent_meeting_id: str | None
    duration_seconds: float | None
    created_at: Time
    completed_at: Time | None
    ended_at: Time | None
    waiting: WaitingView | None
    quarantined: str | None


class ListView(Struct, frozen=True):
    """One page of the list. `next_cursor` leads to the page after, if there is one."""

    meetings: tuple[SummaryView, ...]
    total: int
    has_more: bool
    next_cursor: str | None


async def list_meetings(
    recorder: Recorder,
    wanted: SummaryFilter,
    waiting: Callable[[MeetingId], WaitingView | None],
) -> ListView:
    """Return one page, newest first, in one query; `waiting` says what a meeting waits for."""
    page = await recorder.select_summaries(wanted)
    last = page.rows[-1] if page.rows and page.has_more else None
    return ListView(
        tuple(_view(row, waiting(row.meeting_id)) for row in page.rows),
        page.total,
        page.has_more,
        None if last is None else cursor_after(last.created_at, last.meeting_id),
    )


def cursor_after(created_at: datetime, meeting_id: MeetingId) -> str:
    """Return the cursor to the rows after this one."""
    microseconds = (created_at - _EPOCH) // timedelta(microseconds=1)
    return urlsafe_b64encode(_PLACE.pack(microseconds, meeting_id.bytes)).decode()


def place_of(cursor: str) -> tuple[datetime, MeetingId]:
    """Return the place that a cursor names.

    Raises: `ValueError` for a text that is not a cursor.
    """
    try:
        microseconds, meeting_id = _PLACE.unpack(urlsafe_b64decode(cursor.encode("ascii")))
        place = _EPOCH + timedelta(microseconds=microseconds), UUID(bytes=meeting_id)
    except (struct.error, OverflowError) as error:
        raise ValueError("no cursor") from error
    # Decoding is lenient; one place has one spelling.
    if cursor_after(*place) != cursor:
        raise ValueError("no cursor")
    return place


def _view(row: SummaryRow, waiting: WaitingView | None) -> SummaryView:
    ended_at = milliseconds_utc(row.ended_at) if row.ended_at else None
    return SummaryView(
        id=str(row.meeting_id),
        title=row.title,
        goal=row.goal,
        state=row.state,
        participant_count=len(row.participant_names),
        participant_names=row.participant_names,
        num_rounds=row.num_rounds,
        room_id=row.room_id,
        project_id=row.project_id,
        output_path=row.output_path,
        parent_meeting_id=str(row.parent_meeting_id) if row.parent_meeting_id else None,
        duration_seconds=_duration_seconds(row),
        created_at=milliseconds_utc(row.created_at),
        completed_at=ended_at if row.state == Phase.COMPLETE else None,
        ended_at=ended_at,
        waiting=waiting,
        quarantined=row.quarantined,
    )


def _duration_seconds(row: SummaryRow) -> float | None:
    if row.ended_at is None:
        return None
    return round((row.ended_at - row.created_at).total_seconds(), 3)
