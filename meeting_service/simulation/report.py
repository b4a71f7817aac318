"""The report on all runs: how they ended, which limits tripped how often, what it all took."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from meeting_service.simulation.advice import advice_on
from meeting_service.simulation.limit_hits import in_order
from meeting_service.simulation.percentiles import Percentiles, percentiles_of
from meeting_service.simulation.plan import Plan
from meeting_service.simulation.run_result import Held


class Ending(Struct, frozen=True):
    """How often meetings ended so.

    Units: `share` of all runs.
    """

    name: str
    runs: int
    share: float


class Trip(Struct, frozen=True):
    """How often something befell a meeting.

    Units: `runs` in which it did, their `share` of all, and `times` in all runs together.
    """

    name: str
    runs: int
    share: float
    times: int


class Report(Struct, frozen=True):
    """What a simulation has shown.

    Shape: `currency` and `prices_version` are empty without prices.
    """

    runs: int
    seed: int
    currency: str
    prices_version: str
    endings: tuple[Ending, ...]
    trips: tuple[Trip, ...]
    percentiles: tuple[Percentiles, ...]
    advice: tuple[str, ...]


def report_on(plan: Plan, held: Sequence[Held]) -> Report:
    """Sum all runs up.

    Shape: `held` has one meeting at least.
    """
    prices = plan.meeting.prices
    return Report(
        runs=len(held),
        seed=plan.seed,
        currency="" if prices is None else prices.currency,
        prices_version="" if prices is None else prices.version,
        endings=tuple(_endings(held)),
        trips=tuple(_trips(held)),
        percentiles=tuple(_percentiles(plan, held)),
        advice=tuple(advice_on(plan, held)),
    )


def _endings(held: Sequence[Held]) -> list[Ending]:
    counts = Counter(each.ending for each in held)
    # The most frequent first; by name where two are as frequent.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Ending(name, runs, runs / len(held)) for name, runs in ordered]


def _trips(held: Sequence[Held]) -> list[Trip]:
    runs: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for each in held:
        runs.update(each.trips.keys())
        times.update(each.trips)
    return [Trip(name, runs[name], runs[name] / len(held), times[name]) for name in in_order(runs)]


def _percentiles(plan: Plan, held: Sequence[Held]) -> list[Percentiles]:
    found = [
        percentiles_of("tokens", [each.tokens for each in held]),
        percentiles_of("prompt tokens", [each.prompt_tokens for each in held]),
        percentiles_of("completion tokens", [each.completion_tokens for each in held]),
        percentiles_of("wasted tokens", [each.wasted_tokens for each in held]),
        percentiles_of("calls", [each.calls for each in held]),
        percentiles_of("seconds", [round(each.seconds, 1) for each in held]),
    ]
    if plan.meeting.prices is not None:
        cost = [each.cost for each in held]
        found.append(percentiles_of(f"cost in {plan.meeting.prices.currency}", cost))
    return found
