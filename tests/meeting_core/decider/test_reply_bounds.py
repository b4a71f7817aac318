"""A reply is never kept beyond its bound in bytes, whatever a model sends."""

import pytest
from hypothesis import example
from hypothesis import given as given_values
from hypothesis import strategies as st

from meeting_core import Ask, InvalidConfiguration, next_step
from meeting_core.model import AcceptReply, Convene, SynthesisTask, TurnCompleted
from tests.builders import (
    MEETING_ID,
    SYNTHESIS,
    attempt_started,
    configuration,
    convened,
    meeting_after,
    round_opened,
    turn,
    up_to_synthesis,
)
from tests.meeting_core.scenario import Stage
from tests.spec import given

BOUND = 2_000
BOUNDED = (convened(max_reply_bytes=BOUND), round_opened(), attempt_started(cap=4_000))


def kept(text: str, *, is_truncated: bool = False) -> TurnCompleted:
    command = AcceptReply(turn(), 1, text, "stop", is_truncated=is_truncated)
    (fact,) = given(*BOUNDED).when(command).facts
    assert isinstance(fact, TurnCompleted)
    return fact


def test_a_reply_within_the_bound_is_kept_whole():
    fact = kept("x" * BOUND)
    assert (len(fact.reply.text), fact.reply.is_truncated) == (BOUND, False)


def test_a_reply_beyond_the_bound_is_cut_and_says_so():
    fact = kept("x" * (BOUND + 1))
    assert (len(fact.reply.text), fact.reply.is_truncated) == (BOUND, True)
    (ended,) = meeting_after(*BOUNDED, fact).turns
    assert ended.is_cut


def test_a_reply_of_which_the_shell_kept_a_part_says_so_too():
    assert kept("x" * 10, is_truncated=True).reply.is_truncated


@given_values(st.text(min_size=BOUND // 4, max_size=BOUND))
@example("\U0001f600" * BOUND)
@example("é" * BOUND)
@example("a" + "é" * BOUND)
@example("\ud800" * BOUND)
@example("x" * 10_000_000)
def test_no_character_is_cut_in_two(text: str):
    fact = kept(f"a{text}")
    data = fact.reply.text.encode()
    assert len(data) <= BOUND
    assert fact.reply.text.endswith("\ufffd") <= text.endswith("\ufffd")


def test_a_synthesis_beyond_the_bound_is_degraded():
    opening = up_to_synthesis(max_reply_bytes=1_024, synthesis_max_tokens=2_000)
    asked = [*opening, attempt_started(SynthesisTask(), cap=2_000)]
    command = AcceptReply(SynthesisTask(), 1, f"{SYNTHESIS}\n{'- none ' * 400}", "stop")
    (fact,) = given(*asked).when(command).facts
    assert fact.reply.is_truncated
    assert fact.degraded == "the synthesis was cut at its cap"


@pytest.mark.parametrize(
    ("bound", "cap", "expected"),
    [(None, 200, 65_536), (None, 20_000, 160_000), (5_000, 200, 5_000)],
)
def test_the_shell_is_told_where_to_stop_reading(bound: int | None, cap: int, expected: int):
    facts = (convened(max_reply_bytes=bound), round_opened(), attempt_started(cap=cap))
    step = next_step(meeting_after(*facts))
    assert isinstance(step, Ask)
    assert step.max_reply_bytes == expected


@pytest.mark.parametrize("bound", [0, 1_023, 16_777_217])
def test_a_bound_out_of_reason_is_refused(bound: int):
    config = configuration(max_reply_bytes=bound)
    given().when(Convene(MEETING_ID, config)).then_refused(InvalidConfiguration, "max_reply_bytes")


def test_ten_megabytes_for_a_cap_of_two_hundred_tokens_are_not_stored():
    def flood(ask: Ask, _: object) -> AcceptReply:
        return AcceptReply(ask.task, ask.number, "word " * 2_000_000, "length")

    stage = Stage(convened(num_rounds=1, round_topics=("One",)).configuration, flood)
    stage.play(lambda meeting: len(meeting.turns) == 2)
    replies = [fact.reply for fact in stage.facts if isinstance(fact, TurnCompleted)]
    assert [(len(each.text) <= 65_536, each.is_truncated) for each in replies] == [(True, True)] * 2
