"""Rounds open one after the other and close when everybody has had a turn."""

import pytest

from meeting_core import GiveCommand, next_step
from meeting_core.errors import MeetingEnded, OutOfTurn, RoundUnfinished, WrongPhase
from meeting_core.model import (
    CloseRound,
    Fail,
    OpenRound,
    Paused,
    RoundClosed,
    StartSynthesis,
    SynthesisStarted,
)
from tests.builders import (
    attempt_started,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    skipped,
    spoken,
    up_to_synthesis,
    whole_meeting,
    whole_round,
)
from tests.spec import given


def test_the_first_round_opens_a_convened_meeting():
    given(convened()).when(OpenRound(1)).then(round_opened(1))


def test_the_next_round_opens_when_the_last_is_closed():
    given(convened(), *whole_round(1)).when(OpenRound(2)).then(round_opened(2))


def test_a_round_opens_after_a_round_in_which_nobody_spoke():
    silent = [round_opened(1), *skipped("ann"), *skipped("bob"), round_closed(1, "silent")]
    given(convened(), *silent).when(OpenRound(2)).then(round_opened(2))


def test_no_round_opens_before_the_meeting_is_convened():
    given().when(OpenRound(1)).then_refused(WrongPhase, "not been convened")


def test_no_round_opens_while_one_is_open():
    given(convened(), round_opened(1)).when(OpenRound(2)).then_refused(RoundUnfinished)


@pytest.mark.parametrize("round_num", [-1, 0, 2])
def test_rounds_open_in_order(round_num: int):
    given(convened()).when(OpenRound(round_num)).then_refused(OutOfTurn)


def test_a_round_is_not_opened_twice():
    given(convened(), *whole_round(1)).when(OpenRound(1)).then_refused(OutOfTurn)


def test_there_are_no_more_rounds_than_were_agreed():
    facts = [convened(), *whole_round(1), *whole_round(2)]
    given(*facts).when(OpenRound(3)).then_refused(OutOfTurn)


@pytest.mark.parametrize("cause", ["budget", "deadline"])
def test_no_round_opens_after_one_that_ended_all_rounds(cause: str):
    ended = [round_opened(1), *spoken("ann"), RoundClosed(1, "partial", cause)]
    given(convened(), *ended).when(OpenRound(2)).then_refused(RoundUnfinished)


def test_no_round_opens_while_paused_or_synthesizing_or_after_the_end():
    given(convened(), Paused()).when(OpenRound(1)).then_refused(WrongPhase, "paused")
    given(*up_to_synthesis()).when(OpenRound(3)).then_refused(WrongPhase, "synthesizing")
    given(*whole_meeting()).when(OpenRound(3)).then_refused(MeetingEnded, "complete")


def test_a_round_in_which_everybody_spoke_is_complete():
    facts = [convened(), round_opened(1), *spoken("ann"), *spoken("bob")]
    given(*facts).when(CloseRound(1)).then(RoundClosed(1, "complete", "agenda"))


def test_a_round_in_which_somebody_spoke_is_partial():
    facts = [convened(), round_opened(1), *skipped("ann"), *spoken("bob")]
    given(*facts).when(CloseRound(1)).then(RoundClosed(1, "partial", "agenda"))


def test_a_round_in_which_nobody_spoke_is_silent():
    facts = [convened(), round_opened(1), *skipped("ann"), *skipped("bob")]
    given(*facts).when(CloseRound(1)).then(RoundClosed(1, "silent", "agenda"))


def test_how_a_round_ended_does_not_depend_on_the_round_before():
    second = [round_opened(2), *skipped("ann", 2), *skipped("bob", 2)]
    given(convened(), *whole_round(1), *second).when(CloseRound(2)).then(RoundClosed(2, "silent"))


def test_a_round_does_not_close_before_everybody_had_a_turn():
    facts = [convened(), round_opened(1), *spoken("ann")]
    given(*facts).when(CloseRound(1)).then_refused(RoundUnfinished, "bob")


def test_a_round_does_not_close_while_an_attempt_is_open():
    facts = [convened(), round_opened(1), *spoken("ann"), attempt_started()]
    given(*facts[:-1], attempt_started()).when(CloseRound(1)).then_refused(RoundUnfinished)


def test_only_the_open_round_closes():
    facts = [convened(), round_opened(1), *spoken("ann"), *spoken("bob")]
    given(*facts).when(CloseRound(2)).then_refused(OutOfTurn)
    given(convened()).when(CloseRound(1)).then_refused(WrongPhase)
    given(convened(), *whole_round(1)).when(CloseRound(1)).then_refused(WrongPhase)
    given(*facts, Paused()).when(CloseRound(1)).then_refused(WrongPhase)


def test_the_synthesis_starts_when_the_rounds_are_over():
    facts = [convened(), *whole_round(1), *whole_round(2)]
    given(*facts).when(StartSynthesis()).then(SynthesisStarted())


@pytest.mark.parametrize("cause", ["budget", "deadline"])
def test_the_synthesis_starts_after_a_round_that_ended_all_rounds(cause: str):
    ended = [round_opened(1), *spoken("ann"), RoundClosed(1, "partial", cause)]
    given(convened(), *ended).when(StartSynthesis()).then(SynthesisStarted())


def test_the_synthesis_does_not_start_before_the_rounds_are_over():
    given(convened()).when(StartSynthesis()).then_refused(WrongPhase)
    given(convened(), round_opened(1)).when(StartSynthesis()).then_refused(RoundUnfinished)
    given(convened(), *whole_round(1)).when(StartSynthesis()).then_refused(RoundUnfinished)
    given(*up_to_synthesis()).when(StartSynthesis()).then_refused(WrongPhase)


def test_the_agenda_opens_every_round_then_starts_the_synthesis():
    assert next_step(meeting_after(convened())) == GiveCommand(OpenRound(1))
    one = [convened(), *whole_round(1)]
    assert next_step(meeting_after(*one)) == GiveCommand(OpenRound(2))
    assert next_step(meeting_after(*one[:-1])) == GiveCommand(CloseRound(1))
    assert next_step(meeting_after(*one, *whole_round(2))) == GiveCommand(StartSynthesis())


def test_a_meeting_in_which_nobody_spoke_fails_with_the_first_cause():
    facts = [convened(num_rounds=1, round_topics=("One",)), round_opened(1)]
    facts += [*skipped("ann"), *skipped("bob"), round_closed(1, "silent")]
    failure = Fail("nobody_spoke", "unavailable: no answer")
    assert next_step(meeting_after(*facts)) == GiveCommand(failure)


def test_a_meeting_that_ended_before_anybody_could_speak_fails_with_what_ended_it():
    facts = [convened(), round_opened(1), round_closed(1, "silent", "budget")]
    failure = Fail("nobody_spoke", "the budget ended the rounds before anybody could speak")
    assert next_step(meeting_after(*facts)) == GiveCommand(failure)
