"""What is believed of a provider's counts: what can be true, and an estimate where not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_core import ReportedUsage, Usage
from meeting_core.model import believed_usage

PROMPT = 100
"""Our estimate of every prompt here."""


def believed(
    reported: ReportedUsage | None, *, text: int = 10, thought: int = 0, uncounted: int = 0
) -> Usage:
    return believed_usage(
        reported,
        prompt_tokens=PROMPT,
        text_tokens=text,
        thought_tokens=thought,
        uncounted_tokens=uncounted,
    )


@pytest.mark.parametrize(
    "reported",
    [
        ReportedUsage(100, 10, 2_110, 2_000),  # beside what was written, and in the total
        ReportedUsage(100, 10, None, 2_000),
        ReportedUsage(100, 2_010, 2_110, 2_000),  # within what was written
        ReportedUsage(100, 2_010, None, 2_000),
        ReportedUsage(100, 10, 2_110),  # in the total alone
        ReportedUsage(100, None, 2_110, 2_000),
        ReportedUsage(None, 2_010, 2_110, 2_000),
        ReportedUsage(None, 10, 2_110, 2_000),
    ],
)
def test_thoughts_are_charged_and_told_apart_wherever_they_are_counted(reported: ReportedUsage):
    assert believed(reported) == Usage(100, 2_010, "reported", 2_000)


@pytest.mark.parametrize("text", [41, 60, 200, 2_000])
@pytest.mark.parametrize("completion", [10, 0, None])
def test_thoughts_are_not_charged_beside_a_total_that_has_them(text: int, completion: int | None):
    reported = ReportedUsage(100, completion, 2_110, 2_000)
    assert believed(reported, text=text) == Usage(100, 2_010, "reported", 2_000)


def test_a_total_tells_thoughts_beside_from_thoughts_within():
    assert believed(ReportedUsage(100, 500, 600, 400)) == Usage(100, 500, "reported", 400)
    assert believed(ReportedUsage(100, 500, 1_000, 400)) == Usage(100, 900, "reported", 400)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (ReportedUsage(100, 0, 100), Usage(100, 10, "partly_reported")),
        (ReportedUsage(100), Usage(100, 10, "partly_reported")),
        (ReportedUsage(100, -3), Usage(100, 10, "partly_reported")),
        (ReportedUsage(110, 10**12), Usage(110, 10, "partly_reported")),
        (ReportedUsage(None, 12), Usage(100, 12, "partly_reported")),
        (ReportedUsage(0, 12, 12), Usage(100, 12, "partly_reported")),
        (ReportedUsage(-1, 12), Usage(100, 12, "partly_reported")),
        (ReportedUsage(10**12, 12), Usage(100, 12, "partly_reported")),
        (ReportedUsage(None, 12, 122), Usage(110, 12, "reported")),
        (ReportedUsage(110, None, 122), Usage(110, 12, "reported")),
        (ReportedUsage(None, None, 500), Usage(100, 400, "partly_reported")),
        (ReportedUsage(0, 0, 500), Usage(100, 400, "partly_reported")),
        (ReportedUsage(None, None, 55), Usage(50, 5, "partly_reported")),
        (ReportedUsage(), Usage(100, 10, "estimated")),
        (ReportedUsage(0, 0, 0), Usage(100, 10, "estimated")),
        (ReportedUsage(-5, -5, -10), Usage(100, 10, "estimated")),
        (ReportedUsage(10**12, 10**12, 2 * 10**12), Usage(100, 10, "estimated")),
        (None, Usage(100, 10, "estimated")),
    ],
)
def test_a_half_that_is_missing_or_cannot_be_true_is_estimated_and_said(
    reported: ReportedUsage | None, usage: Usage
):
    assert believed(reported) == usage


@pytest.mark.parametrize("written", [0, 1, 20, 124])
def test_a_count_far_below_the_text_that_came_is_estimated(written: int):
    assert believed(ReportedUsage(100, written), text=500) == Usage(100, 500, "partly_reported")


@pytest.mark.parametrize("prompt", [1, 24])
def test_a_prompt_far_below_its_estimate_is_estimated(prompt: int):
    assert believed(ReportedUsage(prompt, 10)) == Usage(100, 10, "partly_reported")


@pytest.mark.parametrize("written", [125, 300, 5_000])
def test_a_count_that_the_text_allows_is_believed(written: int):
    assert believed(ReportedUsage(100, written), text=500) == Usage(100, written, "reported")


def test_a_prompt_with_a_providers_own_instructions_is_believed():
    assert believed(ReportedUsage(20_100, 10)) == Usage(20_100, 10, "reported")


def test_thoughts_that_came_are_estimated_where_they_are_not_counted():
    assert believed(None, thought=300) == Usage(100, 310, "estimated", 300)
    beside = Usage(100, 310, "partly_reported", 300)
    assert believed(ReportedUsage(100, 10), thought=300) == beside
    assert believed(ReportedUsage(100, 0), thought=300) == beside
    assert believed(ReportedUsage(100, 310), thought=300) == Usage(100, 310, "reported", 300)
    assert believed(ReportedUsage(100, 10, 410), thought=300) == Usage(100, 310, "reported", 300)


def test_a_failed_call_of_which_the_output_is_not_counted_may_have_cost_its_whole_reservation():
    """`uncounted_tokens` is what it may have written."""
    opening = ReportedUsage(100, 1)  # as some providers report it before the first word
    assert believed(opening, text=0, thought=150, uncounted=200).total == 300
    assert believed(opening, text=0, thought=350, uncounted=200).total == 450
    silent = ReportedUsage(100, 0, 100)
    assert believed(silent, text=0) == Usage(100, 0, "reported")


COUNTS = st.none() | st.integers(-10, 3_000) | st.sampled_from([10**9, 10**18])


REPORTS = st.builds(ReportedUsage, COUNTS, COUNTS, COUNTS, st.integers(-5, 2_500))


@given(REPORTS, st.integers(1, 600), st.integers(0, 600))
def test_whatever_is_reported_the_usage_is_possible_and_never_below_a_possible_total(
    reported: ReportedUsage, text: int, seen: int
):
    total = reported.total_tokens
    usage = believed(reported, text=text, thought=seen)
    assert usage.prompt_tokens > 0
    assert 0 <= usage.reasoning_tokens <= usage.completion_tokens
    assert usage.completion_tokens > 0
    assert usage.total < 1_000_000
    if total is not None and PROMPT + text + seen <= total < 10**9:
        assert usage.total >= total
