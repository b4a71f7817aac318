"""A model that its gateway does not serve at present, while it serves others: no reason to wait."""

from datetime import datetime

import pytest

from meeting_core import (
    Ask,
    BeginAttempt,
    Fact,
    Participant,
    WaitForGateway,
    WaitUntil,
    next_step,
)
from meeting_core.model import (
    AttemptFailed,
    DigestTask,
    FaultClass,
    ReportedUsage,
    ReportFault,
    RoundDigested,
    StartAttempt,
    SynthesisStarted,
    SynthesisTask,
    Task,
)
from tests.builders import (
    BOB,
    START,
    Later,
    after,
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
    turn_skipped,
    waited,
    whole_round,
)
from tests.spec import given

ANN = Participant("ann", "Ann", model="large", fallback_models=("small", "tiny"))
LONE = Participant("ann", "Ann", model="large")
OPENED = (convened(participants=(ANN, BOB)), round_opened(1))


def unserved(number: int = 1, task: Task | None = None, **changes: object) -> ReportFault:
    return ReportFault(
        task or turn(),
        number,
        FaultClass.UNAVAILABLE,
        "no answer",
        is_model_unavailable=True,
        **changes,  # type: ignore[arg-type]
    )


def failed(
    number: int = 1, task: Task | None = None, *, retry_at: datetime | None = START
) -> AttemptFailed:
    return attempt_failed(task, number, charged=0, retry_at=retry_at, is_model_unavailable=True)


def asked(number: int = 1, model: str = "large", task: Task | None = None) -> Fact:
    return attempt_started(task, number, model=model)


FIRST = (*OPENED, asked())
SECOND = (*FIRST, failed(), asked(2, "small"))
THIRD = (*SECOND, failed(2), asked(3, "tiny"))


def test_it_gives_way_to_the_next_at_once_and_costs_nothing():
    given(*FIRST).when(unserved()).then(failed())
    facts = (*FIRST, failed())
    assert next_step(meeting_after(*facts)) == WaitUntil(
        START, BeginAttempt("", StartAttempt(turn()))
    )
    expected = started_after(facts, turn(), number=2, cap=200)
    assert expected.model == "small"
    given(*facts).when(StartAttempt(turn())).then(expected)
    step = next_step(meeting_after(*SECOND))
    assert isinstance(step, Ask)
    assert step.participant.model == "small"


def test_what_the_provider_asks_to_wait_is_not_waited_for_by_another_model():
    given(*FIRST).when(unserved(retry_after_seconds=20.0)).then(failed())
    given(*FIRST).when(unserved(retry_after_seconds=600.0)).then(failed())


def test_the_last_model_is_tried_again_as_often_as_any_call_and_then_the_turn_is_skipped():
    facts: tuple[Fact | Later, ...] = THIRD
    for number in (3, 4):
        again = waited(number, repeats=number - 2)
        given(*facts).when(unserved(number)).then(failed(number, retry_at=again))
        facts = (*facts, failed(number, retry_at=again), asked(number + 1, "tiny"))
    given(*facts).when(unserved(5)).then(
        failed(5, retry_at=None), turn_skipped(reason="unavailable")
    )


def test_the_next_speaker_goes_on_after_a_skip():
    opened = (convened(participants=(LONE, BOB), max_attempts=1), round_opened(1), asked())
    given(*opened).when(unserved()).then(failed(retry_at=None), turn_skipped(reason="unavailable"))
    facts = (*opened, failed(retry_at=None), turn_skipped(reason="unavailable"))
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("bob")))


def test_the_next_turn_begins_with_the_first_model_again():
    facts = (*SECOND, turn_completed(number=2), *spoken("bob"), round_closed(1), round_opened(2))
    expected = started_after(facts, turn("ann", 2), cap=200)
    assert expected.model == "large"
    given(*facts).when(StartAttempt(turn("ann", 2))).then(expected)


def test_a_model_that_was_rejected_meanwhile_stays_passed():
    rejected = attempt_failed(number=2, fault=FaultClass.REJECTED, charged=0, retry_at=START)
    facts = (*SECOND, rejected)
    assert started_after(facts, turn(), number=3, cap=200).model == "tiny"
    facts = (*facts, asked(3, "tiny"), turn_completed(number=3))
    facts = (*facts, *spoken("bob"), round_closed(1), round_opened(2))
    task = turn("ann", 2)
    assert started_after(facts, task, cap=200).model == "large"
    facts = (*facts, asked(1, "large", task), failed(1, task))
    assert started_after(facts, task, number=2, cap=200).model == "tiny"


def test_others_keep_their_models():
    bob = Participant("bob", "Bob", model="large", fallback_models=("small",))
    facts = (convened(participants=(ANN, bob)), round_opened(1), asked(), failed())
    assert meeting_after(*facts).speaking("bob").model == "large"
    assert meeting_after(*facts).speaking("ann").model == "small"


