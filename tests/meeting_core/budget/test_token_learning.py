"""How a model counts: safe before anything is known, near after one meeting, hard to fool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.small_vocabulary import languages, small_tokens
from bench.tokens import start_tokens, true_tokens
from meeting_core import Meeting, ReportedUsage, estimate_tokens
from meeting_core.budget import (
    NOTHING_LEARNT,
    CountedCall,
    LearntFactors,
    counted_calls,
    learnt_from,
)
from meeting_core.model import (
    MAX_FACTOR,
    MIN_FACTOR,
    NO_SCRIPTS,
    UNKNOWN_MODEL,
    AcceptReply,
    Command,
    Convene,
    ModelFactors,
    ScriptTokens,
    SynthesisTask,
    TokenFactors,
    uniform,
    weighted,
)
from meeting_core.model.token_factors import values_of
from meeting_core.prompt import script_tokens
from meeting_core.steps import Ask
from tests.builders import MEETING_ID, configuration
from tests.meeting_core.scenario import Stage

LANGUAGES = languages()
ENGLISH_SHARE = 0.85
"""What SmolLM2 takes for a token of our estimate, for the templates and marks of a brief."""

OTHER_SECTIONS = "## Action Items\nNone\n## Decisions\nNone\n## Blockers\nNone"


def counted(ask: Ask, paragraphs: tuple[str, ...]) -> int:
    """Count a brief as the small vocabulary does: what was said exactly, the rest about."""
    rest, tokens = "\n".join(each.content for each in ask.messages), 0
    for paragraph in paragraphs:
        tokens += rest.count(paragraph) * small_tokens(paragraph)
        rest = rest.replace(paragraph, "")
    return tokens + round(ENGLISH_SHARE * estimate_tokens(rest))


def meeting_in(language: str, factors: tuple[ModelFactors, ...] = ()) -> tuple[Stage, list[float]]:
    """Hold a meeting in a language; return it, and estimate over truth of each of its calls."""
    paragraphs, ratios = LANGUAGES[language], []

    def answer(ask: Ask, meeting: Meeting) -> Command:
        assert meeting.open_attempt is not None
        prompt = counted(ask, paragraphs)
        ratios.append(meeting.open_attempt.reserved.prompt_tokens / prompt)
        text = paragraphs[len(ratios) % len(paragraphs)]
        if isinstance(ask.task, SynthesisTask):
            text = f"## Discussion Summary\n{text}\n{OTHER_SECTIONS}"
        return AcceptReply(ask.task, ask.number, text, "stop", ReportedUsage(prompt, 100))

    config = configuration(
        goal=paragraphs[0],
        num_rounds=3,
        round_topics=("One", "Two", "Three"),
        max_tokens_per_turn=1_000,
        context_tokens=6_000,
    )
    stage = Stage(config, answer, Convene(MEETING_ID, config, token_factors=factors))
    return stage.play(), ratios


def learnt_in(language: str, known: LearntFactors = NOTHING_LEARNT) -> LearntFactors:
    stage, _ = meeting_in(language)
    ((key, calls),) = counted_calls(stage.events).items()
    assert key == ("", "")
    return learnt_from(known, calls)


def ratio(language: str, factors: TokenFactors) -> float:
    """Return estimate over truth for what is said in a language."""
    text = "\n\n".join(LANGUAGES[language])
    expected = weighted(estimate_tokens(text), script_tokens((text,)), factors)
    return expected / small_tokens(text)


def test_there_are_eighteen_languages():
    assert len(LANGUAGES) == 18


@pytest.mark.parametrize("language", LANGUAGES)
def test_before_anything_is_known_the_estimate_is_safe_for_a_small_vocabulary(language: str):
    assert 0.9 <= ratio(language, UNKNOWN_MODEL) <= 1.7
    for paragraph in LANGUAGES[language]:
        assert start_tokens(paragraph) >= 0.85 * small_tokens(paragraph)


@pytest.mark.parametrize("language", LANGUAGES)
def test_after_the_first_meeting_in_a_language_the_estimate_is_near_the_truth(language: str):
    _, first = meeting_in(language)
    assert 0.9 <= min(first) <= max(first) <= 1.7
    learnt = learnt_in(language)
    factors = learnt.over(UNKNOWN_MODEL)
    assert 0.95 <= ratio(language, factors) <= 1.3
    _, second = meeting_in(language, (ModelFactors("", factors),))
    assert 0.95 <= min(second) <= max(second) <= 1.3


@pytest.mark.parametrize("language", ["english", "french", "greek", "hindi", "russian", "thai"])
def test_a_meeting_in_another_language_begins_safe_after_many_in_one(language: str):
    learnt = NOTHING_LEARNT
    for _ in range(5):
        learnt = learnt_in(language, learnt)
    for other in LANGUAGES:
        assert ratio(other, learnt.over(UNKNOWN_MODEL)) >= 0.88, other


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_start_is_never_below_what_large_vocabularies_take(language: str):
    text = "\n\n".join(LANGUAGES[language])
    assert start_tokens(text) >= 0.95 * max(true_tokens(text))


RUSSIAN = CountedCall(1_000, ScriptTokens(cyrillic=600), 1_100)


def absurd(reported: int) -> CountedCall:
    return CountedCall(1_000, ScriptTokens(cyrillic=600), reported)


@pytest.mark.parametrize("reported", [1, 111, 9_000, 10**9])
def test_an_absurd_report_among_others_teaches_nothing(reported: int):
    calls = [RUSSIAN] * 4
    assert learnt_from(NOTHING_LEARNT, [*calls, absurd(reported)]) == learnt_from(
        NOTHING_LEARNT, calls
    )


def test_a_meeting_of_absurd_reports_moves_what_is_known_by_bounds_only():
    known = learnt_from(NOTHING_LEARNT, [RUSSIAN] * 4)
    for reported in (300, 9_000):
        moved = learnt_from(known, [absurd(reported)] * 20)
        for before, after in zip(values_of(known.factors), values_of(moved.factors), strict=True):
            assert before / 4 - 1 <= after <= before * 1.5 + 1


def test_too_few_calls_or_too_little_of_a_script_teach_nothing():
    assert learnt_from(NOTHING_LEARNT, []) == NOTHING_LEARNT
    assert learnt_from(NOTHING_LEARNT, [RUSSIAN]) == NOTHING_LEARNT
    short = CountedCall(900, ScriptTokens(hangul=40), 700)
    learnt = learnt_from(NOTHING_LEARNT, [short] * 4)
    assert learnt.scripts == ("base",)
    assert learnt.factors.hangul == UNKNOWN_MODEL.hangul


def test_what_was_not_learnt_begins_as_the_gateway_is_set():
    learnt = learnt_from(NOTHING_LEARNT, [RUSSIAN] * 4)
    start = learnt.over(uniform(1_200))
    assert (start.cyrillic, start.hangul) == (learnt.factors.cyrillic, 1_200)


PARTS = st.builds(ScriptTokens, *[st.integers(0, 500)] * 7)


@given(st.lists(st.builds(CountedCall, st.integers(0, 9_000), PARTS, st.integers(0, 99_000))))
def test_whatever_is_reported_the_factors_stay_within_their_bounds(calls: list[CountedCall]):
    learnt = learnt_from(NOTHING_LEARNT, calls)
    assert all(MIN_FACTOR <= each <= MAX_FACTOR for each in values_of(learnt.factors))


@given(st.integers(0, 9_000), PARTS)
def test_more_of_a_script_that_takes_more_never_costs_less(tokens: int, parts: ScriptTokens):
    total = tokens + sum(values_of(parts))
    assert weighted(total, parts, UNKNOWN_MODEL) >= total
    assert weighted(total, NO_SCRIPTS, UNKNOWN_MODEL) == total
