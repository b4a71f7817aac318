"""Advice in plain words, one line for each limit that trips often or that is not set."""

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
from meeting_service.simulation.run_result import Held

OFTEN = 0.05
MOST = 95
DIGITS = 3
GIVEN_UP: tuple[SkipReason, ...] = ("rate_limited", "unavailable", "timed_out")
"""Why turns are skipped that more attempts, or more time for them, could save."""
GONE = "error: gateway_unreachable"


def advice_on(plan: Plan, held: Sequence[Held]) -> Iterator[str]:
    """Say what to change, most important first; nothing for limits that do their work."""
    yield from _ceilings(plan, held)
    yield from _context(plan, held)
    yield from _caps(plan, held)
    yield from _timeouts(plan, held)
    yield from _faults(plan, held)


def at_least(value: float) -> float:
    """Round a figure up to three digits: a limit that was rounded down would trip."""
    if value <= 0:
        return 0
    step = 10.0 ** (floor(log10(value)) - DIGITS + 1)
    # The nearest number to a decimal may lie a hair above it.
    rounded = ceil(round(value / step, 6)) * step
    return round(rounded) if rounded >= 100 else round(rounded, 6)


def _ceilings(plan: Plan, held: Sequence[Held]) -> Iterator[str]:
    config = plan.meeting
    tokens = [each.needs.tokens for each in held]
    yield _ceiling("meeting_tokens", config.meeting_tokens, tokens)
    if config.prices is not None:
        cost = [each.needs.cost for each in held]
        yield _ceiling("meeting_cost", config.meeting_cost, cost)
    for name in (TOKENS_OVERRUN, COST_OVERRUN):
        if share := _share_with(held, {name}):
            yield (
                f"{name} in {_percent(share)} of runs: calls take more tokens than were "
                "reserved for them; set it below what you can pay"
            )


def _ceiling(name: str, ceiling: float | None, needs: Sequence[float]) -> str:
    fits = f"{MOST} % would fit into {at_least(percentile(sorted(needs), MOST)):,}"
    if ceiling is None:
        return f"{name} is not set; {fits}"
    tripped = sum(need > ceiling for need in needs) / len(needs)
    if not tripped:
        return f"{name} = {ceiling:,} never trips; {fits}"
    return f"{name} = {ceiling:,} trips in {_percent(tripped)} of runs; {fits}"


def _context(plan: Plan, held: Sequence[Held]) -> Iterator[str]:
    limit, needs = plan.meeting.context_tokens, [each.needs.context_tokens for each in held]
    tripped = sum(need > limit for need in needs) / len(needs)
    if tripped >= OFTEN:
        enough = at_least(percentile(sorted(needs), MOST))
        yield (
            f"context_tokens = {limit:,} shortens briefs in {_percent(tripped)} of runs; in "
            f"{MOST} % all would be shown within {enough:,}"
        )


def _caps(plan: Plan, held: Sequence[Held]) -> Iterator[str]:
    config = plan.meeting
    for name, cap, wanted in (
        ("max_tokens_per_turn", config.max_tokens_per_turn, [h.wanted_tokens for h in held]),
        ("synthesis_max_tokens", config.synthesis_max_tokens, [h.wanted_minutes for h in held]),
    ):
        lengths = sorted(length for each in wanted for length in each)
        over = sum(length > cap for length in lengths)
        runs = sum(any(length > cap for length in each) for each in wanted) / len(held)
        if runs >= OFTEN:
            yield (
                f"{name} = {cap:,} is too little for {_percent(over / len(lengths))} of replies, "
                f"in {_percent(runs)} of runs; {MOST} % of replies would fit into "
                f"{at_least(percentile(lengths, MOST)):,}"
            )


def _timeouts(plan: Plan, held: Sequence[Held]) -> Iterator[str]:
    config = plan.meeting
    seconds = sorted(wanted for each in held for wanted in each.wanted_seconds)
    for limit in TIMEOUTS:
        share = _share_with(held, {timed_out_by(limit)})
        if share >= OFTEN:
            line = f"{limit} = {getattr(config, limit):g} ends replies in {_percent(share)} of runs"
            if limit in ("attempt_timeout_seconds", "turn_timeout_seconds"):
                enough = at_least(percentile(seconds, MOST))
                line += f"; {MOST} % of replies come within {enough:g} s"
            yield line
    needs = sorted(each.needs.seconds for each in held)
    late = sum(need > config.meeting_timeout_seconds for need in needs) / len(held)
    if late >= OFTEN:
        yield (
            f"meeting_timeout_seconds = {config.meeting_timeout_seconds:g} ends rounds in "
            f"{_percent(late)} of runs; {MOST} % would fit into "
            f"{at_least(percentile(needs, MOST)):,} s"
        )


def _faults(plan: Plan, held: Sequence[Held]) -> Iterator[str]:
    config = plan.meeting
    names = {skipped_for(reason) for reason in GIVEN_UP}
    given_up = _share_with(held, names)
    if given_up >= OFTEN:
        yield (
            f"max_attempts = {config.max_attempts} gives turns up in {_percent(given_up)} of "
            "runs; more attempts, or a longer turn_timeout_seconds, would save some of them"
        )
    gone = sum(each.ending == GONE for each in held) / len(held)
    if gone >= OFTEN:
        yield (
            f"gateway_reconnect_timeout_seconds = {config.gateway_reconnect_timeout_seconds:g} "
            f"fails {_percent(gone)} of meetings; an outage lasts {plan.outage.seconds:g} s"
        )
    degraded = _share_with(held, {SYNTHESIS_DEGRADED})
    if degraded >= OFTEN:
        yield f"the minutes lack something in {_percent(degraded)} of runs"


def _share_with(held: Sequence[Held], names: Set[str]) -> float:
    """Say in which share of the runs any of these befell the meeting."""
    return sum(bool(names & each.trips.keys()) for each in held) / len(held)


def _percent(share: float) -> str:
    """Write a share; what happened at all is never 0 %, what did not always is never 100 %."""
    if 0 < share < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"
