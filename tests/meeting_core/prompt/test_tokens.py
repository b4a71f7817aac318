"""The estimate of tokens: pure, linear, rather too many than too few, never above the bytes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meeting_core import estimate_tokens
from meeting_core.model import CUT_MARK
from meeting_core.prompt import cut_to_tokens

TEXTS = (
    st.text(max_size=400)
    | st.text("<>ab \n.,!?0{}\u4f1a\U0001f600", max_size=400)
    | st.text("aA\u00e9\u0119\u03b1\u0436\u05d0\U0001f600", max_size=400)
)


def size_of(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@given(TEXTS)
@example("!" * 300)
@example("\ud800")
@example("a")
@example("aAA" * 100)
@example("a" * 300)
def test_an_estimate_is_never_above_the_bytes_and_never_nothing_for_something(text: str):
    assert (text != "") <= estimate_tokens(text) <= size_of(text)


@given(st.lists(TEXTS.map(str.strip), max_size=6))
@example(["!" * 300, "x" * 300])
def test_joined_texts_cost_no_more_than_their_parts_and_the_line_ends(texts: list[str]):
    line_ends = estimate_tokens("\n") * max(len(texts) - 1, 0)
    assert estimate_tokens("\n".join(texts)) <= sum(map(estimate_tokens, texts)) + line_ends


@given(TEXTS, TEXTS)
def test_a_longer_text_never_costs_less(text: str, more: str):
    assert estimate_tokens(text) <= estimate_tokens(f"{text}\n{more}")


@pytest.mark.parametrize("letter", ["a", "é", "1", " ", "\n", "会", "!", "\U0001f600"])
def test_a_run_of_fifty_thousand_costs_twice_a_run_of_half_that(letter: str):
    half, whole = (estimate_tokens(letter * size) for size in (25_000, 50_000))
    assert 2 * half - 2 <= whole <= 2 * half


@pytest.mark.parametrize(
    ("text", "min_tokens"),
    [
        ("The meeting begins at nine and ends at ten.", 10),
        ('{"id": 1, "names": ["ann", "bob"]}', 15),
        ("会議は九時に始まり十時に終わります", 15),
        ("Das Protokoll wird später verschickt", 7),
        ("\U0001f600" * 5, 10),
    ],
)
def test_an_estimate_errs_on_the_safe_side(text: str, min_tokens: int):
    assert estimate_tokens(text) >= min_tokens


@given(TEXTS, st.integers(0, 120))
@example("!?" * 500, 100)
@example(" " * 300, 20)
def test_a_cut_text_stays_within_its_limit_and_shows_the_cut(text: str, limit: int):
    cut = cut_to_tokens(text, limit)
    assert estimate_tokens(cut) <= limit
    if cut != text:
        assert cut == "" or cut.endswith(CUT_MARK)
        assert text.startswith(cut.removesuffix(CUT_MARK))


def test_a_text_within_the_limit_is_left_alone():
    assert cut_to_tokens("short", 5) == "short"
    assert cut_to_tokens("", 0) == ""


def test_not_even_the_mark_fits_into_nothing():
    assert cut_to_tokens("word " * 100, estimate_tokens(CUT_MARK) - 1) == ""
