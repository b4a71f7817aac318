"""The allowed actions of a meeting are those that the decider accepts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meeting_core import Meeting, Refusal, allowed_actions, decide
from meeting_core.model import (
    ACTIONS,
    Cancel,
    Command,
    EndRounds,
    MakeRemark,
    Pause,
    Paused,
    RaiseBudget,
    Resume,
)
from tests.builders import (
    START,
    convened,
    meeting_after,
    round_opened,
    up_to_synthesis,
    whole_meeting,
    whole_round,
)
from tests.meeting_core.choices import chosen
from tests.meeting_core.walk import Walk


def commands_for(meeting: Meeting) -> dict[str, Command]:
    """Return a well-formed command for each action."""
    config = meeting.config
    tokens = None if config.meeting_tokens is None else config.meeting_tokens + 1
    cost = None if config.meeting_cost is None else config.meeting_cost + 1
    return {
        "pause": Pause(),
        "resume": Resume(),
        "cancel": Cancel(),
        "wrap_up": EndRounds(),
        "raise_budget": RaiseBudget(tokens, cost),
        "remark": MakeRemark("Eve", "Go on."),
    }


def leads_to_facts(meeting: Meeting, command: Command) -> bool:
    try:
        return decide(meeting, command, START) != ()
    except Refusal:
        return False


def assert_true(meeting: Meeting) -> None:
    commands = commands_for(meeting)
    expected = [action for action in ACTIONS if leads_to_facts(meeting, commands[action])]
    assert list(allowed_actions(meeting)) == expected


@settings(max_examples=400)
@given(st.binary(min_size=60, max_size=60))
def test_an_action_is_allowed_if_and_only_if_its_command_leads_to_a_fact(choices: bytes):
    walked = Walk(chosen(choices))
    for _ in range(20):
        assert_true(walked.standing)
        if walked.standing.has_ended:
            break
        walked.move()


LIMITED = {"meeting_tokens": 9_000}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([convened()], "pause cancel remark"),
        ([convened(), round_opened()], "pause cancel wrap_up remark"),
        ([convened(**LIMITED), round_opened()], "pause cancel wrap_up raise_budget remark"),
        ([convened(), *whole_round()], "pause cancel remark"),
        ([convened(), round_opened(), Paused()], "resume cancel wrap_up remark"),
        (up_to_synthesis(), "pause cancel"),
        ([*up_to_synthesis(), Paused()], "resume cancel"),
        (whole_meeting(), ""),
    ],
)
def test_what_is_allowed_in_each_phase(facts: list, expected: str):
    assert allowed_actions(meeting_after(*facts)) == tuple(expected.split())