def test_a_gateway_that_is_unreachable_is_waited_for_whatever_its_model():
    given(*FIRST).when(unserved(is_unreachable=True, reached=False)).then(
        attempt_failed(charged=0, give_up_at=after(60))
    )


def test_a_server_that_answers_is_asked_for_the_other_models_before_anything_waits():
    given(*FIRST).when(unserved(is_unreachable=True)).then(failed())
    given(*SECOND).when(unserved(2, is_unreachable=True)).then(failed(2))
    given(*THIRD).when(unserved(3, is_unreachable=True)).then(
        attempt_failed(number=3, charged=0, give_up_at=after(60))
    )
    lone = (convened(participants=(LONE, BOB)), round_opened(1), asked())
    given(*lone).when(unserved(is_unreachable=True)).then(
        attempt_failed(charged=0, give_up_at=after(60))
    )


@pytest.mark.parametrize("task", [DigestTask(1), SynthesisTask()], ids=lambda task: task.key)
def test_so_is_it_for_a_digest_and_the_minutes(task: Task):
    is_digest = isinstance(task, DigestTask)
    config = convened(participants=(ANN, BOB), digest_rounds=is_digest, num_rounds=1 + is_digest)
    written = () if is_digest else (SynthesisStarted(),)
    facts = (config, *whole_round(1), *written, asked(task=task))
    given(*facts).when(unserved(task=task, is_unreachable=True)).then(failed(task=task))


def test_after_a_wait_for_the_gateway_the_turns_attempts_are_all_left():
    waiting = attempt_failed(charged=0, give_up_at=after(60))
    facts = (*FIRST, waiting, Later(5, asked(2)))
    given(*facts).when(unserved(2), at=after(6)).then(failed(2, retry_at=after(6)))
    step = next_step(meeting_after(*facts, Later(6, failed(2, retry_at=after(6)))))
    assert not isinstance(step, WaitForGateway)


@pytest.mark.parametrize(
    "fault", [each for each in FaultClass if each is not FaultClass.UNAVAILABLE]
)
def test_only_a_call_that_was_not_served_is_about_the_model(fault: FaultClass):
    command = ReportFault(turn(), 1, fault, "no answer", is_model_unavailable=True)
    meeting = meeting_after(*FIRST)
    (first, *_) = given(*FIRST).when(command).facts
    assert isinstance(first, AttemptFailed)
    assert not first.is_model_unavailable
    assert meeting.speaking("ann").model == "large"


def test_a_call_of_which_something_was_seen_is_not_free():
    (first, *_) = given(*FIRST).when(unserved(tokens_seen=12)).facts
    assert isinstance(first, AttemptFailed)
    assert not first.is_model_unavailable
    assert first.charged > 0


def test_what_is_reported_as_used_is_charged():
    usage = ReportedUsage(40, 2)
    (first, *_) = given(*FIRST).when(unserved(usage=usage)).facts
    assert isinstance(first, AttemptFailed)
    assert first.charged == 42


def test_a_digest_goes_to_the_next_model_and_is_not_tried_twice_by_the_last():
    task = DigestTask(1)
    for participant, expected in (
        (ANN, [failed(task=task)]),
        (LONE, [failed(task=task, retry_at=None), RoundDigested(1, degraded=DEGRADED)]),
    ):
        config = convened(participants=(participant, BOB), digest_rounds=True)
        facts = (config, *whole_round(1), asked(task=task))
        given(*facts).when(unserved(task=task)).then(*expected)


DEGRADED = "unavailable: no answer"


def test_the_minutes_go_to_the_next_model_and_then_to_the_next_author():
    task = SynthesisTask()
    ann = Participant("ann", "Ann", model="large", fallback_models=("small",))
    config = convened(participants=(ann, BOB), num_rounds=1, round_topics=("One",), max_attempts=1)
    writing = (config, *whole_round(1), SynthesisStarted())
    facts = (*writing, attempt_started(task, cap=500, model="large"))
    given(*facts).when(unserved(task=task)).then(failed(task=task))
    facts = (*facts, failed(task=task))
    assert started_after(facts, task, by="ann", number=2, cap=500).model == "small"
    facts = (*facts, attempt_started(task, 2, cap=500, model="small"))
    given(*facts).when(unserved(2, task)).then(failed(2, task, retry_at=None))
    facts = (*facts, failed(2, task, retry_at=None))
    given(*facts).when(StartAttempt(task)).then(
        started_after(facts, task, by="bob", number=3, cap=500)
    )
    facts = (*facts, attempt_started(task, 3, by="bob", cap=500))
    last = attempt_failed(task, 3, by="bob", charged=0, is_model_unavailable=True)
    given(*facts).when(unserved(3, task)).then(last)
    step = next_step(meeting_after(*facts, last))
    assert not isinstance(step, BeginAttempt | WaitUntil)
