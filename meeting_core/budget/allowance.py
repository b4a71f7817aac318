"""The budget: reserve before a call, settle after it, and never pass the meeting's ceilings.

Counters are folded from events, so a restart cannot reset them. A call whose outcome is unknown
keeps its whole reservation. Source: docs/explanation/budget.md.
"""

from collections.abc import Sequence

from meeting_core.model.accounting import Amount, Ledger, ModelProfile, price_of
from meeting_core.model.configuration import Configuration
from meeting_core.model.prices import ModelPrice
from meeting_core.model.values import Value


class Allowance(Value, frozen=True):
    """What one call may cost at most.

    Units: tokens, and millionths of the currency; None if there is no ceiling.
    """

    tokens: int | None
    micros: int | None
    price: ModelPrice | None

    def prompt_beside(self, output_tokens: int) -> int | None:
        """Return the longest prompt that can be paid for beside this output.

        Units: tokens; None if nothing bounds it, below 0 if not even the output can be paid for.
        """
        max_prompt = None if self.tokens is None else self.tokens - output_tokens
        if self.micros is None or self.price is None or not self.price.prompt:
            return max_prompt
        left = self.micros - self.price.completion * output_tokens
        # The quotient may be rounded either way; the price, in whole millionths, decides.
        by_money = max(-1, int(left // self.price.prompt) + 1)
        while by_money >= 0 and self.price.micros(by_money, output_tokens) > self.micros:
            by_money -= 1
        return by_money if max_prompt is None else min(max_prompt, by_money)

    def output_beside(self, prompt_tokens: int, wanted: int) -> int:
        """Return how much of the wanted output can be paid for beside a prompt.

        Units: tokens; below 0 if not even the prompt can be paid for.

        Invariant: `covers` says that so much can be paid for, and, below `wanted`, no more.
        """
        max_output = wanted if self.tokens is None else min(wanted, self.tokens - prompt_tokens)
        if self.micros is None or self.price is None:
            return max_output
        if self.price.completion:
            left = self.micros - self.price.prompt * prompt_tokens
            # As above: the price decides.
            max_output = min(max_output, max(-1, int(left // self.price.completion) + 1))
        while max_output >= 0 and self.price.micros(prompt_tokens, max_output) > self.micros:
            max_output = max_output - 1 if self.price.completion else -1
        return max_output

    def covers(self, prompt_tokens: int, output_tokens: int) -> bool:
        """Return whether a call can be paid for."""
        by_tokens = self.tokens is None or prompt_tokens + output_tokens <= self.tokens
        return by_tokens and (
            self.micros is None
            or self.price is None
            or self.price.micros(prompt_tokens, output_tokens) <= self.micros
        )


def synthesis_share(config: Configuration, author: ModelProfile | None = None) -> int:
    """Return the tokens the turns may not touch: the synthesis's prompt and its output.

    `author` is what is known of the model that writes the minutes.
    """
    return _prompt_tokens(config, author) + _written_tokens(config, author)


def synthesis_share_micros(config: Configuration, author: ModelProfile) -> int:
    """Return the same in money.

    Units: millionths of the currency.
    """
    price = price_of(config, author.model)
    written = _written_tokens(config, author)
    return 0 if price is None else price.micros(_prompt_tokens(config, author), written)


def _prompt_tokens(config: Configuration, author: ModelProfile | None) -> int:
    return config.context_tokens + (0 if author is None else author.prompt_beyond_tokens)


def _written_tokens(config: Configuration, author: ModelProfile | None) -> int:
    cap = config.synthesis_max_tokens
    return cap if author is None else cap + author.beyond_cap(cap)


def tokens_left(config: Configuration, ledger: Ledger) -> int | None:
    """Return the tokens neither spent nor reserved; None if the meeting has no ceiling."""
    if config.meeting_tokens is None:
        return None
    return config.meeting_tokens - ledger.spent - ledger.reserved


def micros_left(config: Configuration, ledger: Ledger) -> int | None:
    """Return the money neither spent nor reserved; None if the meeting has no ceiling for it.

    Units: millionths of the currency.
    """
    if config.meeting_cost is None:
        return None
    return int(config.meeting_cost * 1_000_000) - ledger.spent_micros - ledger.reserved_micros


def turn_allowance(
    config: Configuration,
    ledger: Ledger,
    model: str,
    author: ModelProfile,
    floors: Sequence[Amount],
) -> Allowance:
    """Return a call's fair share of what is left beside the synthesis's share.

    Shape: `floors` are the lowest costs of the calls to come, this one's first. Each call gets its
    floor, and all share evenly what is left above the floors. `author` is what is known of the
    model that writes the minutes.
    """
    tokens, micros = tokens_left(config, ledger), micros_left(config, ledger)
    if tokens is not None:
        spare = tokens - synthesis_share(config, author) - sum([floor.tokens for floor in floors])
        tokens = floors[0].tokens + spare // len(floors)
    if micros is not None:
        spare = micros - synthesis_share_micros(config, author)
        spare -= sum([floor.micros for floor in floors])
        micros = floors[0].micros + spare // len(floors)
    return Allowance(tokens, micros, price_of(config, model))


def synthesis_allowance(config: Configuration, ledger: Ledger, model: str) -> Allowance:
    """Return the allowance of the synthesis: all that is left."""
    tokens, micros = tokens_left(config, ledger), micros_left(config, ledger)
    return Allowance(tokens, micros, price_of(config, model))
