"""Rows of the read models, on their way out of the database."""

from collections.abc import Sequence

from asyncpg import Record
from msgspec.structs import replace

from meeting_service.ports import SummaryPage, SummaryRow, TurnRow

_SUMMARY_COLUMNS = tuple(name for name in SummaryRow.__struct_fields__ if name != "quarantined")
_TURN_COLUMNS = TurnRow.__struct_fields__


def summary_row(record: Record) -> SummaryRow:
    """Return a row of `meetings_summaries`, as the events say it."""
    fields = {name: record[name] for name in _SUMMARY_COLUMNS}
    for name in ("participant_names", "gateways"):
        fields[name] = tuple(fields[name])
    return SummaryRow(**fields)


def turn_row(record: Record) -> TurnRow:
    """Return a row of `meetings_turns`."""
    return TurnRow(**{name: record[name] for name in _TURN_COLUMNS})


def summary_page(records: Sequence[Record], limit: int) -> SummaryPage:
    """Return the answer of `select_summaries`, which was asked for one row more than the limit."""
    rows = [_listed(record) for record in records if record["meeting_id"] is not None]
    return SummaryPage(
        rows=tuple(rows[:limit]), total=records[0]["total"], has_more=len(rows) > limit
    )


def _listed(record: Record) -> SummaryRow:
    row, reason = summary_row(record), record["quarantined"]
    return row if reason is None else replace(row, is_live=False, quarantined=reason)
