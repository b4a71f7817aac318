"""A fault is tried again while that can help; then the speaker is skipped, with the reason."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from meeting_core import Ask, BeginAttempt, Usage, WaitUntil, next_step
from meeting_core.decider.fault_policy import FAULT_RULES, JITTER, MAX_WAIT_SECONDS, retry_at
from meeting_core.errors import MeetingEnded, NoSuchAttempt
from meeting_core.model import (
    AttemptFailed,
    Fact,
    FaultClass,
    Paused,
    ReportFault,
    StartAttempt,
    TurnSkipped,
)
from tests.builders import (
    ANN,
    BOB,
    START,
    Later,
    after,
    as_reported,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    started_after,
    turn,
    turn_skipped,
    waited,
    whole_meeting,
)
from tests.spec import given

OPENED = (convened(), round_opened(1))
ASKED = (*OPENED, attempt_started())


def fault(
    fault_class: FaultClass = FaultClass.UNAVAILABLE, number: int = 1, **changes: object
) -> ReportFault:
    return ReportFault(turn(), number, fault_class, "no answer", **changes)  # type: ignore[arg-type]


def after_faults(count: int) -> tuple[Fact, ...]:
    """Ann's turn after so many failed attempts, with one more open."""
    facts: list[Fact] = list(OPENED)
    for number in range(1, count + 1):
        facts += [attempt_started(number=number), attempt_failed(number=number, retry_at=START)]
    return (*facts, attempt_started(number=count + 1))


def test_a_fault_that_may_pass_is_tried_again_after_a_wait():
    failed = attempt_failed(retry_at=waited())
    given(*ASKED).when(fault()).then(failed)
    again = BeginAttempt("", StartAttempt(turn()))
    assert next_step(meeting_after(*ASKED, failed)) == WaitUntil(waited(), again)


def test_the_next_attempt_has_the_next_number_and_the_same_brief():
    facts = (*ASKED, attempt_failed(retry_at=after(0.5)))
    expected = started_after(facts, turn(), number=2, cap=200)
    assert expected.digest == started_after(OPENED, turn(), cap=200).digest
    given(*facts).when(StartAttempt(turn()), at=after(0.5)).then(expected)


def test_the_wait_doubles_and_chance_adds_up_to_half_of_it():
    given(*after_faults(1)).when(fault(number=2)).then(
        attempt_failed(number=2, retry_at=waited(2, repeats=2))
    )
    for repeats, seconds in ((1, 0.5), (2, 1.0), (3, 2.0)):
        waits = [waited(number, repeats) - START for number in range(20)]
        assert min(waits) >= timedelta(seconds=seconds)
        assert max(waits) < timedelta(seconds=seconds * (1 + JITTER))
        assert len(set(waits)) > 10


def test_after_the_last_attempt_the_speaker_is_skipped_with_the_reason():
    given(*after_faults(2)).when(fault(number=3)).then(
        attempt_failed(number=3), turn_skipped(reason="unavailable", detail="no answer")
    )


@pytest.mark.parametrize(
    ("fault_class", "attempts"),
    [
        (FaultClass.RATE_LIMITED, 10),
        (FaultClass.UNAVAILABLE, 10),
        (FaultClass.TIMED_OUT, 10),
        (FaultClass.CONTEXT_TOO_LONG, 3),
        (FaultClass.REFUSED, 1),
        (FaultClass.REJECTED, 1),
        (FaultClass.TRUNCATED, 2),
        (FaultClass.EMPTY, 2),
    ],
)
def test_each_fault_is_tried_as_often_as_it_can_help(fault_class: FaultClass, attempts: int):
    def again(after_attempts: int, max_attempts: int = 10) -> datetime | None:
        return retry_at(
            fault_class,
            after_attempts,
            after_attempts,
            max_attempts=max_attempts,
            retry_after_seconds=None,
            seed="any",
            now=START,
        )

    assert all(again(tries) is not None for tries in range(1, attempts))
    assert again(attempts) is None
    assert again(1, max_attempts=1) is None


def test_every_fault_has_a_rule():
    assert set(FAULT_RULES) == set(FaultClass)


