"""A gateway that is unreachable: the meeting waits for it until a timeout."""

import pytest
from msgspec.structs import replace

from meeting_core import Ask, BeginAttempt, Fact, GiveCommand, Idle, WaitForGateway, next_step
from meeting_core.model import (
    Adopted,
    DigestTask,
    Fail,
    Failed,
    FaultClass,
    Participant,
    Paused,
    Phase,
    ReportFault,
    Resumed,
    RoundClosed,
    RoundDigested,
    StartAttempt,
    SynthesisCompleted,
    SynthesisTask,
    Task,
)
from tests.builders import (
    BOB,
    Later,
    after,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    started_after,
    synthesis_drafted,
    turn,
    turn_completed,
    turn_skipped,
    up_to_synthesis,
    whole_round,
)
from tests.spec import given

ANN = Participant("ann", "Ann", gateway="main")
OPENED = (convened(participants=(ANN, BOB)), round_opened(1))
ASKED = (*OPENED, attempt_started())
BEGIN = BeginAttempt("main", StartAttempt(turn()))
GONE = GiveCommand(
    Fail("gateway_unreachable", "gateway 'main' was unreachable for 60 s: no answer")
)


def unreachable(task: Task | None = None, number: int = 1, **changes: object) -> ReportFault:
    return ReportFault(
        task or turn(),
        number,
        FaultClass.UNAVAILABLE,
        "no answer",
        reached=False,
        is_unreachable=True,
        **changes,  # type: ignore[arg-type]
    )


def waiting(number: int = 1, *, until: float = 60, task: Task | None = None) -> Fact:
    return attempt_failed(task, number, charged=0, give_up_at=after(until))


def test_the_meeting_waits_for_an_unreachable_gateway():
    given(*ASKED).when(unreachable()).then(waiting(until=60))
    meeting = meeting_after(*ASKED, waiting(until=60))
    assert next_step(meeting) == WaitForGateway("main", after(60), BEGIN, GONE)


def test_how_long_it_waits_is_the_meetings_choice():
    opened = (convened(gateway_reconnect_timeout_seconds=7.5), round_opened(1), attempt_started())
    given(*opened).when(unreachable()).then(waiting(until=7.5))


def test_a_gateway_that_answers_is_not_unreachable():
    fault = ReportFault(turn(), 1, FaultClass.RATE_LIMITED, "no answer", 12.0, is_unreachable=True)
    given(*ASKED).when(fault).then(
        attempt_failed(fault=FaultClass.RATE_LIMITED, charged=0, retry_at=after(12))
    )


def test_the_timeout_is_counted_from_the_first_time():
    facts = (*ASKED, waiting(until=60), Later(20, attempt_started(number=2)))
    given(*facts).when(unreachable(number=2), at=after(25)).then(waiting(2, until=60))


def test_the_timeout_starts_anew_once_the_gateway_has_answered():
    facts = (*ASKED, waiting(until=60), Later(20, attempt_started(number=2)))
    limited = attempt_failed(number=2, fault=FaultClass.RATE_LIMITED, charged=0, retry_at=after(22))
    facts = (*facts, Later(21, limited), Later(22, attempt_started(number=3)))
    given(*facts).when(unreachable(number=3), at=after(25)).then(waiting(3, until=85))


def test_a_gateway_that_stays_unreachable_fails_the_meeting():
    facts = (*ASKED, waiting(until=60), Later(59, attempt_started(number=2)))
    given(*facts).when(unreachable(number=2), at=after(60)).then(
        attempt_failed(number=2, charged=0), Failed("gateway_unreachable", "no answer")
    )


def test_the_wait_takes_nothing_from_the_turns_time():
    facts = (*ASKED, Later(50, waiting(until=110)))
    expected = started_after(facts, turn(), number=2, cap=200)
    given(*facts).when(StartAttempt(turn()), at=after(100)).then(expected)
    step = next_step(meeting_after(*facts, Later(100, expected)))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(100 + 60)


def test_the_wait_is_no_attempt_of_the_speakers():
    """After it, a speaker still has all its attempts."""
    facts = (*ASKED, waiting(until=60), Later(10, attempt_started(number=2)))
    failed = attempt_failed(number=2, retry_at=after(11))
    facts = (*facts, Later(10, failed), Later(11, attempt_started(number=3)))
    assert meeting_after(*facts).task_state is not None
    fault = ReportFault(turn(), 3, FaultClass.EMPTY, "no answer")
    given(*facts).when(fault, at=after(12)).then(
        attempt_failed(number=3, fault=FaultClass.EMPTY, retry_at=after(12))
    )


