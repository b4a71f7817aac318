"""Small words: what can be stored, how a time is written, how a call is named."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meeting_core import Phase, Usage
from meeting_core.model import (
    FINAL_PHASES,
    Reservation,
    SynthesisTask,
    call_key,
    clean_text,
    is_storable,
    milliseconds_utc,
)
from tests.builders import MEETING_ID, turn

KEPT_CONTROLS = "\t\n\r"


def is_unprintable(character: str) -> bool:
    code = ord(character)
    is_control = code < 0x20 or 0x7F <= code <= 0x9F
    return (is_control and character not in KEPT_CONTROLS) or 0xD800 <= code <= 0xDFFF


@given(st.text(st.characters(codec=None), max_size=60))
@example("a\x00b\ud800c\x1b[31m\x9f\x7f\tkept\r\n")
@example("\u2028\u00a0\u200b\ufeff")
def test_cleaning_takes_out_controls_and_surrogates_and_counts_them(text: str):
    kept = "".join(character for character in text if not is_unprintable(character))
    assert clean_text(text) == (kept, len(text) - len(kept))
    assert is_storable(kept)


@given(st.text(st.characters(codec=None), max_size=60))
def test_a_storable_text_has_neither_nul_nor_lone_surrogates(text: str):
    has_surrogate = any(0xD800 <= ord(character) <= 0xDFFF for character in text)
    assert is_storable(text) == ("\x00" not in text and not has_surrogate)


@pytest.mark.parametrize(
    ("microsecond", "written"),
    [(0, "10:45:00.000Z"), (999, "10:45:00.000Z"), (1_000, "10:45:00.001Z"), (999_999, ".999Z")],
)
def test_a_time_is_written_with_milliseconds_and_never_rounded_up(microsecond: int, written: str):
    text = milliseconds_utc(datetime(2026, 11, 23, 10, 45, 0, microsecond, tzinfo=UTC))
    assert text.startswith("2026-11-23T")
    assert text.endswith(written)


def test_a_call_is_named_by_meeting_task_and_attempt():
    assert call_key(MEETING_ID, turn("ann", 2), 3) == f"{MEETING_ID}/round-2-ann/3"
    assert call_key(MEETING_ID, SynthesisTask(), 1) == f"{MEETING_ID}/synthesis/1"


def test_totals_are_the_prompt_and_the_answer():
    assert Usage(90, 6, "reported").total == 96
    assert Reservation(100, 200).total == 300


def test_three_phases_are_final():
    assert {Phase.COMPLETE, Phase.CANCELLED, Phase.ERROR} == FINAL_PHASES
