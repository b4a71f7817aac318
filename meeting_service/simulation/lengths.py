"""How long a reply wants to be: always the same, or drawn from one of two distributions."""

from math import exp, log
from random import Random
from typing import Annotated, TypeAlias, assert_never

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_TOKENS = 100_000
Tokens = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]

SHAPE = 6.0
"""How closely a spread keeps to its mean: the two exponents of its beta distribution together."""

P95_DEVIATIONS = 1.6448536269514722


class Spread(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lengths between two bounds, with a mean.

    Source: a beta distribution, as PERT takes it for estimates by their least and most.
    """

    min: Tokens
    mean: Tokens
    max: Tokens

    def __post_init__(self) -> None:
        if not self.min <= self.mean <= self.max:
            raise ValueError("min, mean and max must not fall")


class Span(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lengths of which half are below `p50`, and all but a twentieth below `p95`.

    Source: a log-normal distribution, which is how the lengths of replies fall in practice.
    """

    p50: Tokens
    p95: Tokens

    def __post_init__(self) -> None:
        if self.p50 > self.p95:
            raise ValueError("p50 must not be above p95")


Length: TypeAlias = Tokens | Spread | Span


class WrittenLength(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A distribution as it is written: by `min`, `mean` and `max`, or by `p50` and `p95`."""

    min: Tokens | UnsetType = UNSET
    mean: Tokens | UnsetType = UNSET
    max: Tokens | UnsetType = UNSET
    p50: Tokens | UnsetType = UNSET
    p95: Tokens | UnsetType = UNSET

    def length(self) -> Length:
        """Say which distribution it is. Raises: `ValueError` for neither or a mixture."""
        match (self.min, self.mean, self.max, self.p50, self.p95):
            case (int(least), int(mean), int(most), UnsetType(), UnsetType()):
                return Spread(min=least, mean=mean, max=most)
            case (UnsetType(), UnsetType(), UnsetType(), int(middle), int(high)):
                return Span(p50=middle, p95=high)
            case _:
                raise ValueError("write a number, {min, mean, max} or {p50, p95}")


def drawn_tokens(length: Length, random: Random) -> int:
    """Draw a length.

    Units: tokens, by the model's count.
    """
    match length:
        case int():
            return length
        case Spread():
            if length.mean in (length.min, length.max):
                return length.mean
            width = length.max - length.min
            above = SHAPE * (length.mean - length.min) / width
            return round(length.min + width * random.betavariate(above, SHAPE - above))
        case Span():
            deviation = log(length.p95 / length.p50) / P95_DEVIATIONS
            return max(1, round(exp(random.gauss(log(length.p50), deviation))))
        case _:
            assert_never(length)
