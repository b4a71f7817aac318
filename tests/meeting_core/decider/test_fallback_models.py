"""Fallback models: where a provider rejects one model, the participant speaks through the next."""

import pytest

from meeting_core import (
    Ask,
    BeginAttempt,
    Fact,
    InvalidConfiguration,
    ModelPrice,
    Participant,
    PriceTable,
    WaitUntil,
    next_step,
)
from meeting_core.model import (
    MAX_FALLBACK_MODELS,
    AttemptFailed,
    Convene,
    DigestTask,
    FaultClass,
    ReportFault,
    StartAttempt,
    SynthesisStarted,
    SynthesisTask,
    Task,
)
from tests.builders import (
    BOB,
    MEETING_ID,
    START,
    attempt_failed,
    attempt_started,
    configuration,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    started_after,
    turn,
    turn_completed,
    turn_skipped,
    whole_round,
)
from tests.spec import given

ANN = Participant("ann", "Ann", model="large", fallback_models=("small", "tiny"))
OPENED = (convened(participants=(ANN, BOB)), round_opened(1))


def rejected(number: int = 1, task: Task | None = None, *, last: bool = False) -> AttemptFailed:
    again = None if last else START
    return attempt_failed(task, number, FaultClass.REJECTED, charged=0, retry_at=again)


def rejection(number: int = 1, task: Task | None = None) -> ReportFault:
    return ReportFault(task or turn(), number, FaultClass.REJECTED, "no answer")


def asked(number: int = 1, model: str = "large") -> Fact:
    return attempt_started(number=number, model=model)


FIRST = (*OPENED, asked())
SECOND = (*FIRST, rejected(), asked(2, "small"))
THIRD = (*SECOND, rejected(2), asked(3, "tiny"))


def test_a_rejected_model_gives_way_to_the_next_at_once():
    given(*FIRST).when(rejection()).then(rejected())
    facts = (*FIRST, rejected())
    assert next_step(meeting_after(*facts)) == WaitUntil(
        START, BeginAttempt("", StartAttempt(turn()))
    )
    expected = started_after(facts, turn(), number=2, cap=200)
    assert expected.model == "small"
    given(*facts).when(StartAttempt(turn())).then(expected)


def test_the_shell_is_told_to_call_the_model_of_the_attempt():
    step = next_step(meeting_after(*SECOND))
    assert isinstance(step, Ask)
    assert (step.participant.agent_id, step.participant.model) == ("ann", "small")
    assert step.participant.fallback_models == ANN.fallback_models


def test_models_are_tried_in_their_order_and_then_the_speaker_is_skipped():
    given(*SECOND).when(rejection(2)).then(rejected(2))
    given(*THIRD).when(rejection(3)).then(rejected(3, last=True), turn_skipped(reason="rejected"))


def test_without_another_model_a_rejection_skips_the_speaker():
    facts = (convened(), round_opened(1), attempt_started())
    given(*facts).when(rejection()).then(rejected(last=True), turn_skipped(reason="rejected"))


@pytest.mark.parametrize("fault", [each for each in FaultClass if each is not FaultClass.REJECTED])
def test_only_a_rejection_changes_the_model(fault: FaultClass):
    facts = (*FIRST, attempt_failed(fault=fault, retry_at=START))
    assert meeting_after(*facts).speaking("ann").model == "large"


def test_every_model_has_all_attempts():
    config = convened(participants=(ANN, BOB), max_attempts=2)
    facts = (config, round_opened(1), asked(), attempt_failed(retry_at=START))
    facts = (*facts, asked(2), rejected(2), asked(3, "small"))
    fault = ReportFault(turn(), 3, FaultClass.EMPTY, "no answer")
    given(*facts).when(fault).then(attempt_failed(number=3, fault=FaultClass.EMPTY, retry_at=START))


def test_the_speaker_stays_with_the_model_that_took_it():
    facts = (*SECOND, turn_completed(number=2), *spoken("bob"), round_closed(1), round_opened(2))
    expected = started_after(facts, turn("ann", 2), cap=200)
    assert expected.model == "small"
    given(*facts).when(StartAttempt(turn("ann", 2))).then(expected)


def test_others_keep_their_models():
    bob = Participant("bob", "Bob", model="large", fallback_models=("small",))
    facts = (convened(participants=(ANN, bob)), round_opened(1), asked(), rejected())
    facts = (*facts, asked(2, "small"), turn_completed(number=2))
    expected = started_after(facts, turn("bob"), cap=200)
    assert expected.model == "large"
    given(*facts).when(StartAttempt(turn("bob"))).then(expected)


def test_a_digest_falls_back_too():
    config = convened(participants=(ANN, BOB), digest_rounds=True)
    task = DigestTask(1)
    facts = (config, *whole_round(1), attempt_started(task, model="large"))
    given(*facts).when(rejection(task=task)).then(rejected(task=task))
    facts = (*facts, rejected(task=task))
    assert started_after(facts, task, number=2, cap=200).model == "small"


def test_the_minutes_fall_back_before_the_pen_is_passed_on():
    task = SynthesisTask()
    config = convened(participants=(ANN, BOB), num_rounds=1, round_topics=("One",))
    writing = (config, *whole_round(1), SynthesisStarted())
    facts = (*writing, attempt_started(task, cap=500, model="large"), rejected(task=task))
    expected = started_after(facts, task, by="ann", number=2, cap=500)
    assert expected.model == "small"
    given(*facts).when(StartAttempt(task)).then(expected)
    facts = (*facts, attempt_started(task, 2, cap=500, model="small"), rejected(2, task))
    facts = (*facts, attempt_started(task, 3, cap=500, model="tiny"), rejected(3, task, last=True))
    given(*facts).when(StartAttempt(task)).then(
        started_after(facts, task, by="bob", number=4, cap=500)
    )


def with_fallbacks(*models: str) -> Convene:
    ann = Participant("ann", "Ann", model="large", fallback_models=models)
    return Convene(MEETING_ID, configuration(participants=(ann, BOB)))


def test_a_fallback_model_has_a_name_and_there_are_not_too_many():
    given().when(with_fallbacks("small", "")).then_refused(
        InvalidConfiguration, "participants[0].fallback_models[1]: must not be empty"
    )
    too_many = ["small"] * (MAX_FALLBACK_MODELS + 1)
    given().when(with_fallbacks(*too_many)).then_refused(
        InvalidConfiguration, f"names more than {MAX_FALLBACK_MODELS} models"
    )


def test_with_a_ceiling_in_money_every_fallback_model_has_a_price():
    prices = PriceTable("1", "EUR", (ModelPrice("large", 3.0, 15.0), ModelPrice("small", 1.0, 5.0)))
    bob = Participant("bob", "Bob", model="small")
    config = configuration(participants=(ANN, bob), meeting_cost=1.0, prices=prices)
    given().when(Convene(MEETING_ID, config)).then_refused(
        InvalidConfiguration, "participants[0] speaks through the model 'tiny', which has no price"
    )
