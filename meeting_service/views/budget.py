"""How the budget of a meeting stands."""

from msgspec import Struct

from meeting_core.budget import micros_left, tokens_left
from meeting_core.model import Meeting

MICROS = 1_000_000
"""Parts of the currency that amounts of money are counted in."""


class CostView(Struct, frozen=True):
    """The budget in money. Units: the currency; `left` is null without a ceiling for it."""

    currency: str
    spent: float
    reserved: float
    left: float | None


class TokensView(Struct, frozen=True):
    """The budget. Units: tokens; `left` is null without a ceiling, `cost` without prices."""

    spent: int
    reserved: int
    left: int | None
    cost: CostView | None


def tokens_view(meeting: Meeting) -> TokensView:
    """Return how a meeting's budget stands."""
    config, ledger = meeting.config, meeting.ledger
    left = tokens_left(config, ledger)
    return TokensView(ledger.spent, ledger.reserved, left, _cost(meeting))


def in_currency(micros: int) -> float:
    """Return an amount in the currency from one in its millionths."""
    return micros / MICROS


def _cost(meeting: Meeting) -> CostView | None:
    prices, ledger = meeting.config.prices, meeting.ledger
    if prices is None:
        return None
    left = micros_left(meeting.config, ledger)
    return CostView(
        prices.currency,
        in_currency(ledger.spent_micros),
        in_currency(ledger.reserved_micros),
        None if left is None else in_currency(left),
    )
