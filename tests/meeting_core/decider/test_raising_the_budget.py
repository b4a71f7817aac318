"""Raising the budget: the new ceilings stand at once, and a meeting paused for money goes on."""

import pytest

from meeting_core import (
    Fact,
    Idle,
    InvalidConfiguration,
    ModelPrice,
    Participant,
    PriceTable,
    Usage,
    next_step,
)
from meeting_core.budget import tokens_left
from meeting_core.errors import MeetingEnded, WrongPhase
from meeting_core.model import (
    BudgetRaised,
    Paused,
    Phase,
    RaiseBudget,
    Resumed,
    StartAttempt,
)
from tests.builders import (
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    spoken,
    started_after,
    turn,
    turn_completed,
    up_to_synthesis,
    whole_meeting,
)
from tests.meeting_core.scenario import Stage, long_speaker
from tests.spec import given

LIMITED = (convened(meeting_tokens=9_000), round_opened(1))
PARTICIPANTS = (Participant("ann", "Ann", model="m"), Participant("bob", "Bob", model="m"))
PRICED = convened(
    participants=PARTICIPANTS,
    meeting_cost=0.5,
    prices=PriceTable("2026-11", "EUR", (ModelPrice("m", 3.0, 15.0),)),
)
SHORT = Paused("raise the budget, or end the rounds", "budget")


def short_of_money(*, by: str = "budget") -> tuple[Fact, ...]:
    """A meeting that pauses when its money is out, and has paused."""
    spent = turn_completed(usage=Usage(5_034, 6, "estimated"))
    opening = convened(meeting_tokens=9_000, on_budget="pause"), round_opened(1)
    paused = SHORT if by == "budget" else Paused("lunch")
    return (*opening, attempt_started(prompt=90), spent, paused)


def test_the_new_ceiling_is_recorded_and_stands_at_once():
    given(*LIMITED).when(RaiseBudget(meeting_tokens=12_000)).then(BudgetRaised(12_000))
    meeting = meeting_after(*LIMITED, BudgetRaised(12_000))
    assert tokens_left(meeting.config, meeting.ledger) == 12_000


def test_a_ceiling_in_money_is_raised_alike():
    given(PRICED).when(RaiseBudget(meeting_cost=0.75)).then(BudgetRaised(None, 0.75))
    assert meeting_after(PRICED, BudgetRaised(None, 0.75)).config.meeting_cost == 0.75


def test_both_ceilings_are_raised_together():
    both = convened(
        participants=PARTICIPANTS,
        meeting_tokens=9_000,
        meeting_cost=0.5,
        prices=PRICED.configuration.prices,
    )
    given(both).when(RaiseBudget(9_001, 0.51)).then(BudgetRaised(9_001, 0.51))


@pytest.mark.parametrize(
    "facts",
    [
        LIMITED[:1],
        (*LIMITED, attempt_started()),
        (*LIMITED, Paused()),
        (*up_to_synthesis(meeting_tokens=9_000),),
    ],
)
def test_it_is_raised_wherever_the_meeting_stands_and_whatever_is_open(facts: tuple[Fact, ...]):
    given(*facts).when(RaiseBudget(meeting_tokens=12_000)).then(BudgetRaised(12_000))


def test_a_meeting_paused_for_money_goes_on():
    facts = short_of_money()
    assert next_step(meeting_after(*facts)) == Idle()
    raised = BudgetRaised(12_000)
    given(*facts).when(RaiseBudget(meeting_tokens=12_000)).then(raised, Resumed(Phase.IN_ROUND))
    facts = (*facts, raised, Resumed(Phase.IN_ROUND))
    given(*facts).when(StartAttempt(turn("bob"))).then(started_after(facts, turn("bob"), cap=200))


def test_a_meeting_paused_by_somebody_stays_paused():
    given(*short_of_money(by="operator")).when(RaiseBudget(meeting_tokens=12_000)).then(
        BudgetRaised(12_000)
    )


def test_raised_by_too_little_it_pauses_again():
    facts = (*short_of_money(), BudgetRaised(9_100), Resumed(Phase.IN_ROUND))
    given(*facts).when(StartAttempt(turn("bob"))).then(SHORT)


def test_a_paused_meeting_is_played_to_its_end_after_one_raise():
    config = convened(meeting_tokens=4_700, on_budget="pause").configuration
    stage = Stage(config, long_speaker).play()
    assert stage.meeting.pause_cause == "budget"
    stage.give(RaiseBudget(meeting_tokens=20_000))
    stage.play()
    assert stage.meeting.outcome is not None
    assert (stage.meeting.outcome.ended_by, stage.meeting.outcome.degraded) == ("agenda", ())
    assert len(stage.meeting.turns) == 4


@pytest.mark.parametrize("ceiling", [8_999, 9_000, 0, -1])
def test_a_ceiling_can_only_be_raised(ceiling: int):
    given(*LIMITED).when(RaiseBudget(meeting_tokens=ceiling)).then_refused(
        InvalidConfiguration, f"meeting_tokens: is {ceiling}", "it must be above 9000"
    )
    given(PRICED).when(RaiseBudget(meeting_cost=0.5)).then_refused(
        InvalidConfiguration, "meeting_cost: is 0.5", "it must be above 0.5"
    )


def test_a_second_raise_must_pass_the_first():
    facts = (*LIMITED, BudgetRaised(12_000))
    given(*facts).when(RaiseBudget(meeting_tokens=12_000)).then_refused(InvalidConfiguration)
    given(*facts).when(RaiseBudget(meeting_tokens=12_001)).then(BudgetRaised(12_001))


def test_a_ceiling_that_is_not_there_cannot_be_raised():
    given(convened()).when(RaiseBudget(meeting_tokens=9_000)).then_refused(
        InvalidConfiguration, "meeting_tokens", "the meeting has no such ceiling"
    )
    given(*LIMITED).when(RaiseBudget(12_000, 1.0)).then_refused(
        InvalidConfiguration, "meeting_cost", "the meeting has no such ceiling"
    )


def test_a_raise_names_a_ceiling():
    given(*LIMITED).when(RaiseBudget()).then_refused(InvalidConfiguration, "name the new ceiling")


@pytest.mark.parametrize("cost", [float("inf"), float("nan"), 1_000_001.0])
def test_money_is_raised_no_further_than_a_meeting_may_be_convened_with(cost: float):
    given(PRICED).when(RaiseBudget(meeting_cost=cost)).then_refused(
        InvalidConfiguration, "meeting_cost"
    )


def test_nothing_is_raised_before_the_beginning_or_after_the_end():
    given().when(RaiseBudget(meeting_tokens=12_000)).then_refused(WrongPhase)
    ended = whole_meeting(meeting_tokens=9_000)
    given(*ended).when(RaiseBudget(meeting_tokens=12_000)).then_refused(MeetingEnded)


def test_what_was_spent_stays_spent():
    facts = (*LIMITED, *spoken("ann"))
    before, later = meeting_after(*facts), meeting_after(*facts, BudgetRaised(12_000))
    assert later.ledger == before.ledger
