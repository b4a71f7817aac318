"""The synthesis: written by the first participant who can; without one the meeting still ends."""

import pytest

from meeting_core import (
    Ask,
    BeginAttempt,
    GiveCommand,
    SaveMinutes,
    Usage,
    WaitUntil,
    estimate_tokens,
    next_step,
)
from meeting_core.errors import MeetingEnded, NoSuchAttempt, OutOfTurn, WrongPhase
from meeting_core.model import (
    AcceptReply,
    AttemptFailed,
    Complete,
    Completed,
    Fact,
    FaultClass,
    GiveUpSynthesis,
    Outcome,
    Paused,
    Reply,
    ReportFault,
    StartAttempt,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    SynthesisTask,
)
from tests.builders import (
    SYNTHESIS,
    Later,
    after,
    as_reported,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    skipped,
    spoken,
    started_after,
    turn,
    up_to_synthesis,
    waited,
    whole_meeting,
    whole_round,
    written,
)
from tests.spec import given

CLOSING = SynthesisTask()
ASKED = (*up_to_synthesis(), attempt_started(CLOSING, cap=500))


@pytest.mark.parametrize("meeting_tokens", [None, 90_000])
def test_a_context_that_holds_nothing_of_what_was_said_is_not_told_as_a_spent_budget(
    meeting_tokens: int | None,
):
    facts = up_to_synthesis(context_tokens=100, meeting_tokens=meeting_tokens)
    given(*facts).when(StartAttempt(CLOSING)).then(
        SynthesisCompleted(
            degraded="no summary was written (nothing of what was said fits the model's context)"
        )
    )


def refused(author: str, number: int, fault: FaultClass = FaultClass.REFUSED) -> list[Fact]:
    """An author whose attempt failed for good."""
    started = attempt_started(CLOSING, number, by=author)
    return [started, attempt_failed(CLOSING, number, fault, by=author)]


NOBODY = (*up_to_synthesis(), *refused("ann", 1), *refused("bob", 2))
UNWRITTEN = SynthesisCompleted(degraded="no summary was written (refused: no answer)")


def test_the_first_participant_writes_the_minutes():
    facts = up_to_synthesis()
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(CLOSING))
    given(*facts).when(StartAttempt(CLOSING)).then(started_after(facts, CLOSING, by="ann", cap=500))


def test_no_synthesis_is_asked_for_before_its_time():
    given(convened()).when(StartAttempt(CLOSING)).then_refused(WrongPhase)
    given(convened(), *whole_round(1)).when(StartAttempt(CLOSING)).then_refused(WrongPhase)
    given(*up_to_synthesis(), Paused()).when(StartAttempt(CLOSING)).then_refused(WrongPhase)
    given(*whole_meeting()).when(StartAttempt(CLOSING)).then_refused(MeetingEnded)


def test_no_synthesis_is_asked_for_twice():
    given(*up_to_synthesis(), *written()).when(StartAttempt(CLOSING)).then_refused(WrongPhase)


def test_the_reply_becomes_the_closing_text():
    usage = Usage(300, 60, "reported")
    tokens = estimate_tokens(SYNTHESIS)
    given(*ASKED).when(AcceptReply(CLOSING, 1, SYNTHESIS, "stop", as_reported(usage), "m-2")).then(
        SynthesisCompleted("ann", 1, Reply(SYNTHESIS, tokens, usage, "stop", "m-2"))
    )


def test_a_closing_text_without_a_section_is_a_draft_that_says_what_is_missing():
    text = "## Discussion Summary\nWe talked.\n## Decisions\n- none"
    usage = Usage(100, estimate_tokens(text), "estimated")
    given(*ASKED).when(AcceptReply(CLOSING, 1, text, "length")).then(
        SynthesisDrafted(
            "ann",
            1,
            Reply(text, estimate_tokens(text), usage, "length"),
            ("Action Items", "Blockers"),
        )
    )


def test_a_reply_to_another_attempt_is_refused():
    given(*ASKED).when(AcceptReply(CLOSING, 2, "x", "stop")).then_refused(NoSuchAttempt)
    given(*ASKED).when(AcceptReply(turn(), 1, "x", "stop")).then_refused(NoSuchAttempt)


