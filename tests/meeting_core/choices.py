"""Where a walk's choices come from: hypothesis's bytes, or a seed."""

from collections.abc import Callable

Draw = Callable[[int], int]
"""Returns a number from 0 up to, but not including, the bound."""


def seeded(seed: int) -> Draw:
    """A cheap repeatable source of numbers."""
    state = seed * 0x9E3779B97F4A7C15 + 1

    def draw(bound: int) -> int:
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return (state >> 33) % bound

    return draw


def chosen(choices: bytes) -> Draw:
    """Numbers from choices made beforehand; where they end, nothing special happens."""
    remaining = iter(choices)
    return lambda bound: next(remaining, 0) % bound
