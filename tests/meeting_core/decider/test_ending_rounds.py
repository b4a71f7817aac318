"""Ending the rounds: an operator has the minutes written of what was said so far."""

import pytest

from meeting_core import Fact, GiveCommand, next_step
from meeting_core.errors import MeetingEnded, NoSuchAttempt, RoundUnfinished, WrongPhase
from meeting_core.model import (
    AcceptReply,
    CloseRound,
    DigestTask,
    EndRounds,
    Fail,
    FaultClass,
    OpenRound,
    Paused,
    Phase,
    Resumed,
    StartSynthesis,
    SynthesisStarted,
)
from tests.builders import (
    START,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    turn,
    turn_skipped,
    up_to_synthesis,
    whole_meeting,
    whole_round,
)
from tests.meeting_core.scenario import Stage
from tests.spec import given

OPENED = (convened(), round_opened(1))
ENDED = round_closed(1, "partial", "operator")


def test_between_turns_the_open_round_is_closed():
    given(*OPENED, *spoken("ann")).when(EndRounds()).then(ENDED)


def test_a_round_in_which_nobody_has_spoken_is_closed_as_silent():
    given(*OPENED).when(EndRounds()).then(round_closed(1, "silent", "operator"))


def test_when_all_have_spoken_the_round_was_complete():
    given(*OPENED, *spoken("ann"), *spoken("bob")).when(EndRounds()).then(
        round_closed(1, "complete", "operator")
    )


def test_an_open_attempt_is_abandoned_and_charged_and_its_turn_is_skipped():
    facts = (*OPENED, *spoken("ann"), attempt_started(turn("bob"), prompt=100, cap=200))
    ended = (
        attempt_abandoned(turn("bob"), cause="operator", charged=300),
        turn_skipped("bob", reason="operator", detail=""),
        ENDED,
    )
    given(*facts).when(EndRounds()).then(*ended)
    meeting = meeting_after(*facts, *ended)
    assert meeting.ledger.spent == meeting_after(*facts).ledger.spent + 300
    assert meeting.ledger.reserved == 0


def test_a_reply_to_the_abandoned_attempt_comes_too_late():
    stage = Stage(convened().configuration)
    stage.play(lambda meeting: meeting.task_state is not None)
    stage.give(EndRounds())
    late = AcceptReply(turn(), 1, "x", "stop")
    given(*stage.facts).when(late).then_refused(NoSuchAttempt)


def test_a_turn_that_waits_for_another_attempt_is_skipped_for_its_fault():
    failed = attempt_failed(turn("bob"), fault=FaultClass.TIMED_OUT, retry_at=START)
    facts = (*OPENED, *spoken("ann"), attempt_started(turn("bob")), failed)
    given(*facts).when(EndRounds()).then(turn_skipped("bob", reason="timed_out"), ENDED)


def test_a_paused_meeting_goes_on_to_its_minutes():
    facts = (*OPENED, *spoken("ann"), Paused("lunch"))
    given(*facts).when(EndRounds()).then(Resumed(Phase.IN_ROUND), ENDED)


def test_a_meeting_paused_for_money_goes_on_to_its_minutes():
    short = Paused("raise the budget, or end the rounds", "budget")
    given(*OPENED, *spoken("ann"), short).when(EndRounds()).then(Resumed(Phase.IN_ROUND), ENDED)


def test_what_is_open_in_a_paused_meeting_is_abandoned_first():
    facts = (*OPENED, *spoken("ann"), attempt_started(turn("bob")), Paused())
    given(*facts).when(EndRounds()).then(
        attempt_abandoned(turn("bob"), cause="operator"),
        Resumed(Phase.IN_ROUND),
        turn_skipped("bob", reason="operator", detail=""),
        ENDED,
    )


def test_then_the_minutes_are_written_and_no_round_follows():
    facts = (*OPENED, *spoken("ann"), ENDED)
    assert next_step(meeting_after(*facts)) == GiveCommand(StartSynthesis())
    given(*facts).when(StartSynthesis()).then(SynthesisStarted())
    given(*facts).when(OpenRound(2)).then_refused(RoundUnfinished)


def test_then_no_digest_is_written_either():
    facts = (convened(digest_rounds=True), round_opened(1), *spoken("ann"), ENDED)
    assert next_step(meeting_after(*facts)) == GiveCommand(StartSynthesis())


def test_where_nobody_had_spoken_there_is_nothing_to_write():
    facts = (*OPENED, round_closed(1, "silent", "operator"))
    detail = "the operator ended the rounds before anybody could speak"
    assert next_step(meeting_after(*facts)) == GiveCommand(Fail("nobody_spoke", detail))


def test_the_outcome_says_who_ended_the_rounds():
    stage = Stage(convened().configuration)
    stage.play(lambda meeting: len(meeting.turns) == 1)
    stage.give(EndRounds())
    outcome = stage.play().meeting.outcome
    assert outcome is not None
    assert (outcome.ended_by, outcome.silent, outcome.partial_rounds) == (
        "operator",
        ("bob",),
        (1,),
    )
    assert outcome.degraded == (
        "an operator ended the rounds early",
        "only 1 of 2 rounds were held",
    )


DIGESTING = (convened(digest_rounds=True), *whole_round(1), attempt_started(DigestTask(1)))


@pytest.mark.parametrize(
    "facts",
    [
        (convened(),),
        (convened(), Paused()),
        (convened(), *whole_round(1)),
        (convened(), *whole_round(1), Paused()),
        DIGESTING,
        (*OPENED, ENDED),
        (*up_to_synthesis(),),
        (*up_to_synthesis(), Paused()),
    ],
)
def test_without_an_open_round_there_is_nothing_to_end(facts: tuple[Fact, ...]):
    given(*facts).when(EndRounds()).then_refused(WrongPhase)


def test_after_the_end_nothing_is_ended():
    given(*whole_meeting()).when(EndRounds()).then_refused(MeetingEnded)


def test_the_closed_round_is_not_closed_again():
    given(*OPENED, *spoken("ann"), ENDED).when(CloseRound(1)).then_refused(WrongPhase)
