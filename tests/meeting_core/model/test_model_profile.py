"""The factor learnt from reported usage: bounded, quick to rise, slow to fall, hard to fool."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_core.model import (
    MAX_FACTOR,
    MIN_FACTOR,
    UNCALIBRATED,
    next_factor,
    scaled,
)

FACTORS = st.integers(MIN_FACTOR, MAX_FACTOR)
TOKENS = st.integers(0, 2_000_000)


def after(reports: list[tuple[int, int]], factor: int = UNCALIBRATED) -> int:
    return reduce(lambda so_far, report: next_factor(so_far, *report), reports, factor)


def test_a_report_above_the_estimate_counts_at_once():
    assert next_factor(UNCALIBRATED, 100, 130) == 1_300


def test_a_first_report_below_the_estimate_counts_whole_with_a_margin_down_to_a_quarter():
    assert next_factor(UNCALIBRATED, 100, 60) == 637
    assert next_factor(UNCALIBRATED, 100, 11) == 250


def test_a_later_report_below_the_estimate_counts_for_an_eighth():
    assert next_factor(900, 100, 60) == 863


def test_a_factor_that_fell_by_a_mistake_is_back_at_its_start_after_one_report():
    assert next_factor(250, 100, 100) == UNCALIBRATED
    assert next_factor(250, 100, 160) == UNCALIBRATED


def test_a_single_report_raises_the_factor_by_half_at_most():
    assert next_factor(UNCALIBRATED, 100, 900) == 1_500


def test_the_factor_covers_a_steady_truth_after_a_few_calls_and_comes_down_to_it_again():
    assert after([(100, 280)] * 3) == 2_800
    assert 700 <= after([(100, 70)] * 60, 2_800) < 710


def test_an_outlier_is_forgotten():
    assert after([(100, 900), *[(100, 100)] * 40]) < 1_010


@pytest.mark.parametrize("report", [(100, 0), (0, 100), (0, 0), (100, 1_001), (100, 9), (100, -5)])
def test_a_report_that_cannot_be_true_changes_nothing(report: tuple[int, int]):
    assert next_factor(1_234, *report) == 1_234


@given(FACTORS, TOKENS, TOKENS)
def test_the_factor_stays_within_its_bounds_and_moves_towards_what_was_seen(
    factor: int, estimated: int, reported: int
):
    moved = next_factor(factor, estimated, reported)
    assert MIN_FACTOR <= moved <= MAX_FACTOR
    if moved > factor:
        assert scaled(estimated, factor) < reported
    if moved < factor:
        assert scaled(estimated, moved) >= reported or moved == MIN_FACTOR


@given(FACTORS, TOKENS, TOKENS, TOKENS)
def test_more_reported_never_gives_a_lower_factor(
    factor: int, estimated: int, one: int, another: int
):
    ratio_believed = [each for each in (one, another) if estimated <= 10 * each <= 100 * estimated]
    results = [next_factor(factor, estimated, each) for each in sorted(ratio_believed)]
    assert results == sorted(results)


@given(TOKENS, FACTORS)
def test_a_scaled_estimate_is_rounded_up_and_never_nothing_for_something(tokens: int, factor: int):
    result = scaled(tokens, factor)
    assert result * 1_000 - 1_000 < tokens * factor <= result * 1_000
    assert (result == 0) == (tokens == 0)


def test_the_factor_of_the_start_changes_no_estimate():
    assert scaled(123, UNCALIBRATED) == 123