@pytest.mark.parametrize(
    ("fault_class", "charged"),
    [
        (FaultClass.RATE_LIMITED, 0),
        (FaultClass.CONTEXT_TOO_LONG, 0),
        (FaultClass.REJECTED, 0),
        (FaultClass.UNAVAILABLE, 300),
        (FaultClass.TIMED_OUT, 300),
        (FaultClass.REFUSED, 300),
        (FaultClass.TRUNCATED, 300),
        (FaultClass.EMPTY, 300),
    ],
)
def test_a_call_whose_cost_nobody_reported_keeps_its_reservation_if_it_may_have_run(
    fault_class: FaultClass, charged: int
):
    facts = (convened(max_attempts=1), round_opened(1), attempt_started(prompt=100, cap=200))
    failed = attempt_failed(fault=fault_class, charged=charged)
    skip = TurnSkipped(1, "ann", fault_class.value, "no answer")
    given(*facts).when(fault(fault_class)).then(failed, skip)
    assert meeting_after(*facts, failed).ledger.spent == charged


def test_a_request_that_never_got_there_is_not_charged():
    given(*ASKED).when(fault(reached=False)).then(attempt_failed(charged=0, retry_at=waited()))


def test_a_reported_usage_is_charged_whatever_the_fault():
    usage = Usage(80, 5, "reported")
    for reached in (True, False):
        given(*ASKED).when(fault(usage=as_reported(usage), reached=reached)).then(
            attempt_failed(charged=85, usage=usage, retry_at=waited())
        )


def test_the_providers_wish_to_wait_is_honoured():
    limited = fault(FaultClass.RATE_LIMITED, retry_after_seconds=12.0)
    given(*ASKED).when(limited).then(
        attempt_failed(fault=FaultClass.RATE_LIMITED, charged=0, retry_at=after(12))
    )


def test_a_wish_shorter_than_our_own_wait_does_not_shorten_it():
    limited = fault(FaultClass.RATE_LIMITED, retry_after_seconds=0.1)
    at = waited(fault_class=FaultClass.RATE_LIMITED)
    assert at >= after(1.0)
    given(*ASKED).when(limited).then(
        attempt_failed(fault=FaultClass.RATE_LIMITED, charged=0, retry_at=at)
    )


@pytest.mark.parametrize("wish", [35.0, 57.9])
def test_a_wish_that_fits_into_the_turns_time_is_waited_for(wish: float):
    limited = fault(FaultClass.RATE_LIMITED, retry_after_seconds=wish)
    given(*ASKED).when(limited).then(
        attempt_failed(fault=FaultClass.RATE_LIMITED, charged=0, retry_at=after(wish))
    )


@pytest.mark.parametrize("wish", [58.0, 59.0, 3_600.0, float("inf")])
def test_a_wish_longer_than_the_turn_has_time_for_means_skipping(wish: float):
    limited = fault(FaultClass.RATE_LIMITED, retry_after_seconds=wish)
    given(*ASKED).when(limited).then(
        attempt_failed(fault=FaultClass.RATE_LIMITED, charged=0),
        turn_skipped(reason="rate_limited"),
    )


def test_our_own_wait_has_an_end():
    at = retry_at(
        FaultClass.UNAVAILABLE,
        9,
        9,
        max_attempts=10,
        retry_after_seconds=None,
        seed="any",
        now=START,
    )
    assert at == after(MAX_WAIT_SECONDS)


def test_a_wait_beyond_the_turns_time_means_skipping():
    late = after(60 - 2.5)
    given(*ASKED).when(fault(), at=late).then(attempt_failed(), turn_skipped())
    just = after(60 - 2.8)
    given(*ASKED).when(fault(), at=just).then(attempt_failed(retry_at=waited(at=just)))


def test_a_wait_beyond_the_rounds_time_means_skipping():
    config = convened(meeting_timeout_seconds=480.0)  # so the rounds have 360
    facts = (config, round_opened(1), Later(330, attempt_started()))
    just = after(360 - 2.8)
    given(*facts).when(fault(), at=just).then(attempt_failed(retry_at=waited(at=just)))
    given(*facts).when(fault(), at=after(357.5)).then(attempt_failed(), turn_skipped())


