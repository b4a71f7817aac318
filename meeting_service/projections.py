"""Read models: the rows that lists and reports show, as pure functions of a meeting."""

from meeting_core.model import Meeting, Turn
from meeting_service.ports import ReadModels, SummaryRow, TurnRow


def summary_of(meeting: Meeting) -> SummaryRow:
    """Return what a list shows of the meeting."""
    config = meeting.config
    return SummaryRow(
        meeting_id=meeting.id,
        title=config.title,
        goal=config.goal,
        state=meeting.state,
        is_live=not meeting.has_ended,
        participant_names=tuple(participant.name for participant in config.participants),
        num_rounds=config.num_rounds,
        room_id=config.room_id,
        project_id=config.project_id,
        parent_meeting_id=config.parent_meeting_id,
        output_path=meeting.output_path,
        gateways=tuple(dict.fromkeys(each.gateway for each in config.participants)),
        created_at=meeting.convened_at,
        ended_at=meeting.ended_at,
    )


def turn_rows(meeting: Meeting, first: int = 0) -> tuple[TurnRow, ...]:
    """Return what reports show of the meeting's ended turns, from the `first`, counted from 0."""
    return tuple([_turn_row(meeting, turn) for turn in meeting.turns[first:]])


def read_models(before: Meeting | None, after: Meeting) -> ReadModels:
    """Return the rows that differ between two states of one meeting.

    Invariant: an ended turn never changes, so only turns that ended in between have rows; of the
    summary nothing changes but with the state or the output path.
    """
    if before is None:
        return ReadModels(summary_of(after), turn_rows(after))
    is_same = (before.phase, before.round_num, before.output_path) == (
        after.phase,
        after.round_num,
        after.output_path,
    )
    return ReadModels(
        None if is_same else summary_of(after),
        turn_rows(after, len(before.turns)),
    )


def _turn_row(meeting: Meeting, turn: Turn) -> TurnRow:
    order = meeting.rounds[turn.round_num - 1].order
    return TurnRow(
        meeting_id=meeting.id,
        round_num=turn.round_num,
        turn_index=order.index(turn.agent_id),
        agent_id=turn.agent_id,
        skipped_reason=turn.skipped_reason,
        prompt_tokens=turn.prompt_tokens,
        response_tokens=turn.response_tokens,
        usage_source=turn.usage_source,
        attempts=turn.attempts,
        started_at=turn.started_at,
        ended_at=turn.ended_at,
    )
