"""A meeting ends once: complete, cancelled or failed. Nothing changes it afterwards."""

import pytest

from meeting_core import Ended, next_step
from meeting_core.errors import MeetingEnded, WrongPhase
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Cancel,
    Cancelled,
    CloseRound,
    Command,
    Complete,
    Fact,
    Fail,
    Failed,
    FaultClass,
    GiveUpSynthesis,
    MakeRemark,
    OpenRound,
    Pause,
    Paused,
    ReportFault,
    Resume,
    StartAttempt,
    StartSynthesis,
    SynthesisCompleted,
    SynthesisTask,
)
from tests.builders import (
    START,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    turn,
    up_to_synthesis,
    whole_meeting,
    whole_round,
    written,
)
from tests.spec import given

ASKED = (convened(), round_opened(1), attempt_started())
CANCELLED = (*ASKED, attempt_abandoned(cause="cancel"), Cancelled("not needed"))
FAILED = (*ASKED, attempt_abandoned(cause="failure"), Failed("internal_error", "out of luck"))

LIVE: list[tuple[Fact, ...]] = [
    (convened(),),
    (convened(), round_opened(1)),
    (convened(), *whole_round(1)),
    tuple(up_to_synthesis()),
    (*up_to_synthesis(), *written()),
    (convened(), Paused()),
    (*ASKED, attempt_failed(retry_at=START)),
]

EVERYTHING: list[Command] = [
    OpenRound(1),
    StartAttempt(turn()),
    StartAttempt(SynthesisTask()),
    AcceptReply(turn(), 1, "late", "stop"),
    ReportFault(turn(), 1, FaultClass.TIMED_OUT, "late"),
    AbandonAttempt("shutdown"),
    CloseRound(1),
    StartSynthesis(),
    GiveUpSynthesis(),
    Complete("minutes.md"),
    Fail("internal_error"),
    Pause(),
    Resume(),
    Adopt("replica-2", 99, "restart"),
    MakeRemark("Eve", "One more thing"),
]


@pytest.mark.parametrize("facts", LIVE)
def test_a_live_meeting_can_be_cancelled(facts: tuple[Fact, ...]):
    given(*facts).when(Cancel("not needed")).then(Cancelled("not needed"))


def test_cancelling_abandons_the_call_in_flight_and_charges_it():
    given(*ASKED).when(Cancel("not needed")).then(
        attempt_abandoned(cause="cancel"), Cancelled("not needed")
    )
    given(*ASKED, Paused()).when(Cancel()).then(attempt_abandoned(cause="cancel"), Cancelled())


def test_cancelling_again_does_nothing():
    given(*CANCELLED).when(Cancel("again")).then_nothing()


def test_a_meeting_that_ended_otherwise_cannot_be_cancelled():
    given(*whole_meeting()).when(Cancel()).then_refused(MeetingEnded, "complete")
    given(*FAILED).when(Cancel()).then_refused(MeetingEnded, "error")


def test_a_cancelled_meeting_keeps_what_was_finished_and_when_it_ended():
    meeting = meeting_after(convened(), *whole_round(1), Cancelled())
    assert [held.text for held in meeting.turns] == ["I did my part."] * 2
    assert meeting.ended_at == START
    assert meeting.state == "cancelled"


@pytest.mark.parametrize("facts", LIVE)
def test_a_live_meeting_can_fail(facts: tuple[Fact, ...]):
    given(*facts).when(Fail("crash_loop", "five claims")).then(Failed("crash_loop", "five claims"))


def test_failing_abandons_the_call_in_flight():
    given(*ASKED).when(Fail("orchestrator_restart")).then(
        attempt_abandoned(cause="failure"), Failed("orchestrator_restart")
    )


def test_a_failure_keeps_its_reason_cut_and_cleaned():
    given(convened()).when(Fail("internal_error", "x\x00" * 400)).then(
        Failed("internal_error", "x" * 250)
    )
    meeting = meeting_after(*FAILED)
    assert (meeting.failure, meeting.failure_detail) == ("internal_error", "out of luck")


def test_a_meeting_does_not_fail_twice():
    given(*FAILED).when(Fail("crash_loop")).then_refused(MeetingEnded)


def test_a_reason_to_cancel_or_pause_is_cleaned():
    given(convened()).when(Cancel("no\ud800\x00")).then(Cancelled("no"))
    given(convened()).when(Pause("no\ud800\x00")).then(Paused("no"))


@pytest.mark.parametrize("facts", [tuple(whole_meeting()), CANCELLED, FAILED])
@pytest.mark.parametrize("command", EVERYTHING, ids=lambda command: type(command).__name__)
def test_nothing_is_taken_after_the_end(facts: tuple[Fact, ...], command: Command):
    given(*facts).when(command).then_refused(MeetingEnded)


@pytest.mark.parametrize("facts", [tuple(whole_meeting()), CANCELLED, FAILED])
def test_nothing_is_left_to_do_after_the_end(facts: tuple[Fact, ...]):
    assert next_step(meeting_after(*facts)) == Ended()


@pytest.mark.parametrize("command", [*EVERYTHING, Cancel()])
def test_nothing_is_taken_before_the_meeting_is_convened(command: Command):
    given().when(command).then_refused(WrongPhase, "not been convened")


def test_a_completed_meeting_keeps_its_outcome_and_its_place():
    given(*up_to_synthesis(), SynthesisCompleted(degraded="lost")).when(Fail("crash_loop")).then(
        Failed("crash_loop")
    )
    meeting = meeting_after(*whole_meeting())
    assert meeting.outcome is not None
    assert (meeting.outcome.author, meeting.state, meeting.progress_pct) == ("ann", "complete", 100)