def test_an_attempt_after_a_lost_one_is_not_made_when_the_turns_time_is_over():
    facts = (*ASKED, attempt_failed(retry_at=after(1)), Later(1, attempt_started(number=2)))
    over = (*facts, Later(58.5, attempt_abandoned(number=2, cause="shutdown")))
    given(*over).when(StartAttempt(turn()), at=after(58.5)).then(turn_skipped())
    just = (*facts, Later(58, attempt_abandoned(number=2, cause="shutdown")))
    given(*just).when(StartAttempt(turn()), at=after(58)).then(
        started_after(just, turn(), number=3, cap=200)
    )


def test_a_turn_out_of_time_without_a_fault_is_skipped_for_its_deadline():
    lost = (*ASKED, Later(59, attempt_abandoned(cause="shutdown")))
    given(*lost).when(StartAttempt(turn()), at=after(59)).then(
        turn_skipped(reason="deadline", detail="")
    )


def test_a_model_to_go_on_to_is_not_asked_without_the_time_for_it():
    ann = replace(ANN, model="m-1", fallback_models=("m-2",))
    rejected = attempt_failed(fault=FaultClass.REJECTED, charged=0, retry_at=after(59))
    asked = attempt_started(model="m-1")
    facts = (convened(participants=(ann, BOB)), round_opened(), asked, Later(59, rejected))
    given(*facts).when(StartAttempt(turn()), at=after(59)).then(turn_skipped(reason="rejected"))


def test_what_is_waited_for_beyond_the_retry_is_not_the_speakers():
    """A call slot, or the end of a pause: the attempt still has the time that was left for it."""
    facts = (*ASKED, attempt_failed(retry_at=after(1)))
    started = started_after(facts, turn(), number=2, cap=200)
    given(*facts).when(StartAttempt(turn()), at=after(100)).then(started)
    step = next_step(meeting_after(*facts, Later(100, started)))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(60 + 99)


def test_after_a_skip_the_next_participant_speaks():
    facts = (*ASKED, attempt_failed(), turn_skipped())
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("bob")))


def test_a_fault_belongs_to_the_open_attempt_and_to_no_other():
    given(*ASKED).when(fault(number=2)).then_refused(NoSuchAttempt)
    given(*OPENED).when(fault()).then_refused(NoSuchAttempt)
    given(*ASKED, attempt_failed(retry_at=START)).when(fault()).then_refused(NoSuchAttempt)
    given(*whole_meeting()).when(fault()).then_refused(MeetingEnded)


def test_a_fault_may_be_reported_while_paused():
    given(*ASKED, Paused()).when(fault()).then(attempt_failed(retry_at=waited()))
    given(*ASKED, Paused()).when(fault(FaultClass.REFUSED)).then(
        attempt_failed(fault=FaultClass.REFUSED), turn_skipped(reason="refused")
    )


def test_a_faults_detail_is_cut_and_cleaned():
    report = ReportFault(turn(), 1, FaultClass.REFUSED, "n\x00o\udcff " + "x" * 600)
    meeting = given(*ASKED)
    kept = "no " + "x" * 495
    meeting.when(report).then(
        AttemptFailed(turn(), 1, "ann", FaultClass.REFUSED, kept, 300),
        TurnSkipped(1, "ann", "refused", kept),
    )


def after_one(fault_class: FaultClass) -> tuple[Fact, ...]:
    """Ann's second attempt, open after a first that failed so."""
    failed = attempt_failed(fault=fault_class, retry_at=START)
    return (*ASKED, failed, attempt_started(number=2))


def test_a_fault_counts_only_with_its_like():
    """Cut off once after a rate limit, a speaker still gets its second chance."""
    cut_off = fault(FaultClass.TRUNCATED, number=2)
    given(*after_one(FaultClass.RATE_LIMITED)).when(cut_off).then(
        attempt_failed(number=2, fault=FaultClass.TRUNCATED, retry_at=START)
    )
    given(*after_one(FaultClass.TRUNCATED)).when(cut_off).then(
        attempt_failed(number=2, fault=FaultClass.TRUNCATED), turn_skipped(reason="truncated")
    )
