"""Time: a turn, the rounds and the synthesis each have theirs; running out loses no ended turn."""

from meeting_core import Ask, GiveCommand, ReportedUsage, estimate_tokens, next_step
from meeting_core.model import (
    AcceptReply,
    Complete,
    Completed,
    OpenRound,
    Outcome,
    RoundClosed,
    StartAttempt,
    SynthesisStarted,
    SynthesisTask,
    TurnSkipped,
)
from tests.builders import (
    Later,
    after,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    started_after,
    turn,
    turn_completed,
    whole_round,
    written,
)
from tests.spec import given

ROUNDS_END = 3_600 - 120
"""The meeting's time less the synthesis's, in seconds after it was convened."""

OPENED = (convened(), round_opened(1))


def test_the_rounds_end_when_only_the_synthesiss_time_is_left():
    facts = (*OPENED, *spoken("ann"))
    given(*facts).when(StartAttempt(turn("bob")), at=after(ROUNDS_END)).then(
        RoundClosed(1, "partial", "deadline")
    )
    given(*facts).when(StartAttempt(turn("bob")), at=after(ROUNDS_END - 2)).then(
        started_after(facts, turn("bob"), cap=200)
    )


def test_a_turn_does_not_begin_with_less_than_the_least_time_before_the_rounds_end():
    facts = (*OPENED, *spoken("ann"))
    given(*facts).when(StartAttempt(turn("bob")), at=after(ROUNDS_END - 1.9)).then(
        RoundClosed(1, "partial", "deadline")
    )
    short = (convened(min_attempt_seconds=0.5), *facts[1:])
    given(*short).when(StartAttempt(turn("bob")), at=after(ROUNDS_END - 1.9)).then(
        started_after(short, turn("bob"), cap=200)
    )


def test_after_the_rounds_have_run_out_of_time_comes_the_synthesis():
    facts = (*OPENED, *spoken("ann"), round_closed(1, "partial", "deadline"))
    step = next_step(meeting_after(*facts))
    assert isinstance(step, GiveCommand)
    given(*facts).when(step.command, at=after(ROUNDS_END)).then(SynthesisStarted())


def test_the_synthesis_has_its_whole_time_however_late_it_starts():
    facts = (*OPENED, *spoken("ann"), round_closed(1, "partial", "deadline"))
    late = (*facts, Later(9_000, SynthesisStarted()))
    given(*late).when(StartAttempt(SynthesisTask()), at=after(9_119)).then(
        started_after(late, SynthesisTask(), cap=500)
    )


def test_a_round_opened_too_late_is_closed_at_once():
    facts = (convened(), *whole_round(1))
    given(*facts).when(OpenRound(2), at=after(ROUNDS_END)).then(round_opened(2))
    given(*facts, round_opened(2)).when(StartAttempt(turn("ann", 2)), at=after(ROUNDS_END)).then(
        RoundClosed(2, "silent", "deadline")
    )


def test_a_turn_that_has_begun_has_an_ending_when_time_runs_out():
    facts = (*OPENED, attempt_started(), attempt_abandoned())
    given(*facts).when(StartAttempt(turn()), at=after(ROUNDS_END)).then(
        TurnSkipped(1, "ann", "deadline"), RoundClosed(1, "silent", "deadline")
    )
    failed = (*OPENED, attempt_started(), attempt_failed(retry_at=after(ROUNDS_END)))
    given(*failed).when(StartAttempt(turn()), at=after(ROUNDS_END)).then(
        TurnSkipped(1, "ann", "unavailable", "no answer"), RoundClosed(1, "silent", "deadline")
    )


def test_a_turn_that_has_begun_has_an_ending_when_money_runs_out():
    poor = convened(meeting_tokens=5_000)
    facts = (poor, round_opened(1), *spoken("ann"), attempt_started(turn("bob")))
    facts = (*facts, attempt_abandoned(turn("bob"), charged=900))
    given(*facts).when(StartAttempt(turn("bob"))).then(
        TurnSkipped(1, "bob", "budget"), RoundClosed(1, "partial", "budget")
    )


def test_a_call_is_given_the_turns_time():
    step = next_step(meeting_after(*OPENED, Later(100, attempt_started())))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(100 + 60)


def test_a_second_call_is_given_what_is_left_of_the_turns_time():
    facts = (*OPENED, Later(100, attempt_started()), attempt_failed(retry_at=after(130)))
    step = next_step(meeting_after(*facts, Later(130, attempt_started(number=2))))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(100 + 60)


def test_no_call_is_given_more_than_the_rounds_have_left():
    step = next_step(meeting_after(*OPENED, Later(ROUNDS_END - 10, attempt_started())))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(ROUNDS_END)


def test_a_reply_that_comes_late_is_taken_all_the_same():
    """The shell bounds the call; a reply that is there was paid for and is kept."""
    facts = (*OPENED, attempt_started())
    reply = AcceptReply(turn(), 1, "I did my part.", "stop", ReportedUsage(90, 6))
    completed = turn_completed(text_tokens=estimate_tokens("I did my part."))
    given(*facts).when(reply, at=after(ROUNDS_END + 500)).then(completed)


def test_the_outcome_says_that_time_ran_out():
    facts = (*OPENED, *spoken("ann"), round_closed(1, "partial", "deadline"), SynthesisStarted())
    losses = ("the time limit ended the rounds early", "only 1 of 2 rounds were held")
    outcome = Outcome("deadline", losses, "ann", ("bob",), (1,))
    given(*facts, *written()).when(Complete()).then(Completed(outcome))
