"""What a meeting's rows say of it."""

from datetime import timedelta
from uuid import UUID

import pytest

from meeting_core import Fact, fold
from meeting_core.model import Cancelled, Participant, Paused
from meeting_service.ports import NO_READ_MODELS, ReadModels, SummaryRow, TurnRow
from meeting_service.projections import read_models, summary_of, turn_rows
from tests.builders import (
    MEETING_ID,
    START,
    Later,
    attempt_failed,
    attempt_started,
    convened,
    history,
    meeting_after,
    round_opened,
    skipped,
    spoken,
    turn_completed,
    whole_meeting,
)

PARENT = UUID(int=77)


def test_a_new_meeting_has_a_row_in_the_list_and_no_turn():
    meeting = meeting_after(
        convened(title="Weekly", goal="Ship it", room_id="lab", parent_meeting_id=PARENT)
    )
    row = SummaryRow(
        meeting_id=MEETING_ID,
        title="Weekly",
        goal="Ship it",
        state="gathering",
        is_live=True,
        participant_names=("Ann", "Bob"),
        num_rounds=meeting.config.num_rounds,
        room_id="lab",
        project_id=None,
        parent_meeting_id=PARENT,
        output_path=None,
        gateways=("",),
        created_at=START,
        ended_at=None,
    )
    assert read_models(None, meeting) == ReadModels(row)


def test_a_row_names_each_gateway_once_in_the_order_of_the_participants():
    participants = (
        Participant("ann", "ann", gateway="b"),
        Participant("bob", "bob", gateway="a"),
        Participant("cid", "cid", gateway="b"),
    )
    assert summary_of(meeting_after(convened(participants=participants))).gateways == ("b", "a")


@pytest.mark.parametrize(
    ("facts", "state", "is_live"),
    [
        ([convened(), round_opened(1)], "round_1", True),
        ([convened(), round_opened(1), Paused()], "paused", True),
        ([convened(), Cancelled()], "cancelled", False),
        (whole_meeting(), "complete", False),
    ],
)
def test_the_state_is_spelt_as_clients_know_it(facts: list[Fact], state: str, is_live: bool):
    row = summary_of(meeting_after(*facts))
    assert (row.state, row.is_live, row.ended_at is None) == (state, is_live, is_live)


def test_an_ended_turn_has_a_row_with_what_all_its_attempts_took():
    meeting = meeting_after(
        convened(),
        round_opened(1),
        Later(1, attempt_started()),
        Later(2, attempt_failed()),
        Later(3, attempt_started(number=2)),
        Later(5, turn_completed(number=2)),
    )
    (turn,) = meeting.turns
    assert turn_rows(meeting) == (
        TurnRow(
            meeting_id=MEETING_ID,
            round_num=1,
            turn_index=0,
            agent_id="ann",
            skipped_reason=None,
            prompt_tokens=turn.prompt_tokens,
            response_tokens=turn.response_tokens,
            usage_source=turn.usage_source,
            attempts=2,
            started_at=START + timedelta(seconds=1),
            ended_at=START + timedelta(seconds=5),
        ),
    )


def test_a_skipped_turn_has_a_row_with_the_reason():
    meeting = meeting_after(convened(), round_opened(1), *spoken("ann"), *skipped("bob"))
    first, second = turn_rows(meeting)
    assert (first.turn_index, first.skipped_reason) == (0, None)
    assert (second.turn_index, second.agent_id) == (1, "bob")
    assert second.skipped_reason == meeting.turns[1].skipped_reason


def test_a_turn_has_its_place_in_the_order_of_its_round():
    opened = round_opened(1, order=("bob", "ann"))
    meeting = meeting_after(convened(), opened, *spoken("bob"), *spoken("ann"))
    assert [(row.agent_id, row.turn_index) for row in turn_rows(meeting)] == [
        ("bob", 0),
        ("ann", 1),
    ]


def test_only_rows_that_changed_are_written():
    before = meeting_after(convened(), round_opened(1), *spoken("ann"))
    begun = meeting_after(convened(), round_opened(1), *spoken("ann"), attempt_started("bob"))
    ended = meeting_after(convened(), round_opened(1), *spoken("ann"), *spoken("bob"))
    assert read_models(before, begun) == NO_READ_MODELS
    assert read_models(begun, ended) == ReadModels(None, turn_rows(ended, 1))


def test_rows_written_step_by_step_are_the_rows_of_the_whole():
    events = history(*whole_meeting())
    summary, turns, before = None, (), None
    for version in range(1, len(events) + 1):
        after = fold(events[:version])
        rows = read_models(before, after)
        summary, turns = rows.summary or summary, turns + rows.turns
        before = after
    assert ReadModels(summary, turns) == read_models(None, fold(events))
