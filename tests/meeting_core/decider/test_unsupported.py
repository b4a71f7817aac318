"""A request in a form that a server does not know: it is sent anew in another, a few times."""

import pytest

from meeting_core import BeginAttempt, Participant, WaitUntil, next_step
from meeting_core.model import Fact, FaultClass, ReportFault, StartAttempt
from tests.builders import (
    START,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    turn,
    turn_skipped,
    waited,
)
from tests.spec import given

ONCE = (convened(max_attempts=1), round_opened(1), attempt_started())
UNSUPPORTED = FaultClass.UNSUPPORTED


def unsupported(number: int = 1, **changes: object) -> ReportFault:
    return ReportFault(turn(), number, UNSUPPORTED, "no answer", **changes)  # type: ignore[arg-type]


def adapted(number: int, fault: FaultClass = UNSUPPORTED, *, charged: int = 0) -> Fact:
    return attempt_failed(number=number, fault=fault, charged=charged, retry_at=START)


def after_adaptations(times: int, **changes: object) -> list[Fact]:
    """A meeting in which so many forms were changed, and another is being tried."""
    facts: list[Fact] = [convened(**changes), round_opened(1), attempt_started()]
    for number in range(1, times + 1):
        facts += [adapted(number), attempt_started(number=number + 1)]
    return facts


def test_it_is_tried_again_at_once_for_nothing_though_one_attempt_is_all():
    given(*ONCE).when(unsupported()).then(adapted(1))
    meeting = meeting_after(*ONCE, adapted(1))
    assert meeting.ledger.spent == 0
    begin = BeginAttempt("", StartAttempt(turn()))
    assert next_step(meeting) == WaitUntil(START, begin)


def test_it_is_charged_if_words_had_come():
    given(*ONCE).when(unsupported(tokens_seen=7)).then(adapted(1, charged=300))


@pytest.mark.parametrize("times", [1, 2, 3])
def test_it_costs_no_attempt_however_often(times: int):
    facts = after_adaptations(times, max_attempts=2)
    number = times + 1
    fault = ReportFault(turn(), number, FaultClass.UNAVAILABLE, "no answer")
    given(*facts).when(fault).then(attempt_failed(number=number, retry_at=waited(number)))


def test_it_leaves_the_repeats_of_another_fault_as_they_were():
    facts = [
        convened(max_attempts=9),
        round_opened(1),
        attempt_started(),
        attempt_failed(fault=FaultClass.EMPTY, retry_at=START),
        attempt_started(number=2),
        adapted(2),
        attempt_started(number=3),
    ]
    again = ReportFault(turn(), 3, FaultClass.EMPTY, "no answer")
    given(*facts).when(again).then(
        attempt_failed(number=3, fault=FaultClass.EMPTY), turn_skipped(reason="empty")
    )


def test_the_fifth_is_a_rejection_and_ends_the_turn():
    facts = after_adaptations(4)
    rejected = attempt_failed(number=5, fault=FaultClass.REJECTED, charged=0)
    given(*facts).when(unsupported(5)).then(rejected, turn_skipped(reason="rejected"))


def test_the_fifth_goes_on_to_the_next_model_which_starts_anew():
    participants = (
        Participant("ann", "Ann", model="m", fallback_models=("n",)),
        Participant("bob", "Bob"),
    )
    facts = after_adaptations(4, participants=participants)
    rejected = adapted(5, FaultClass.REJECTED)
    given(*facts).when(unsupported(5)).then(rejected)
    facts += [rejected, attempt_started(number=6)]
    assert meeting_after(*facts).speaking("ann").model == "n"
    given(*facts).when(unsupported(6)).then(adapted(6))


def test_other_faults_between_do_not_make_it_endless():
    facts: list[Fact] = [convened(max_attempts=9), round_opened(1), attempt_started()]
    for number in range(1, 9, 2):
        facts += [adapted(number), attempt_started(number=number + 1)]
        failed = attempt_failed(number=number + 1, charged=0, retry_at=START)
        facts += [failed, attempt_started(number=number + 2)]
    rejected = attempt_failed(number=9, fault=FaultClass.REJECTED, charged=0)
    given(*facts).when(unsupported(9)).then(rejected, turn_skipped(reason="rejected"))


def test_without_time_for_another_attempt_the_turn_is_skipped():
    facts = (convened(turn_timeout_seconds=2.0), round_opened(1), attempt_started())
    given(*facts).when(unsupported()).then(
        attempt_failed(fault=UNSUPPORTED, charged=0), turn_skipped(reason="unsupported")
    )
