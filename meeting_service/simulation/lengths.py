"""Lengths of replies without limits: fixed, or sampled from one of two distributions."""

from math import exp, log
from random import Random
from typing import Annotated, TypeAlias, assert_never

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_TOKENS = 100_000
Tokens = Annotated[int, Meta(ge=1, le=MAX_TOKENS)]

BETA_CONCENTRATION = 6.0
"""The concentration of the beta distribution: the sum of its two parameters."""

P95_DEVIATIONS = 1.6448536269514722


class BetaLength(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lengths between two bounds, with a mean.

    Source: a beta distribution, as PERT uses it for estimates by minimum and maximum.
    """

    min: Tokens
    mean: Tokens
    max: Tokens

    def __post_init__(self) -> None:
        if not self.min <= self.mean <= self.max:
            raise ValueError("min, mean and max must not fall")


class LogNormalLength(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lengths with a median of `p50` and a 95th percentile of `p95`.

    Source: a log-normal distribution, as the lengths of real replies have.
    """

    p50: Tokens
    p95: Tokens

    def __post_init__(self) -> None:
        if self.p50 > self.p95:
            raise ValueError("p50 must not be above p95")


Length: TypeAlias = Tokens | BetaLength | LogNormalLength


class WrittenLength(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A distribution as a file has it: by `min`, `mean` and `max`, or by `p50` and `p95`."""

    min: Tokens | UnsetType = UNSET
    mean: Tokens | UnsetType = UNSET
    max: Tokens | UnsetType = UNSET
    p50: Tokens | UnsetType = UNSET
    p95: Tokens | UnsetType = UNSET

    def length(self) -> Length:
        """Return the distribution. Raises: `ValueError` for fields of neither or of both."""
        match (self.min, self.mean, self.max, self.p50, self.p95):
            case (int(low), int(mean), int(high), UnsetType(), UnsetType()):
                return BetaLength(min=low, mean=mean, max=high)
            case (UnsetType(), UnsetType(), UnsetType(), int(p50), int(p95)):
                return LogNormalLength(p50=p50, p95=p95)
            case _:
                raise ValueError("write a number, {min, mean, max} or {p50, p95}")


def sample_tokens(length: Length, random: Random) -> int:
    """Sample a length.

    Units: tokens, by the model's count.
    """
    match length:
        case int():
            return length
        case BetaLength():
            if length.mean in (length.min, length.max):
                return length.mean
            width = length.max - length.min
            above = BETA_CONCENTRATION * (length.mean - length.min) / width
            return round(length.min + width * random.betavariate(above, BETA_CONCENTRATION - above))
        case LogNormalLength():
            deviation = log(length.p95 / length.p50) / P95_DEVIATIONS
            return max(1, round(exp(random.gauss(log(length.p50), deviation))))
        case _:
            assert_never(length)
