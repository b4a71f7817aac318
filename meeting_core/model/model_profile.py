"""What a meeting has learnt about a model: how it counts tokens, and how much it takes in.

The factor is kept in permille, as a whole number, so that the same reports give the same factor
on every machine.
"""

from meeting_core.model.values import Value

UNCALIBRATED = 1_000
MIN_FACTOR = 500
MAX_FACTOR = 3_000

MAX_BELIEVED_RATIO = 10
"""A report this many times above or below the estimate is taken for a mistake."""

_DECAY = 8


def next_factor(factor: int, estimated_tokens: int, reported_tokens: int) -> int:
    """Give the factor after a call whose prompt was estimated at so much, and reported as so much.

    Units: the factor in permille; the estimate is the one before any factor was applied.
    Invariant: between `LOWEST_FACTOR` and `HIGHEST_FACTOR`; grows by half at most and falls by an
    eighth of the difference, so that it soon covers the truth and no single report decides it.
    Source: ADR 0005.
    """
    if not _is_believable(estimated_tokens, reported_tokens):
        return factor
    seen = -(-reported_tokens * 1_000 // estimated_tokens)
    if seen > factor:
        return min(seen, factor + factor // 2, MAX_FACTOR)
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


class ModelProfile(Value, frozen=True):
    """What ended calls have shown of one model.

    Units: `factor` in permille, from our estimate to the model's own count; `context_tokens` is the
    longest brief to try, by our estimate; none where none was too long.
    """

    model: str
    factor: int = UNCALIBRATED
    context_tokens: int | None = None

    def longest_brief(self, context_tokens: int) -> int:
        """Say how long a brief may be, by our estimate, to hold so many tokens by the model's."""
        longest = (
            self.estimate_within(context_tokens) if self.factor > UNCALIBRATED else (context_tokens)
        )
        return longest if self.context_tokens is None else min(longest, self.context_tokens)

    def estimate_within(self, tokens: int) -> int:
        """Say which estimate comes to at most so many tokens by the model's count."""
        return max(0, tokens * UNCALIBRATED // self.factor)


def profile_of(known: tuple[ModelProfile, ...], model: str) -> ModelProfile:
    """Find what is known of a model."""
    for each in known:
        if each.model == model:
            return each
    return ModelProfile(model)


def with_profile(known: tuple[ModelProfile, ...], learnt: ModelProfile) -> tuple[ModelProfile, ...]:
    """Replace what was known of a model."""
    return (*[each for each in known if each.model != learnt.model], learnt)
