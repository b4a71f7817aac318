"""Percentiles by nearest rank: each is one of the values, so equal runs give equal figures."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct


class Percentiles(Struct, frozen=True):
    """The percentiles of one figure over all runs.

    Units: those of the figure, which `name` says.
    """

    name: str
    p5: float
    p50: float
    p95: float
    max: float


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the lowest value that `percent` of all values do not exceed.

    Shape: `ordered` ascends and is not empty.
    """
    return ordered[max(ceil(len(ordered) * percent / 100), 1) - 1]


def percentiles_of(name: str, values: Sequence[float]) -> Percentiles:
    """Return the percentiles of values, all zero if there are none."""
    ordered = sorted(values) or [0]
    found = (percentile(ordered, percent) for percent in (5, 50, 95, 100))
    return Percentiles(name, *found)
