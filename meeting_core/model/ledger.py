"""The ledger: what a meeting has spent and set aside, and what calls cost.

Counters are folded from events, so a restart cannot reset them. Source: docs/explanation/budget.md.
"""

from meeting_core.model.configuration import Configuration
from meeting_core.model.prices import ModelPrice
from meeting_core.model.values import Reservation, Usage, Value


class Amount(Value, frozen=True):
    """What something costs.

    Units: tokens, and millionths of the currency; 0 where nothing has a price.
    """

    tokens: int = 0
    micros: int = 0


class Ledger(Value, frozen=True):
    """What a meeting has spent and set aside.

    Units: tokens, and millionths of the currency. Invariant: what is spent never falls.
    """

    spent: int = 0
    reserved: int = 0
    spent_micros: int = 0
    reserved_micros: int = 0

    def reserve(self, amount: Amount) -> "Ledger":
        """Set something aside for a call."""
        return Ledger(
            self.spent,
            self.reserved + amount.tokens,
            self.spent_micros,
            self.reserved_micros + amount.micros,
        )

    def settle(self, reserved: Amount, charged: Amount) -> "Ledger":
        """Replace what was set aside by what the call took."""
        return Ledger(
            self.spent + charged.tokens,
            self.reserved - reserved.tokens,
            self.spent_micros + charged.micros,
            self.reserved_micros - reserved.micros,
        )


def price_of(config: Configuration, model: str) -> ModelPrice | None:
    """Find what a model costs in this meeting; none when nobody says."""
    return None if config.prices is None else config.prices.of(model)


def amount_of(config: Configuration, model: str, usage: Usage | Reservation) -> Amount:
    """Price what a call took, or may take."""
    if config.prices is None:
        return Amount(usage.total)
    price = price_of(config, model)
    output = usage.completion_tokens if isinstance(usage, Usage) else usage.output_tokens
    return Amount(usage.total, 0 if price is None else price.micros(usage.prompt_tokens, output))


def charged_usage(reserved: Reservation, charged: int) -> Usage:
    """Tell prompt and output of a charge apart where nobody reported them."""
    if charged == 0:
        return Usage(0, 0, "reported")
    prompt = min(reserved.prompt_tokens, charged)
    return Usage(prompt, charged - prompt, "unknown")