def test_a_fault_that_may_pass_is_tried_again_by_the_same_author():
    fault = ReportFault(CLOSING, 1, FaultClass.UNAVAILABLE, "no answer", reached=False)
    failed = attempt_failed(CLOSING, charged=0, retry_at=waited(task=CLOSING))
    given(*ASKED).when(fault).then(failed)
    facts = (*ASKED, failed)
    assert next_step(meeting_after(*facts)) == WaitUntil(
        waited(task=CLOSING), BeginAttempt("", StartAttempt(CLOSING))
    )
    given(*facts).when(StartAttempt(CLOSING), at=after(0.5)).then(
        started_after(facts, CLOSING, by="ann", number=2, cap=500)
    )


def test_a_fault_for_good_passes_the_pen_to_the_next_participant():
    fault = ReportFault(CLOSING, 1, FaultClass.REFUSED, "no answer")
    failed = AttemptFailed(CLOSING, 1, "ann", FaultClass.REFUSED, "no answer", 600)
    given(*ASKED).when(fault).then(failed)
    facts = (*ASKED, failed)
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(CLOSING))
    given(*facts).when(StartAttempt(CLOSING)).then(
        started_after(facts, CLOSING, by="bob", number=2, cap=500)
    )


def test_each_author_has_attempts_of_their_own():
    facts = [*up_to_synthesis(max_attempts=2)]
    facts += [attempt_started(CLOSING), attempt_failed(CLOSING, retry_at=after(1))]
    facts += [attempt_started(CLOSING, 2), attempt_failed(CLOSING, 2)]
    facts += [attempt_started(CLOSING, 3, by="bob")]
    fault = ReportFault(CLOSING, 3, FaultClass.UNAVAILABLE, "no answer")
    failed = attempt_failed(CLOSING, 3, by="bob", retry_at=waited(3, task=CLOSING))
    given(*facts).when(fault).then(failed)


def test_when_everybody_has_given_up_the_meeting_goes_on_without_a_text():
    assert next_step(meeting_after(*NOBODY)) == GiveCommand(GiveUpSynthesis())
    given(*NOBODY).when(StartAttempt(CLOSING)).then_refused(OutOfTurn)
    given(*NOBODY).when(GiveUpSynthesis()).then(UNWRITTEN)


def test_nobody_gives_up_while_somebody_may_still_write():
    given(*up_to_synthesis()).when(GiveUpSynthesis()).then_refused(OutOfTurn, "ann")
    given(*ASKED).when(GiveUpSynthesis()).then_refused(OutOfTurn)
    given(*up_to_synthesis(), *refused("ann", 1)).when(GiveUpSynthesis()).then_refused(
        OutOfTurn, "bob"
    )


def test_nobody_gives_up_what_is_written_or_not_begun():
    given(convened()).when(GiveUpSynthesis()).then_refused(WrongPhase)
    given(*up_to_synthesis(), *written()).when(GiveUpSynthesis()).then_refused(WrongPhase)
    given(*NOBODY, UNWRITTEN).when(GiveUpSynthesis()).then_refused(WrongPhase)
    given(*whole_meeting()).when(GiveUpSynthesis()).then_refused(MeetingEnded)


def test_the_synthesis_has_its_own_time():
    step = next_step(meeting_after(*ASKED))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(120)
    assert (step.participant.agent_id, step.output_tokens) == ("ann", 500)


def test_a_synthesis_out_of_time_ends_without_a_text():
    failed = attempt_failed(CLOSING, fault=FaultClass.TIMED_OUT, charged=0)
    late = (*ASKED, Later(118.5, failed))
    given(*late).when(StartAttempt(CLOSING), at=after(118.5)).then(
        SynthesisCompleted(degraded="no summary was written (the time for it ran out)")
    )


def test_the_time_for_the_synthesis_runs_from_its_first_attempt():
    """A wait for a call slot must not cost the minutes."""
    facts = up_to_synthesis()
    started = started_after(facts, CLOSING, by="ann", cap=500)
    given(*facts).when(StartAttempt(CLOSING), at=after(500)).then(started)
    step = next_step(meeting_after(*facts, Later(500, started)))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(500 + 120)


