"""What a model's reported usage teaches about the estimate of tokens: a factor, kept in permille.

Whole numbers only, so that the same reports give the same factor on every machine.
"""

UNCALIBRATED = 1_000
LOWEST_FACTOR = 500
HIGHEST_FACTOR = 3_000

MOST_BELIEVED_RATIO = 10
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
        return min(seen, factor + factor // 2, HIGHEST_FACTOR)
    return max(factor - (factor - seen) // _DECAY, LOWEST_FACTOR)


def scaled(tokens: int, factor: int) -> int:
    """Apply a factor to an estimate, rounding up.

    Units: tokens; the factor in permille.
    """
    return -(-tokens * factor // 1_000)


def _is_believable(estimated_tokens: int, reported_tokens: int) -> bool:
    return (
        0 < reported_tokens <= MOST_BELIEVED_RATIO * estimated_tokens
        and estimated_tokens <= MOST_BELIEVED_RATIO * reported_tokens
    )
