"""Rows of the read models and events, on their way into the database and out of it."""

from collections.abc import Sequence

import msgspec
from asyncpg import Record
from eventsourcing.persistence import Notification, StoredEvent

from meeting_core.model import MeetingId
from meeting_service.ports import SummaryPage, SummaryRow, TurnRow

_SUMMARY_COLUMNS = SummaryRow.__struct_fields__
_TURN_COLUMNS = TurnRow.__struct_fields__

_encoder = msgspec.json.Encoder()


def rows_json(rows: Sequence[msgspec.Struct]) -> str:
    """Write rows, columns named as the fields, as a JSON array.

    Raises: `UnicodeError` for text with lone surrogates.
    """
    return _encoder.encode(rows).decode()


def summary_row(record: Record) -> SummaryRow:
    """Read a row of `meetings_summaries`."""
    fields = {name: record[name] for name in _SUMMARY_COLUMNS}
    fields["participant_names"] = tuple(fields["participant_names"])
    return SummaryRow(**fields)


def turn_row(record: Record) -> TurnRow:
    """Read a row of `meetings_turns`."""
    return TurnRow(**{name: record[name] for name in _TURN_COLUMNS})


def summary_page(records: Sequence[Record], limit: int) -> SummaryPage:
    """Read the answer of `select_summaries`, which was asked for one row more than the limit."""
    rows = [summary_row(record) for record in records if record["meeting_id"] is not None]
    return SummaryPage(
        rows=tuple(rows[:limit]), total=records[0]["total"], has_more=len(rows) > limit
    )


def stored_events(meeting_id: MeetingId, records: Sequence[Record]) -> list[StoredEvent]:
    """Read events of one meeting."""
    return [StoredEvent(meeting_id, version, topic, state) for version, topic, state in records]


def notifications(records: Sequence[Record]) -> list[Notification]:
    """Read events with their positions."""
    return [
        Notification(
            id=position,
            originator_id=meeting_id,
            originator_version=version,
            topic=topic,
            state=state,
        )
        for position, meeting_id, version, topic, state in records
    ]
