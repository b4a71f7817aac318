"""Accounting: what calls cost, what a meeting has spent, and how each model counts tokens.

Counters are folded from events, so a restart cannot reset them. Whole numbers everywhere, so that
the same reports give the same figures on every machine. Source: docs/explanation/budget.md.
"""

from meeting_core.model.configuration import Configuration
from meeting_core.model.prices import ModelPrice
from meeting_core.model.token_factors import (
    AS_ESTIMATED,
    MAX_FACTOR,
    MIN_FACTOR,
    UNCALIBRATED,
    ScriptTokens,
    TokenFactors,
    weighted,
)
from meeting_core.model.values import Reservation, Usage, Value

MAX_BELIEVED_RATIO = 10
"""A report this many times above or below the estimate is taken for a mistake."""

_DECAY = 8
MAX_FIRST_FALL = 4
"""A first report lowers the factor to a quarter at most."""


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
        """Return the ledger with an amount reserved for a call."""
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
    """Return what a model costs in this meeting; None if it has no price."""
    return None if config.prices is None else config.prices.of(model)


def amount_of(config: Configuration, model: str, usage: Usage | Reservation) -> Amount:
    """Return the price of what a call took, or may take."""
    if config.prices is None:
        return Amount(usage.total)
    price = price_of(config, model)
    output = usage.completion_tokens if isinstance(usage, Usage) else usage.output_tokens
    return Amount(usage.total, 0 if price is None else price.micros(usage.prompt_tokens, output))


def charged_usage(reserved: Reservation, charged: int) -> Usage:
    """Split a charge that no provider reported into prompt and output."""
    if charged == 0:
        return Usage(0, 0, "reported")
    prompt = min(reserved.prompt_tokens, charged)
    return Usage(prompt, charged - prompt, "unknown")


class ModelProfile(Value, frozen=True):
    """What ended calls have shown of one model.

    Units: `factor` in permille, from our estimate, weighted by script, to the model's own count;
    `context_tokens` is the longest brief to try, by our estimate; None as long as no brief was too
    long. `token_factors` are the weights that the meeting began with.
    """

    model: str
    factor: int = UNCALIBRATED
    context_tokens: int | None = None
    token_factors: TokenFactors = AS_ESTIMATED

    def prompt_tokens(self, tokens: int, scripts: ScriptTokens) -> int:
        """Return what the model counts for an estimate with these parts, as far as is known."""
        return scaled(weighted(tokens, scripts, self.token_factors), self.factor)

    def max_brief_tokens(self, context_tokens: int) -> int:
        """Return the longest brief, by our estimate, that fits `context_tokens` of the model."""
        max_tokens = (
            self.estimate_within(context_tokens) if self.factor > UNCALIBRATED else context_tokens
        )
        return max_tokens if self.context_tokens is None else min(max_tokens, self.context_tokens)

    def estimate_within(self, tokens: int) -> int:
        """Return the highest estimate that is at most `tokens` by the model's count."""
        return max(0, tokens * UNCALIBRATED // self.factor)


def profile_of(known: tuple[ModelProfile, ...], model: str) -> ModelProfile:
    """Return what is known of a model; a profile without findings if nothing is."""
    for each in known:
        if each.model == model:
            return each
    return ModelProfile(model)


def with_profile(known: tuple[ModelProfile, ...], learnt: ModelProfile) -> tuple[ModelProfile, ...]:
    """Replace what was known of a model."""
    return (*[each for each in known if each.model != learnt.model], learnt)


def next_factor(factor: int, estimated_tokens: int, reported_tokens: int) -> int:
    """Return the factor after a call, from the estimate of its prompt and the provider's report.

    Units: the factor in permille; the estimate is the one before this factor was applied.
    Invariant: between `MIN_FACTOR` and `MAX_FACTOR`. From its start it falls to a sixteenth above
    what was seen, to a quarter at most; later it falls by an eighth of the difference. It grows by
    half at most, or back to its start. So it soon covers the truth, and no single report decides
    it.
    Source: ADR 0020.
    """
    if not _is_believable(estimated_tokens, reported_tokens):
        return factor
    seen = -(-reported_tokens * 1_000 // estimated_tokens)
    if seen > factor:
        return min(seen, max(factor + factor // 2, UNCALIBRATED), MAX_FACTOR)
    if factor == UNCALIBRATED:
        return min(max(seen + seen // 16, factor // MAX_FIRST_FALL, MIN_FACTOR), factor)
    return max(factor - (factor - seen) // _DECAY, MIN_FACTOR)


def scaled(tokens: int, factor: int) -> int:
    """Apply a factor to an estimate, rounding up.

    Units: tokens; the factor in permille.
    """
    return -(-tokens * factor // 1_000)


def _is_believable(estimated_tokens: int, reported_tokens: int) -> bool:
    return (
        0 < reported_tokens <= MAX_BELIEVED_RATIO * estimated_tokens
        and estimated_tokens <= MAX_BELIEVED_RATIO * reported_tokens
    )
