"""Percentiles by the nearest rank: always one of the values, so equal runs give equal figures."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct


class Percentiles(Struct, frozen=True):
    """How a figure is spread over the runs.

    Units: those of the figure, which `name` says.
    """

    name: str
    p5: float
    p50: float
    p95: float
    max: float


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Give the least value that so many percent of all do not pass.

    Shape: `ordered` rises and has one value at least.
    """
    return ordered[max(ceil(len(ordered) * percent / 100), 1) - 1]


def percentiles_of(name: str, values: Sequence[float]) -> Percentiles:
    """Say how values are spread; all zeros without any."""
    ordered = sorted(values) or [0]
    found = (percentile(ordered, percent) for percent in (5, 50, 95, 100))
    return Percentiles(name, *found)
