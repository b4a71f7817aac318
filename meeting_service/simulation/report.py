"""The report on all runs: their endings, the limits they hit, percentiles and advice."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from meeting_service.simulation.advice import advice_on
from meeting_service.simulation.limit_hits import in_order
from meeting_service.simulation.percentiles import Percentiles, percentiles_of
from meeting_service.simulation.plan import Plan
from meeting_service.simulation.run_result import RunResult


class Ending(Struct, frozen=True):
    """How often meetings ended in one way.

    Units: `share` of all runs.
    """

    name: str
    runs: int
    share: float


class LimitHit(Struct, frozen=True):
    """How often a limit was hit.

    Units: `runs` in which it was, their `share` of all, and `times` in all runs together.
    """

    name: str
    runs: int
    share: float
    times: int


class Report(Struct, frozen=True):
    """The result of a simulation.

    Shape: `currency` and `prices_version` are empty without prices.
    """

    runs: int
    seed: int
    currency: str
    prices_version: str
    endings: tuple[Ending, ...]
    limit_hits: tuple[LimitHit, ...]
    percentiles: tuple[Percentiles, ...]
    advice: tuple[str, ...]


def report_on(plan: Plan, results: Sequence[RunResult]) -> Report:
    """Return the report on runs.

    Shape: `results` is not empty.
    """
    prices = plan.meeting.prices
    return Report(
        runs=len(results),
        seed=plan.seed,
        currency="" if prices is None else prices.currency,
        prices_version="" if prices is None else prices.version,
        endings=tuple(_endings(results)),
        limit_hits=tuple(_limit_hits(results)),
        percentiles=tuple(_percentiles(plan, results)),
        advice=tuple(advice_on(plan, results)),
    )


def _endings(results: Sequence[RunResult]) -> list[Ending]:
    counts = Counter(each.ending for each in results)
    # By frequency, then by name.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Ending(name, runs, runs / len(results)) for name, runs in ordered]


def _limit_hits(results: Sequence[RunResult]) -> list[LimitHit]:
    runs: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for each in results:
        runs.update(each.limit_hits.keys())
        times.update(each.limit_hits)
    return [
        LimitHit(name, runs[name], runs[name] / len(results), times[name])
        for name in in_order(runs)
    ]


def _percentiles(plan: Plan, results: Sequence[RunResult]) -> list[Percentiles]:
    found = [
        percentiles_of("tokens", [each.tokens for each in results]),
        percentiles_of("prompt tokens", [each.prompt_tokens for each in results]),
        percentiles_of("completion tokens", [each.completion_tokens for each in results]),
        percentiles_of("wasted tokens", [each.wasted_tokens for each in results]),
        percentiles_of("calls", [each.calls for each in results]),
        percentiles_of("seconds", [round(each.seconds, 1) for each in results]),
    ]
    if plan.meeting.prices is not None:
        cost = [each.cost for each in results]
        found.append(percentiles_of(f"cost in {plan.meeting.prices.currency}", cost))
    return found
