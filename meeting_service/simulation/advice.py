"""Advice in words, one line for each limit that is hit often or not set."""

from collections.abc import Iterator, Sequence, Set
from math import ceil, floor, log10

from meeting_core.model import SkipReason
from meeting_service.simulation.limit_hits import (
    COST_OVERRUN,
    SYNTHESIS_DEGRADED,
    TIMEOUTS,
    TOKENS_OVERRUN,
    skipped_for,
    timed_out_by,
)
from meeting_service.simulation.percentiles import percentile
from meeting_service.simulation.plan import Plan
from meeting_service.simulation.run_result import RunResult

MIN_SHARE = 0.05
PERCENTILE = 95
DIGITS = 3
RETRYABLE_SKIPS: tuple[SkipReason, ...] = ("rate_limited", "unavailable", "timed_out")
"""Reasons for skipped turns that more attempts, or more time, could save."""
UNREACHABLE = "error: gateway_unreachable"


def advice_on(plan: Plan, results: Sequence[RunResult]) -> Iterator[str]:
    """Yield what to change, the most important first; nothing for limits that fit."""
    yield from _ceilings(plan, results)
    yield from _context(plan, results)
    yield from _caps(plan, results)
    yield from _timeouts(plan, results)
    yield from _faults(plan, results)


def round_up(value: float) -> float:
    """Round a figure up to three digits: a limit that is rounded down would be hit."""
    if value <= 0:
        return 0
    step = 10.0 ** (floor(log10(value)) - DIGITS + 1)
    # A float may be slightly above the decimal it stands for.
    rounded = ceil(round(value / step, 6)) * step
    return round(rounded) if rounded >= 100 else round(rounded, 6)


def _ceilings(plan: Plan, results: Sequence[RunResult]) -> Iterator[str]:
    config = plan.meeting
    tokens = [each.needs.tokens for each in results]
    yield _ceiling("meeting_tokens", config.meeting_tokens, tokens)
    if config.prices is not None:
        cost = [each.needs.cost for each in results]
        yield _ceiling("meeting_cost", config.meeting_cost, cost)
    for name in (TOKENS_OVERRUN, COST_OVERRUN):
        if share := _share_with(results, {name}):
            yield (
                f"{name} in {_percent(share)} of runs: calls take more tokens than were "
                "reserved for them; set it below what you can pay"
            )


def _ceiling(name: str, ceiling: float | None, needs: Sequence[float]) -> str:
    fits = f"{PERCENTILE} % would fit into {round_up(percentile(sorted(needs), PERCENTILE)):,}"
    if ceiling is None:
        return f"{name} is not set; {fits}"
    hit = sum(need > ceiling for need in needs) / len(needs)
    if not hit:
        return f"{name} = {ceiling:,} is never hit; {fits}"
    return f"{name} = {ceiling:,} is hit in {_percent(hit)} of runs; {fits}"


def _context(plan: Plan, results: Sequence[RunResult]) -> Iterator[str]:
    limit, needs = plan.meeting.context_tokens, [each.needs.context_tokens for each in results]
    hit = sum(need > limit for need in needs) / len(needs)
    if hit >= MIN_SHARE:
        enough = round_up(percentile(sorted(needs), PERCENTILE))
        yield (
            f"context_tokens = {limit:,} shortens briefs in {_percent(hit)} of runs; in "
            f"{PERCENTILE} % all would be shown within {enough:,}"
        )


def _caps(plan: Plan, results: Sequence[RunResult]) -> Iterator[str]:
    config = plan.meeting
    for name, cap, wanted in (
        ("max_tokens_per_turn", config.max_tokens_per_turn, [h.wanted_tokens for h in results]),
        ("synthesis_max_tokens", config.synthesis_max_tokens, [h.wanted_minutes for h in results]),
    ):
        lengths = sorted(length for each in wanted for length in each)
        over = sum(length > cap for length in lengths)
        runs = sum(any(length > cap for length in each) for each in wanted) / len(results)
        if runs >= MIN_SHARE:
            yield (
                f"{name} = {cap:,} is too little for {_percent(over / len(lengths))} of replies, "
                f"in {_percent(runs)} of runs; {PERCENTILE} % of replies would fit into "
                f"{round_up(percentile(lengths, PERCENTILE)):,}"
            )


def _timeouts(plan: Plan, results: Sequence[RunResult]) -> Iterator[str]:
    config = plan.meeting
    seconds = sorted(wanted for each in results for wanted in each.wanted_seconds)
    for limit in TIMEOUTS:
        share = _share_with(results, {timed_out_by(limit)})
        if share >= MIN_SHARE:
            line = f"{limit} = {getattr(config, limit):g} ends replies in {_percent(share)} of runs"
            if limit in ("attempt_timeout_seconds", "turn_timeout_seconds"):
                enough = round_up(percentile(seconds, PERCENTILE))
                line += f"; {PERCENTILE} % of replies come within {enough:g} s"
            yield line
    needs = sorted(each.needs.seconds for each in results)
    late = sum(need > config.meeting_timeout_seconds for need in needs) / len(results)
    if late >= MIN_SHARE:
        yield (
            f"meeting_timeout_seconds = {config.meeting_timeout_seconds:g} ends rounds in "
            f"{_percent(late)} of runs; {PERCENTILE} % would fit into "
            f"{round_up(percentile(needs, PERCENTILE)):,} s"
        )


def _faults(plan: Plan, results: Sequence[RunResult]) -> Iterator[str]:
    config = plan.meeting
    names = {skipped_for(reason) for reason in RETRYABLE_SKIPS}
    given_up = _share_with(results, names)
    if given_up >= MIN_SHARE:
        yield (
            f"max_attempts = {config.max_attempts} gives turns up in {_percent(given_up)} of "
            "runs; more attempts, or a longer turn_timeout_seconds, would save some of them"
        )
    unreachable = sum(each.ending == UNREACHABLE for each in results) / len(results)
    if unreachable >= MIN_SHARE:
        yield (
            f"gateway_reconnect_timeout_seconds = {config.gateway_reconnect_timeout_seconds:g} "
            f"fails {_percent(unreachable)} of meetings; an outage lasts {plan.outage.seconds:g} s"
        )
    degraded = _share_with(results, {SYNTHESIS_DEGRADED})
    if degraded >= MIN_SHARE:
        yield f"the minutes lack something in {_percent(degraded)} of runs"


def _share_with(results: Sequence[RunResult], names: Set[str]) -> float:
    """Return the share of the runs in which any of these happened."""
    return sum(bool(names & each.limit_hits.keys()) for each in results) / len(results)


def _percent(share: float) -> str:
    """Format a share; only what never happened is 0 %, only what always happened is 100 %."""
    if 0 < share < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"
