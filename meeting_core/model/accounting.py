"""Accounting: what calls cost, what a meeting has spent, and how each model counts tokens.

Counters are folded from events, so a restart cannot reset them. Whole numbers everywhere, so that
the same reports give the same figures on every machine. Source: docs/explanation/budget.md.
"""

from msgspec.structs import replace

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

    Units: tokens, and millionths of the currency; `overrun` is what single calls took beyond what
    was set aside for them, by their provider's count. Invariant: what is spent never falls.
    """

    spent: int = 0
    reserved: int = 0
    spent_micros: int = 0
    reserved_micros: int = 0
    overrun: int = 0

    def reserve(self, amount: Amount) -> "Ledger":
        """Return the ledger with an amount reserved for a call."""
        return Ledger(
            self.spent,
            self.reserved + amount.tokens,
            self.spent_micros,
            self.reserved_micros + amount.micros,
            self.overrun,
        )

    def settle(self, reserved: Amount, charged: Amount, *, is_counted: bool = False) -> "Ledger":
        """Replace what was set aside by what the call took, counted by its provider or not."""
        return Ledger(
            self.spent + charged.tokens,
            self.reserved - reserved.tokens,
            self.spent_micros + charged.micros,
            self.reserved_micros - reserved.micros,
            self.overrun + (max(0, charged.tokens - reserved.tokens) if is_counted else 0),
        )


def price_of(config: Configuration, model: str) -> ModelPrice | None:
    """Return what a model costs in this meeting; None if it has no price."""
    return None if config.prices is None else config.prices.of(model)


def amount_of(config: Configuration, model: str, usage: Usage | Reservation) -> Amount:
    """Return the price of what a call took, or may take."""
    if config.prices is None:
        return Amount(usage.total)
    price = price_of(config, model)
    output = usage.completion_tokens if isinstance(usage, Usage) else usage.written_tokens
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
    long. `token_factors` are the weights that the meeting began with. `reasoning_tokens` are the
    thoughts that it writes beside a cap, and `text_tokens` the text that it writes whatever the
    cap; 0 as long as it has kept to its caps. `prompt_beyond_tokens` is what its provider counts of
    a prompt beyond our estimate, whatever its length, such as instructions of the provider's own;
    0 as long as the factor explains every count.
    """

    model: str
    factor: int = UNCALIBRATED
    context_tokens: int | None = None
    reasoning_tokens: int = 0
    text_tokens: int = 0
    token_factors: TokenFactors = AS_ESTIMATED
    prompt_beyond_tokens: int = 0

    def shown_tokens(self, tokens: int, scripts: ScriptTokens) -> int:
        """Return what the model counts for what it is shown, by our estimate with these parts."""
        return scaled(weighted(tokens, scripts, self.token_factors), self.factor)

    def prompt_tokens(self, tokens: int, scripts: ScriptTokens) -> int:
        """Return what a provider may count for the whole prompt, as far as is known."""
        return self._counted(weighted(tokens, scripts, self.token_factors), self.factor)

    def max_shown_tokens(self, prompt_tokens: int) -> int:
        """Return how much can be shown of which a provider counts at most so many tokens."""
        if not self.prompt_beyond_tokens:
            return prompt_tokens
        beside = max(0, prompt_tokens - self.prompt_beyond_tokens)
        return min(prompt_tokens, beside * self.factor // min(self.factor, UNCALIBRATED))

    def _counted(self, estimated_tokens: int, factor: int) -> int:
        # Either explains what was seen; both together would count it twice.
        if not self.prompt_beyond_tokens:
            return scaled(estimated_tokens, factor)
        unscaled = scaled(estimated_tokens, min(factor, UNCALIBRATED))
        return max(scaled(estimated_tokens, factor), unscaled + self.prompt_beyond_tokens)

    def beyond_cap(self, cap: int) -> int:
        """Return how many tokens the model is known to write beyond a cap."""
        return self.reasoning_tokens + max(0, self.text_tokens - cap)

    def max_cap(self, output_tokens: int) -> int:
        """Return the highest cap beside which the model writes at most so many tokens.

        Units: tokens; below 0 if it writes more whatever the cap.
        """
        cap = output_tokens - self.reasoning_tokens
        return cap if cap >= self.text_tokens else -1

    def after_call(
        self, usage: Usage, reserved: Reservation, estimated_tokens: int
    ) -> "ModelProfile":
        """Return the profile after a call; itself if that showed nothing new.

        Units: `estimated_tokens` is the estimate of the prompt, weighted by script. A figure that
        is the one of the reservation was not counted by anybody, and teaches nothing.
        """
        factor, reasoning, text = self.factor, self.reasoning_tokens, self.text_tokens
        prompt_beyond = self.prompt_beyond_tokens
        is_counted = usage.source == "reported" or (
            usage.source == "partly_reported" and usage.prompt_tokens != reserved.prompt_tokens
        )
        if is_counted and usage.prompt_tokens:
            factor = next_factor(factor, estimated_tokens, usage.prompt_tokens)
            prompt_beyond = self._next_prompt_beyond(factor, estimated_tokens, usage.prompt_tokens)
        cap, written = reserved.output_tokens, usage.completion_tokens
        is_beyond = written > cap or reasoning or text
        if is_beyond and (written != reserved.written_tokens or usage.source == "reported"):
            reasoning = _next_beyond(reasoning, usage.reasoning_tokens)
            text = _next_beyond(text, usage.text_tokens if usage.text_tokens > cap or text else 0)
        learnt = replace(
            self,
            factor=factor,
            reasoning_tokens=reasoning,
            text_tokens=text,
            prompt_beyond_tokens=prompt_beyond,
        )
        return self if learnt == self else learnt

    def _next_prompt_beyond(self, next_factor: int, estimated_tokens: int, counted: int) -> int:
        """Return what is counted beyond an estimate, after one more count of a prompt.

        It grows by what neither the next factor nor what was known explains: a longer brief alone
        is no reason to set aside more for the short ones.
        """
        known = self.prompt_beyond_tokens
        seen = max(0, counted - scaled(estimated_tokens, min(self.factor, UNCALIBRATED)))
        if counted > self._counted(estimated_tokens, next_factor):
            return _next_beyond(known, seen)
        return _next_beyond(known, min(known, seen))

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


def _next_beyond(known: int, seen: int) -> int:
    """Return a learnt number of tokens after one more was seen: up at once, down by an eighth.

    So no call passes a ceiling by what one before it has shown.
    """
    return seen if seen >= known else known - -(-(known - seen) // _DECAY)


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