def test_the_end_of_the_rounds_comes_first():
    config = convened(participants=(ANN, BOB), meeting_timeout_seconds=480.0)  # the rounds have 360
    facts = (config, round_opened(1), Later(310, attempt_started()))
    facts = (*facts, Later(320, waiting(until=380)))
    step = next_step(meeting_after(*facts))
    assert step == WaitForGateway("main", after(360), BEGIN, BEGIN)
    given(*facts).when(StartAttempt(turn()), at=after(360)).then(
        turn_skipped(reason="unavailable"), RoundClosed(1, "silent", "deadline")
    )


def test_a_digest_waits_for_nobody():
    task = DigestTask(1)
    facts = (convened(digest_rounds=True), *whole_round(1), attempt_started(task))
    given(*facts).when(unreachable(task)).then(
        attempt_failed(task, charged=0), RoundDigested(1, degraded="unavailable: no answer")
    )


CLOSING = SynthesisTask()
WRITING = (*up_to_synthesis(), attempt_started(CLOSING, cap=500))


def test_the_synthesis_waits_too_and_its_time_starts_anew():
    given(*WRITING).when(unreachable(CLOSING), at=after(100)).then(waiting(until=160, task=CLOSING))
    facts = (*WRITING, Later(100, waiting(until=160, task=CLOSING)))
    begin = BeginAttempt("", StartAttempt(CLOSING))
    assert next_step(meeting_after(*facts)) == WaitForGateway("", after(160), begin, begin)
    expected = started_after(facts, CLOSING, number=2, cap=500)
    given(*facts).when(StartAttempt(CLOSING), at=after(150)).then(expected)
    step = next_step(meeting_after(*facts, Later(150, expected)))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(150 + 120)


def test_a_synthesis_whose_gateway_stays_unreachable_is_the_record_alone():
    facts = (*WRITING, Later(100, waiting(until=160, task=CLOSING)))
    given(*facts).when(StartAttempt(CLOSING), at=after(160)).then(
        SynthesisCompleted(degraded="no summary was written (unavailable: no answer)")
    )
    facts = (*facts, Later(159, attempt_started(CLOSING, 2, cap=500)))
    given(*facts).when(unreachable(CLOSING, 2), at=after(161)).then(
        attempt_failed(CLOSING, 2, charged=0),
        SynthesisCompleted(degraded="no summary was written (no answer)"),
    )


def test_who_speaks_through_another_gateway_writes_at_once():
    bob = replace(BOB, gateway="other")
    facts = (*up_to_synthesis(participants=(ANN, bob)), attempt_started(CLOSING, cap=500))
    failed = attempt_failed(CLOSING, charged=0)
    given(*facts).when(unreachable(CLOSING)).then(failed)
    assert next_step(meeting_after(*facts, failed)) == BeginAttempt("other", StartAttempt(CLOSING))


def test_a_draft_is_not_lost_with_the_gateway():
    half = "## Discussion Summary\nWe talked."
    missing = ("Action Items", "Decisions", "Blockers")
    facts = (*WRITING, synthesis_drafted(half, missing), attempt_started(CLOSING, 2, cap=500))
    facts = (*facts, waiting(2, until=60, task=CLOSING))
    step = next_step(meeting_after(*facts))
    assert isinstance(step, WaitForGateway)
    assert not (
        isinstance(step.otherwise, GiveCommand) and isinstance(step.otherwise.command, Fail)
    )


def test_a_paused_meeting_waits_for_nobody():
    given(*ASKED, Paused()).when(unreachable()).then(waiting(until=60))
    assert next_step(meeting_after(*ASKED, Paused(), waiting(until=60))) == Idle()


def test_an_attempt_that_was_lost_is_begun_again_without_waiting_for_the_gateway():
    facts = (*ASKED, waiting(until=60), Later(20, attempt_started(number=2)))
    facts = (*facts, Later(90, attempt_abandoned(number=2)))
    assert next_step(meeting_after(*facts)) == BEGIN


@pytest.mark.parametrize(
    "interruption",
    [
        [Later(90, Adopted("replica", 2, "restart"))],
        [Later(10, Paused("lunch")), Later(90, Resumed(Phase.IN_ROUND))],
    ],
)
def test_the_gateway_is_tried_before_a_meeting_gives_up_that_stood_still(
    interruption: list[Later],
):
    facts = (*ASKED, waiting(until=60), *interruption)
    assert next_step(meeting_after(*facts)) == BEGIN


def test_the_next_speaker_does_not_wait_for_what_the_last_one_waited_for():
    facts = (*ASKED, waiting(until=60), Later(20, attempt_started(number=2)))
    facts = (*facts, Later(21, turn_completed(number=2)))
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("bob")))
