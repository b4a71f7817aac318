"""Adoption: a new owner abandons the call of the old one, and the meeting goes on."""

import pytest

from meeting_core import Ask, BeginAttempt, WaitUntil, decide, next_step
from meeting_core.errors import MeetingEnded, NoSuchAttempt, StaleEpoch
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Adopted,
    AttemptStarted,
    Paused,
    StartAttempt,
    SynthesisTask,
)
from tests.builders import (
    START,
    Later,
    after,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    spoken,
    started_after,
    turn,
    turn_skipped,
    up_to_synthesis,
    whole_meeting,
)
from tests.spec import given

OPENED = (convened(), round_opened(1))
ASKED = (*OPENED, attempt_started())
ADOPTED = Adopted("replica-2", 2, "restart")
ADOPT = Adopt("replica-2", 2, "restart")


def test_adopting_abandons_an_open_attempt_and_charges_its_whole_reservation():
    given(*ASKED).when(ADOPT).then(attempt_abandoned(cause="restart"), ADOPTED)
    ledger = meeting_after(*ASKED, attempt_abandoned(), ADOPTED).ledger
    assert (ledger.spent, ledger.reserved) == (300, 0)


def test_adopting_without_an_open_attempt_only_changes_the_owner():
    given(*OPENED).when(ADOPT).then(ADOPTED)
    given(*ASKED, attempt_failed(retry_at=after(1))).when(ADOPT).then(ADOPTED)


def test_a_takeover_says_so():
    adopted = Adopted("replica-2", 3, "takeover")
    given(*ASKED).when(Adopt("replica-2", 3, "takeover")).then(
        attempt_abandoned(cause="takeover"), adopted
    )


@pytest.mark.parametrize("epoch", [0, 1])
def test_only_a_higher_epoch_adopts(epoch: int):
    given(*OPENED).when(Adopt("replica-2", epoch, "takeover")).then_refused(StaleEpoch)


def test_the_same_epoch_does_not_adopt_twice():
    given(*OPENED, ADOPTED).when(ADOPT).then_refused(StaleEpoch, "epoch 2")


def test_nobody_adopts_a_meeting_that_has_ended():
    given(*whole_meeting()).when(ADOPT).then_refused(MeetingEnded)


def test_a_paused_meeting_is_adopted_and_stays_paused():
    given(*ASKED, Paused()).when(ADOPT).then(attempt_abandoned(), ADOPTED)
    meeting = meeting_after(*ASKED, Paused(), attempt_abandoned(), ADOPTED)
    assert meeting.state == "paused"


def test_an_abandoned_turn_is_asked_again_under_the_next_number():
    facts = (*ASKED, attempt_abandoned(), ADOPTED)
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn()))
    given(*facts).when(StartAttempt(turn())).then(started_after(facts, turn(), number=2, cap=200))


def test_an_abandoned_attempt_does_not_count_as_a_fault_of_the_speaker():
    facts = [*OPENED]
    for number in (1, 2, 3, 4):
        facts += [attempt_started(number=number), attempt_abandoned(number=number)]
    given(*facts).when(StartAttempt(turn())).then(started_after(facts, turn(), number=5, cap=200))


def test_an_ended_turn_is_never_asked_again_after_a_crash():
    for ended in (spoken("ann"), [*ASKED[2:], attempt_failed(), turn_skipped()]):
        facts = (*OPENED, *ended, ADOPTED)
        assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("bob")))


def test_a_crash_at_any_point_leads_back_to_what_was_next():
    """Adopting between any two facts changes who asks, never what is asked next."""
    facts = whole_meeting()
    for cut in range(1, len(facts)):
        before = meeting_after(*facts[:cut])
        step = next_step(meeting_after(*facts[:cut], *decide(before, ADOPT, START)))
        lost = isinstance(facts[cut - 1], AttemptStarted)
        assert step == (
            BeginAttempt("", StartAttempt(facts[cut - 1].task)) if lost else next_step(before)
        )


def test_an_abandoned_synthesis_is_asked_of_the_same_author_again():
    facts = (*up_to_synthesis(), attempt_started(SynthesisTask()))
    given(*facts).when(ADOPT).then(attempt_abandoned(SynthesisTask()), ADOPTED)
    again = (*facts, attempt_abandoned(SynthesisTask()), ADOPTED)
    given(*again).when(StartAttempt(SynthesisTask())).then(
        started_after(again, SynthesisTask(), by="ann", number=2, cap=500)
    )


def test_a_reply_that_comes_after_the_takeover_is_refused():
    facts = (*ASKED, attempt_abandoned(cause="takeover"), Adopted("replica-2", 2, "takeover"))
    given(*facts).when(AcceptReply(turn(), 1, "late", "stop")).then_refused(NoSuchAttempt)


def test_adopting_starts_the_clock_of_the_turn_anew():
    facts = (*ASKED, attempt_abandoned(), Later(300, ADOPTED))
    step = next_step(meeting_after(*facts, Later(301, attempt_started(number=2))))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(301 + 60)


def test_a_wait_that_began_before_the_crash_goes_on_under_the_new_clock():
    facts = (*ASKED, attempt_failed(retry_at=after(10)), Later(300, ADOPTED))
    assert next_step(meeting_after(*facts)) == WaitUntil(
        after(10), BeginAttempt("", StartAttempt(turn()))
    )
    given(*facts).when(StartAttempt(turn()), at=after(300)).then(
        started_after(facts, turn(), number=2, cap=200)
    )


def test_adopting_starts_the_clock_of_the_synthesis_anew():
    lost = [attempt_started(SynthesisTask()), attempt_abandoned(SynthesisTask())]
    again = attempt_started(SynthesisTask(), 2)
    facts = (*up_to_synthesis(), *lost, Later(500, ADOPTED), Later(510, again))
    step = next_step(meeting_after(*facts))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(510 + 120)


@pytest.mark.parametrize("cause", ["shutdown", "deadline"])
def test_an_open_attempt_can_be_given_up_for_any_cause(cause: str):
    given(*ASKED).when(AbandonAttempt(cause)).then(attempt_abandoned(cause=cause))


def test_giving_up_an_attempt_when_none_is_open_does_nothing():
    given(*OPENED).when(AbandonAttempt("shutdown")).then_nothing()
    given(*ASKED, attempt_abandoned()).when(AbandonAttempt("shutdown")).then_nothing()


def test_no_attempt_is_given_up_after_the_end():
    given(*whole_meeting()).when(AbandonAttempt("shutdown")).then_refused(MeetingEnded)