def test_a_wait_for_a_call_slot_takes_nothing_from_the_next_authors_time():
    failed = attempt_failed(CLOSING, fault=FaultClass.REFUSED, charged=0)
    facts = (*ASKED, Later(20, failed))
    started = started_after(facts, CLOSING, by="bob", number=2, cap=500)
    given(*facts).when(StartAttempt(CLOSING), at=after(300)).then(started)
    step = next_step(meeting_after(*facts, Later(300, started)))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(300 + 100)


def test_a_wait_beyond_the_synthesiss_time_passes_the_pen():
    fault = ReportFault(CLOSING, 1, FaultClass.UNAVAILABLE, "no answer", reached=False)
    given(*ASKED).when(fault, at=after(119.5)).then(attempt_failed(CLOSING, charged=0))


def test_a_written_synthesis_is_saved_then_completed():
    facts = (*up_to_synthesis(), *written())
    assert isinstance(next_step(meeting_after(*facts)), SaveMinutes)
    given(*facts).when(Complete("minutes.md")).then(
        Completed(Outcome("agenda", (), "ann"), "minutes.md")
    )


def test_a_meeting_without_a_text_completes_degraded_and_without_an_author():
    outcome = Outcome("agenda", (UNWRITTEN.degraded,), None)
    given(*NOBODY, UNWRITTEN).when(Complete("minutes.md")).then(Completed(outcome, "minutes.md"))


def test_minutes_that_could_not_be_saved_degrade_the_outcome():
    lost = Outcome("agenda", ("the minutes could not be saved: disk full",), "ann")
    given(*up_to_synthesis(), *written()).when(Complete(None, "disk\x00 full")).then(
        Completed(lost)
    )


@pytest.mark.parametrize("cause", ["budget", "deadline"])
def test_the_outcome_says_what_ended_the_rounds_and_how_many_were_held(cause: str):
    facts = [convened(), round_opened(1), *spoken("ann"), round_closed(1, "partial", cause)]
    facts += [SynthesisStarted(), *written()]
    ended = {"budget": "the token budget ended", "deadline": "the time limit ended"}[cause]
    losses = (f"{ended} the rounds early", "only 1 of 2 rounds were held")
    given(*facts).when(Complete()).then(Completed(Outcome(cause, losses, "ann", ("bob",), (1,))))


def test_every_skipped_turn_is_in_the_outcome():
    first = [round_opened(1), *skipped("ann"), *spoken("bob"), round_closed(1, "partial")]
    second = [round_opened(2), *spoken("ann", 2), *skipped("bob", 2), round_closed(2, "partial")]
    facts = [convened(), *first, *second, SynthesisStarted(), *written()]
    losses = (
        "round 1: ann did not speak (unavailable)",
        "round 2: bob did not speak (unavailable)",
    )
    given(*facts).when(Complete()).then(Completed(Outcome("agenda", losses, "ann", (), (1, 2))))


def test_nothing_is_completed_before_the_minutes_are_written():
    given(convened()).when(Complete()).then_refused(WrongPhase)
    given(*up_to_synthesis()).when(Complete()).then_refused(WrongPhase)
    given(*ASKED).when(Complete()).then_refused(WrongPhase)
    given(*up_to_synthesis(), *written(), Paused()).when(Complete()).then_refused(WrongPhase)


def test_a_meeting_is_completed_once():
    given(*whole_meeting()).when(Complete()).then_refused(MeetingEnded)


def test_the_closing_text_of_a_paused_meeting_is_kept():
    given(*ASKED, Paused()).when(AcceptReply(CLOSING, 1, SYNTHESIS, "stop")).then(
        SynthesisCompleted(
            "ann",
            1,
            Reply(
                SYNTHESIS,
                estimate_tokens(SYNTHESIS),
                Usage(100, estimate_tokens(SYNTHESIS), "estimated"),
                "stop",
            ),
        )
    )
