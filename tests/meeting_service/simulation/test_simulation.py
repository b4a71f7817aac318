"""Simulations: the same plan gives the same figures, and each limit is hit where it must be."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from meeting_core.minutes import parse_synthesis
from meeting_core.prompt import estimate_tokens
from meeting_service.settings import Settings
from meeting_service.simulation import Plan, RunResult, Simulator, read_plan, report_on
from meeting_service.simulation.advice import round_up
from meeting_service.simulation.lengths import BetaLength, LogNormalLength, sample_tokens
from meeting_service.simulation.limit_hits import (
    BRIEF_DROPPED,
    BRIEF_SHORTENED,
    CAP_REACHED,
    CUT,
    REPAIRED,
    RETRIED,
    SHORT_OF_BUDGET,
    SHORT_OF_CONTEXT,
    SYNTHESIS_DEGRADED,
    TOKENS_OVERRUN,
    ended_early,
    skipped_for,
    timed_out_by,
)
from meeting_service.simulation.percentiles import percentiles_of
from meeting_service.simulation.sample_texts import minutes_of, text_of
from meeting_service.simulation.simulator import _Run, simulate_run

FOUR = '[meeting]\nparticipants = ["planner", "dev", "design", "qa"]\n'
ROUGH = """
[replies]
tokens = {p50 = 120, p95 = 260}
[replies.dev]
ignores_cap_probability = 0.5
tokens = {min = 50, mean = 200, max = 400}
[synthesis]
complete_sections_probability = 0.6
[faults]
rate_limited = 0.05
unavailable = 0.03
timed_out = 0.03
empty = 0.03
truncated = 0.03
refused = 0.02
rejected = 0.02
context_too_long = 0.02
[usage]
reported = 0.7
factor = 1.2
[outage]
probability = 0.3
seconds = 50
[prices]
version = "2026-11"
models."m" = {prompt = 1.0, completion = 4.0}
"""

Planned = Callable[[str], Plan]


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """Read a plan from its text."""

    def read(text: str) -> Plan:
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return read_plan(path, Settings())

    return read


def results(plan: Plan, runs: int = 20) -> list[RunResult]:
    return list(Simulator(replace(plan, runs=runs)).runs())


def with_meeting(plan: Plan, **changes: object) -> Plan:
    return replace(plan, meeting=replace(plan.meeting, **changes))


# --- figures that can be relied on ---------------------------------------------------------------


def test_equal_plans_give_equal_figures_and_another_seed_gives_others(planned: Planned):
    plan, again = planned(FOUR + ROUGH), planned(FOUR + ROUGH)
    assert report_on(plan, results(plan)) == report_on(again, results(again))
    other = replace(plan, seed=2)
    assert [each.tokens for each in results(other)] != [each.tokens for each in results(plan)]


def test_a_run_does_not_depend_on_how_many_there_are(planned: Planned):
    plan = planned(FOUR + ROUGH)
    assert results(plan, runs=12)[:5] == results(plan, runs=5)


@pytest.mark.parametrize("extra", ["", "meeting_tokens = 9000\n", "digest_rounds = true\n"])
def test_totals_are_those_of_the_ledger(planned: Planned, extra: str):
    plan = planned(FOUR + extra + ROUGH)
    for run in range(1, 60):
        one_run = _Run(plan, run)
        one = one_run.result()
        assert one_run._meeting is not None
        ledger = one_run._meeting.ledger
        assert (one.tokens, one.micros) == (ledger.spent, ledger.spent_micros)
        assert ledger.reserved == ledger.reserved_micros == 0
        assert one.wasted_tokens <= one.tokens


@pytest.mark.parametrize("extra", ["", "digest_rounds = true\n"])
def test_needs_are_exact_ceilings(planned: Planned, extra: str):
    plan = planned(FOUR + extra + ROUGH)
    for run in range(1, 40):
        needs = simulate_run(plan, run).needs
        for name, enough, step in (
            ("meeting_tokens", needs.tokens, 1),
            ("meeting_cost", needs.micros / 1_000_000, 0.000_002),
        ):
            fits = simulate_run(
                with_meeting(plan, **{name: enough + step / 2 if step < 1 else enough}), run
            )
            short = simulate_run(with_meeting(plan, **{name: enough - step}), run)
            assert not SHORT_OF_BUDGET & fits.limit_hits.keys()
            assert SHORT_OF_BUDGET & short.limit_hits.keys()


def test_the_context_that_is_needed_shows_everything(planned: Planned):
    plan = planned(FOUR + "context_tokens = 900\n[usage]\nfactor = 1.3\n")
    for run in range(1, 20):
        assert SHORT_OF_CONTEXT & simulate_run(plan, run).limit_hits.keys()
        needs = Simulator(plan).result(run).needs
        enough = with_meeting(plan, context_tokens=needs.context_tokens)
        assert not SHORT_OF_CONTEXT & simulate_run(enough, run).limit_hits.keys()


def test_what_is_needed_is_known_though_a_limit_cut_the_meeting_short(planned: Planned):
    plan = planned(FOUR + "meeting_tokens = 7000\n")
    free = planned(FOUR)
    for run in range(1, 10):
        assert Simulator(plan).result(run).needs.tokens == simulate_run(free, run).needs.tokens


# --- each limit is hit where it must be --------------------------------------------------------


@pytest.mark.parametrize(
    ("on_budget", "ending"),
    [("wrap_up", "complete by budget"), ("pause", "paused"), ("fail", "error: budget")],
)
def test_a_tiny_ceiling_ends_every_meeting_as_it_was_told_to(
    planned: Planned, on_budget: str, ending: str
):
    plan = planned(FOUR + f'meeting_tokens = 5600\non_budget = "{on_budget}"\n')
    found = results(plan)
    assert {each.ending for each in found} == {ending}
    [line, *_] = report_on(plan, found).advice
    assert line.startswith("meeting_tokens = 5,600 is hit in 100 % of runs; 95 % would fit into ")
    if on_budget == "wrap_up":
        assert all(ended_early("budget") in each.limit_hits for each in found)


def test_a_speaker_who_is_always_too_long_reaches_the_cap(planned: Planned):
    plan = planned(FOUR + "[replies.dev]\ntokens = 500\n[replies]\ntokens = 50\n")
    found = results(plan)
    assert {each.limit_hits[CAP_REACHED] for each in found} == {3}
    assert not any(CUT in each.limit_hits for each in found)
    assert (
        "max_tokens_per_turn = 200 is too little for 25 % of replies, in 100 % of runs; "
        "95 % of replies would fit into 500"
    ) in report_on(plan, found).advice


def test_a_speaker_who_ignores_the_cap_is_cut(planned: Planned):
    plan = planned(FOUR + "[replies.dev]\ntokens = 500\nignores_cap_probability = 1\n")
    assert {each.limit_hits[CUT] for each in results(plan)} == {3}


def test_a_model_that_says_more_than_was_reserved_overruns_a_ceiling(planned: Planned):
    plan = planned(
        '[meeting]\nparticipants = 2\nnum_rounds = 1\nmeeting_tokens = 5000\non_budget = "fail"\n'
        "[replies]\ntokens = 6000\nignores_cap_probability = 1\n"
        "[latency]\ntokens_per_second = 1000\n"
    )
    found = results(plan)
    assert all(TOKENS_OVERRUN in each.limit_hits for each in found)
    assert any("meeting_tokens overrun" in line for line in report_on(plan, found).advice)


def test_a_short_context_shortens_and_drops(planned: Planned):
    plan = planned(FOUR + "context_tokens = 800\n")
    found = results(plan)
    assert all(
        BRIEF_SHORTENED in each.limit_hits and BRIEF_DROPPED in each.limit_hits for each in found
    )
    assert any(line.startswith("context_tokens = 800") for line in report_on(plan, found).advice)


@pytest.mark.parametrize(
    ("seconds", "ending"), [(90, "error: gateway_unreachable"), (30, "complete by agenda")]
)
def test_an_outage_ends_a_meeting_only_when_it_outlasts_the_reconnect_timeout(
    planned: Planned, seconds: int, ending: str
):
    plan = planned(FOUR + f"[outage]\nprobability = 1\nseconds = {seconds}\n")
    found = results(plan)
    assert {each.ending for each in found} == {ending}
    lines = report_on(plan, found).advice
    if seconds > 60:
        assert (
            "gateway_reconnect_timeout_seconds = 60 fails 100 % of meetings; an outage lasts 90 s"
        ) in lines
    else:
        calm = results(replace(plan, outage=replace(plan.outage, probability=0.0)))
        for one, other in zip(found, calm, strict=True):
            # A retried call is a call of its own, and may take another time.
            assert one.seconds - other.seconds == pytest.approx(seconds, abs=6)
            assert one.limit_hits[RETRIED] == 1


def test_an_outage_near_the_end_of_the_time_ends_the_rounds(planned: Planned):
    plan = planned(
        FOUR + "num_rounds = 1\nturn_timeout_seconds = 10\nattempt_timeout_seconds = 10\n"
        "synthesis_timeout_seconds = 60\nmeeting_timeout_seconds = 100\n"
        "[latency]\nfirst_token_seconds = 1\n[outage]\nprobability = 1\nseconds = 55\n"
    )
    found = results(plan, runs=50)
    assert any(each.ending == "complete by deadline" for each in found)
    assert any(
        line.startswith("meeting_timeout_seconds = 100") for line in report_on(plan, found).advice
    )


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ("attempt_timeout_seconds = 5\n", "attempt_timeout_seconds"),
        ("turn_timeout_seconds = 5\nattempt_timeout_seconds = 5\n", "turn_timeout_seconds"),
    ],
)
def test_a_slow_model_loses_replies_to_the_time_limit(planned: Planned, limits: str, limit: str):
    plan = planned(
        FOUR + limits + "[replies]\ntokens = 100\n[latency]\ntokens_per_second = 10\njitter = 0.5\n"
    )
    found = results(plan)
    assert sum(timed_out_by(limit) in each.limit_hits for each in found) > len(found) / 2
    assert any(line.startswith(f"{limit} = 5 ends") for line in report_on(plan, found).advice)


def test_a_slow_author_loses_the_minutes(planned: Planned):
    plan = planned(
        FOUR + "synthesis_timeout_seconds = 10\n"
        "[replies]\ntokens = 50\n[synthesis]\ntokens = 400\n[latency]\ntokens_per_second = 20\n"
    )
    found = results(plan)
    assert all(timed_out_by("synthesis_timeout_seconds") in each.limit_hits for each in found)
    assert all(SYNTHESIS_DEGRADED in each.limit_hits for each in found)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("refused", "refused"), ("rejected", "rejected"), ("context_too_long", "context_too_long")],
)
def test_calls_that_always_fail_leave_nobody_speaking(planned: Planned, fault: str, reason: str):
    plan = planned(FOUR + f"[faults]\n{fault} = 1\n")
    for each in results(plan, runs=3):
        assert each.ending == "error: nobody_spoke"
        assert each.limit_hits[skipped_for(reason)] == 12
        assert each.wasted_tokens == each.tokens


def test_faults_come_as_often_as_the_plan_says(planned: Planned):
    plan = planned(FOUR + "[faults]\nrate_limited = 0.1\nretry_after_seconds = 7\n")
    found = results(plan, runs=300)
    retried = sum(each.limit_hits.get(RETRIED, 0) for each in found)
    assert 0.08 < retried / sum(each.calls for each in found) < 0.12
    assert all(each.seconds > 7 for each in found if RETRIED in each.limit_hits)
    assert all(each.wasted_tokens == 0 for each in found)


def test_a_long_retry_after_gives_turns_up(planned: Planned):
    plan = planned(FOUR + "[faults]\nrate_limited = 0.1\nretry_after_seconds = 600\n")
    found = results(plan)
    assert any(line.startswith("max_attempts = 3 gives") for line in report_on(plan, found).advice)


def test_incomplete_minutes_are_repaired_or_degraded(planned: Planned):
    never = planned(FOUR + "[synthesis]\ncomplete_sections_probability = 0\n")
    assert all(
        SYNTHESIS_DEGRADED in each.limit_hits and each.calls == 14 for each in results(never)
    )
    sometimes = planned(FOUR + "[synthesis]\ncomplete_sections_probability = 0.5\n")
    found = results(sometimes, runs=60)
    assert any(REPAIRED in each.limit_hits for each in found)
    assert any(SYNTHESIS_DEGRADED in each.limit_hits for each in found)


def test_the_price_of_the_only_model_is_everybodys(planned: Planned):
    plan = planned(
        FOUR + '[prices]\nversion = "v"\nmodels."m" = {prompt = 2.0, completion = 10.0}\n'
    )
    for each in results(plan):
        price = 2 * each.prompt_tokens + 10 * each.completion_tokens
        assert price <= each.micros <= price + each.calls


def test_a_limit_changes_no_draw(planned: Planned):
    plan = planned(FOUR + ROUGH)
    shorter = with_meeting(plan, max_tokens_per_turn=100, meeting_tokens=9_000, num_rounds=2)
    for one, other in zip(results(plan), results(shorter), strict=True):
        assert one.wanted_tokens[:2] == other.wanted_tokens[:2]


def test_a_rejected_call_goes_to_the_next_model(planned: Planned):
    participants = ", ".join(
        f'{{id = "{name}", name = "{name}", model = "m", fallback_models = ["n", "o", "p"]}}'
        for name in "abc"
    )
    plan = planned(f"[meeting]\nparticipants = [{participants}]\n[faults]\nrejected = 0.1\n")
    found = results(plan)
    assert any(RETRIED in each.limit_hits for each in found)
    assert all(each.ending == "complete by agenda" for each in found)


# --- the parts -----------------------------------------------------------------------------------


def test_texts_have_the_length_that_is_asked_for():
    assert [estimate_tokens(text_of(n)) for n in range(1, 600)] == list(range(1, 600))


def test_minutes_are_whole_within_their_length_and_lose_sections_beyond():
    for tokens in range(60, 600, 7):
        text = minutes_of(tokens, tokens, is_complete=True)
        assert parse_synthesis(text).missing == ()
        assert estimate_tokens(text) <= tokens
    assert parse_synthesis(minutes_of(300, 300, is_complete=False)).missing == ("Blockers",)
    assert "Blockers" in parse_synthesis(minutes_of(200, 400, is_complete=True)).missing
    assert minutes_of(1, 400, is_complete=True)


def test_lengths_are_spread_as_they_are_described():
    random = Random(1)
    spread = [sample_tokens(BetaLength(min=40, mean=90, max=300), random) for _ in range(4_000)]
    assert 40 <= min(spread) <= max(spread) <= 300
    assert sum(spread) / len(spread) == pytest.approx(90, rel=0.03)
    span = sorted(sample_tokens(LogNormalLength(p50=100, p95=300), random) for _ in range(4_000))
    assert span[2_000] == pytest.approx(100, rel=0.05)
    assert span[3_800] == pytest.approx(300, rel=0.08)
    assert {sample_tokens(BetaLength(min=5, mean=5, max=9), random) for _ in range(9)} == {5}
    assert {sample_tokens(7, random), sample_tokens(LogNormalLength(p50=7, p95=7), random)} == {7}


def test_percentiles_are_values_by_the_nearest_rank():
    found = percentiles_of("x", range(1, 101))
    assert (found.p5, found.p50, found.p95, found.max) == (5, 50, 95, 100)
    assert percentiles_of("x", [3]).p5 == 3


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (18_291, 18_300),
        (18_300, 18_300),
        (999.1, 1_000),
        (0.018_219, 0.018_3),
        (0, 0),
        (47.2, 47.2),
    ],
)
def test_advice_is_rounded_up(value: float, rounded: float):
    assert round_up(value) == rounded
