"""The estimate of tokens against true vocabularies: never further below than is stated."""

import sys
from collections.abc import Callable

import pytest

from bench.corpora import corpora, letters
from bench.tokens import MIN_RATIO, Measured, measured, true_tokens
from meeting_core import estimate_tokens

MAX_FOR_PROSE = 1.6
MEASURED = list(measured())


def calls_into_c(work: Callable[[], object]) -> int:
    """Count the C functions that a piece of work calls."""
    calls = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "c_call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("text", MEASURED, ids=lambda text: text.name)
def test_the_estimate_is_never_below_the_stated_share_of_the_truth(text: Measured):
    assert min(text.ratios) >= text.promised


@pytest.mark.parametrize("name", ["english", "german", "minutes"])
def test_the_estimate_is_not_far_above_the_truth_for_prose(name: str):
    (text,) = (each for each in MEASURED if each.name == name)
    assert max(text.ratios) <= MAX_FOR_PROSE


@pytest.mark.parametrize("letter_case", [str.lower, str.upper], ids=["small", "capital"])
def test_a_word_of_fifty_thousand_letters_is_estimated_no_less_truly(
    letter_case: Callable[[str], str],
):
    word = letter_case(letters(50_000))
    assert estimate_tokens(word) >= MIN_RATIO * max(true_tokens(word))


@pytest.mark.parametrize("name", sorted(corpora()))
def test_a_text_takes_the_same_number_of_passes_however_long_it_is(name: str):
    text = corpora()[name][:100]
    short, long = (
        calls_into_c(lambda times=times: estimate_tokens(text * times)) for times in (10, 500)
    )
    assert short == long
