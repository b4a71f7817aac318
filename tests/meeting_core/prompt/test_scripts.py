"""The parts of an estimate by script: which letters are whose, and what a brief records of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_core import build_brief, decide, estimate_tokens
from meeting_core.model import (
    AS_ESTIMATED,
    NO_SCRIPTS,
    UNKNOWN_MODEL,
    AttemptStarted,
    Convene,
    Convened,
    ModelFactors,
    StartAttempt,
    weighted,
)
from meeting_core.model.token_factors import values_of
from meeting_core.prompt import script_tokens, weighing
from tests.builders import (
    MEETING_ID,
    START,
    configuration,
    convened,
    meeting_after,
    round_opened,
    turn,
)

SAMPLES = {
    "latin": ["Das Protokoll wird verschickt", "Rapat dimulai tepat pukul", "tới cuộc họp sau"],
    "cyrillic": ["Протокол разошлют завтра", "Протокол надішлють", "Ще не зараз"],
    "alphabet": ["πρακτικά", "συνεδρίαση", "سيرسل المحضر غدا", "הפרוטוקול יישלח"],
    "asian": ["会议记录明天发出", "議事録は明日", "รายงานการประชุม"],
    "hangul": ["회의록은 내일", "감사합니다", "안건"],
    "devanagari": ["कार्यवृत्त कल", "बैठक", "धन्यवाद"],
    "other": ["கூட்டம் நாளை", "ოქმი ხვალ", "ስብሰባ ነገ", "Ժողով վաղը"],
}


@pytest.mark.parametrize("script", SAMPLES)
def test_letters_are_counted_for_their_script_and_for_no_other(script: str):
    for text in SAMPLES[script]:
        parts = script_tokens((text,))
        assert [name for name in parts.__struct_fields__ if getattr(parts, name)] == [script], text


def test_english_words_digits_and_marks_belong_to_no_script():
    english = "We agreed that the offer is fair, and that the work can begin in the spring."
    assert script_tokens((english, "12.50 + 3 = 15.50", "")) == NO_SCRIPTS


@given(st.text(max_size=300))
def test_a_text_costs_what_an_unknown_model_may_take_and_never_less_than_its_estimate(text: str):
    weigh = weighing(estimate_tokens, UNKNOWN_MODEL)
    assert estimate_tokens(text) <= weigh(text) <= 4 * len(text.encode("utf-8", "ignore")) + 1


@given(st.lists(st.text("ab \n.é会会가Ж1", max_size=80), max_size=5))
def test_the_parts_of_texts_together_are_those_of_each(texts: list[str]):
    together, alone = values_of(script_tokens(texts)), [0] * 7
    for text in texts:
        alone = [a + b for a, b in zip(alone, values_of(script_tokens((text,))), strict=True)]
    for whole, parts in zip(together, alone, strict=True):
        assert parts <= whole <= parts + len(texts)


def test_an_exact_counter_needs_no_parts():
    assert script_tokens(("회의록",), len) == NO_SCRIPTS
    config = configuration(context_tokens=9_000)
    (fact,) = decide(None, Convene(MEETING_ID, config), START, len)
    assert isinstance(fact, Convened)
    assert fact.token_factors == ()


def test_a_reservation_is_weighed_and_a_brief_fits_by_that_weight():
    goal = "회의록은 내일 보내 드리겠습니다. " * 40
    (opening,) = decide(None, Convene(MEETING_ID, configuration(goal=goal)), START)
    meeting = meeting_after(opening, round_opened(1))
    (started,) = decide(meeting, StartAttempt(turn()), START)
    assert isinstance(started, AttemptStarted)
    shown = started.manifest
    assert shown.scripts.hangul > 500
    assert started.reserved.prompt_tokens == weighted(shown.tokens, shown.scripts, UNKNOWN_MODEL)
    assert started.reserved.prompt_tokens > 1.8 * shown.tokens
    assert build_brief(meeting, turn(), "ann").manifest == shown


def test_a_meeting_without_factors_counts_as_it_did_when_it_was_convened():
    goal = "회의록은 내일 " * 20
    (started,) = decide(
        meeting_after(convened(goal=goal), round_opened(1)), StartAttempt(turn()), START
    )
    assert isinstance(started, AttemptStarted)
    assert started.reserved.prompt_tokens == started.manifest.tokens


def test_a_document_is_cut_as_its_models_count():
    def kept(factors: tuple[ModelFactors, ...]) -> int:
        config = configuration(document_context="회의록은 내일 " * 2_000)
        (fact,) = decide(None, Convene(MEETING_ID, config, token_factors=factors), START)
        assert isinstance(fact, Convened)
        return len(fact.configuration.document_context)

    unknown, known = kept(()), kept((ModelFactors("", AS_ESTIMATED),))
    assert 1.8 * unknown < known < 3 * unknown
