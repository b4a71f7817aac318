"""Prices: what a call costs in money, rounded up, and what money still pays for."""

import pytest
from hypothesis import example
from hypothesis import given as given_values
from hypothesis import strategies as st

from meeting_core import (
    Fact,
    InvalidConfiguration,
    ModelPrice,
    Participant,
    PriceTable,
    Usage,
)
from meeting_core.budget import Allowance, micros_left, tokens_left
from meeting_core.model import Amount, Convene, Ledger, Reservation, amount_of
from tests.builders import (
    MEETING_ID,
    START,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    configuration,
    convened,
    meeting_after,
    round_opened,
    turn_completed,
)
from tests.spec import given

LARGE = ModelPrice("large", 3.0, 15.0)
PRICES = PriceTable("2026-11", "EUR", (LARGE, ModelPrice("small", 0.15, 0.6)))
PARTICIPANTS = (Participant("ann", "Ann", model="large"), Participant("bob", "Bob", model="small"))
OPENED = (convened(participants=PARTICIPANTS, meeting_cost=0.5, prices=PRICES), round_opened(1))
ASKED = (*OPENED, attempt_started(prompt=100, cap=200, model="large"))


@pytest.mark.parametrize(
    ("prompt", "completion", "micros"),
    [(0, 0, 0), (1, 0, 1), (7, 0, 2), (20, 0, 3), (0, 1, 1), (1_000_000, 1_000_000, 750_000)],
)
def test_a_call_is_priced_in_millionths_rounded_up(prompt: int, completion: int, micros: int):
    assert ModelPrice("small", 0.15, 0.6).micros(prompt, completion) == micros


def test_a_model_without_a_price_is_unknown_to_the_table():
    assert PRICES.of("large") == LARGE
    assert PRICES.of("huge") is None


def test_a_reservation_is_money_too():
    ledger = meeting_after(*ASKED).ledger
    assert ledger == Ledger(0, 300, 0, 100 * 3 + 200 * 15)


def test_a_reply_settles_at_its_own_price():
    ledger = meeting_after(*ASKED, turn_completed(usage=Usage(90, 6, "reported"))).ledger
    assert ledger == Ledger(96, 0, 90 * 3 + 6 * 15, 0)


@pytest.mark.parametrize(
    ("ending", "micros"),
    [
        (attempt_failed(charged=0, retry_at=START), 0),
        (attempt_failed(charged=300, retry_at=START), 100 * 3 + 200 * 15),
        (attempt_failed(charged=85, usage=Usage(80, 5, "reported"), retry_at=START), 315),
        (attempt_abandoned(charged=300), 100 * 3 + 200 * 15),
    ],
)
def test_what_a_failed_or_lost_call_is_charged_is_money_too(ending: Fact, micros: int):
    ledger = meeting_after(*ASKED, ending).ledger
    assert (ledger.spent_micros, ledger.reserved_micros) == (micros, 0)


def test_what_is_left_is_counted_in_both():
    meeting = meeting_after(*ASKED)
    assert tokens_left(meeting.config, meeting.ledger) is None
    assert micros_left(meeting.config, meeting.ledger) == 500_000 - 3_300


def test_without_prices_nothing_costs_money():
    config = configuration()
    assert amount_of(config, "large", Reservation(100, 200)) == Amount(300, 0)
    assert micros_left(config, Ledger()) is None


def test_prices_without_a_ceiling_only_count():
    facts = (convened(participants=PARTICIPANTS, prices=PRICES), round_opened(1))
    facts = (*facts, attempt_started(model="large"), turn_completed())
    meeting = meeting_after(*facts)
    assert meeting.ledger.spent_micros == 90 * 3 + 6 * 15
    assert micros_left(meeting.config, meeting.ledger) is None


@pytest.mark.parametrize("cost", [0, -1.0, 1_000_001.0, float("nan"), float("inf")])
def test_a_ceiling_in_money_is_an_amount(cost: float):
    config = configuration(participants=PARTICIPANTS, meeting_cost=cost, prices=PRICES)
    given().when(Convene(MEETING_ID, config)).then_refused(InvalidConfiguration, "meeting_cost: is")


@pytest.mark.parametrize("prices", [None, PriceTable("1"), PriceTable("1", "EUR", (LARGE,))])
def test_a_ceiling_in_money_needs_a_price_for_every_model(prices: PriceTable | None):
    config = configuration(participants=PARTICIPANTS, meeting_cost=0.5, prices=prices)
    given().when(Convene(MEETING_ID, config)).then_refused(
        InvalidConfiguration, "meeting_cost: cannot be kept", "participants[1]", "'small'"
    )


PRICE = st.just(0.0) | st.floats(0, 200, width=32)
PRICED = st.builds(ModelPrice, st.just("m"), PRICE, PRICE)
TOKENS = st.integers(0, 100_000)


@given_values(PRICED, TOKENS, TOKENS)
def test_a_price_is_never_rounded_down_and_never_by_more_than_one(
    price: ModelPrice, prompt: int, completion: int
):
    exact = prompt * price.prompt + completion * price.completion
    micros = price.micros(prompt, completion)
    assert micros - 1 < exact <= micros


@given_values(
    PRICED, TOKENS, st.integers(1, 10_000), st.none() | TOKENS, st.none() | st.integers(0, 10**7)
)
@example(ModelPrice("m", 0.71875, 0.5), 536, 1, None, 386)
@example(ModelPrice("m", 0.1, 0.1), 3, 3, None, 1)
def test_what_an_allowance_offers_it_covers(
    price: ModelPrice, prompt: int, wanted: int, tokens: int | None, micros: int | None
):
    allowance = Allowance(tokens, micros, price)
    output = allowance.output_beside(prompt, wanted)
    assert output <= wanted
    if output >= 0:
        assert allowance.covers(prompt, output)
    if 0 <= output < wanted:
        assert not allowance.covers(prompt, output + 1)
    shorter = allowance.prompt_beside(wanted)
    if shorter is not None and shorter >= 0:
        assert allowance.covers(shorter, wanted)
        assert not allowance.covers(shorter + 1, wanted)


def test_words_that_cost_nothing_do_not_pay_for_a_prompt_that_does():
    free = Allowance(None, 100, ModelPrice("m", 3.0, 0.0))
    assert free.output_beside(33, 200) == 200
    assert free.output_beside(34, 200) < 0


@given_values(PRICED, st.lists(st.tuples(TOKENS, TOKENS), max_size=8))
def test_settled_reservations_leave_nothing_reserved(
    price: ModelPrice, calls: list[tuple[int, int]]
):
    ledger = Ledger()
    for prompt, completion in calls:
        reserved = Amount(prompt + completion, price.micros(prompt, completion))
        charged = Amount(prompt, price.micros(prompt, 0))
        spent_before = ledger.spent_micros
        ledger = ledger.reserve(reserved).settle(reserved, charged)
        assert ledger.spent_micros >= spent_before
    assert (ledger.reserved, ledger.reserved_micros) == (0, 0)
