"""What a provider adds to every prompt: a ceiling is passed by the first call alone."""

from collections.abc import Callable

import pytest

from meeting_core import Ask, Configuration, Meeting, Participant, ReportedUsage
from meeting_core.budget import synthesis_share
from meeting_core.model import (
    AcceptReply,
    Command,
    Completed,
    ModelProfile,
    Reservation,
    SynthesisTask,
    Usage,
)
from meeting_core.model.token_factors import NO_SCRIPTS
from tests.builders import SYNTHESIS
from tests.ledger import assert_within_ceiling
from tests.meeting_core.scenario import Stage

PARTICIPANTS = (Participant("ann", "Ann", model="m"), Participant("bob", "Bob", model="m"))
Counts = Callable[[int], int]


def always(tokens: int) -> Counts:
    return lambda _: tokens


def beside(tokens: int) -> Counts:
    return lambda sent: sent + tokens


def held(counts: Counts, words: int = 5, **changes: object) -> Stage:
    """Hold a meeting whose provider counts prompts so, by our estimate of what was sent."""

    def answer(ask: Ask, meeting: Meeting) -> Command:
        assert meeting.open_attempt is not None
        text = SYNTHESIS if isinstance(ask.task, SynthesisTask) else "word " * words
        usage = ReportedUsage(counts(meeting.open_attempt.manifest.tokens), 20)
        return AcceptReply(ask.task, ask.number, text, "stop", usage)

    config = Configuration(participants=PARTICIPANTS, num_rounds=3, **changes)  # type: ignore[arg-type]
    return Stage(config, answer).play()


@pytest.mark.parametrize("ceiling", [5_000, 9_000, 12_000, 14_500, 21_000, 30_000])
@pytest.mark.parametrize("words", [5, 150])
@pytest.mark.parametrize(
    "counts",
    [always(2_000), always(4_000), beside(700), beside(2_000), beside(4_000), beside(40_000)],
)
def test_a_ceiling_is_passed_by_the_first_surprise_alone(
    counts: Counts, words: int, ceiling: int
) -> None:
    stage = held(counts, words, meeting_tokens=ceiling, context_tokens=1_500, on_budget="wrap_up")
    spent = assert_within_ceiling(stage.events)
    first = counts(stage.attempts[0].manifest.tokens) + max(20, words)
    assert spent.tokens <= max(ceiling, first)
    assert isinstance(stage.facts[-1], Completed)


def test_the_second_reservation_holds_what_the_first_call_showed() -> None:
    first, second, *_ = held(always(4_000)).attempts
    assert first.reserved.prompt_tokens == first.manifest.tokens
    assert second.reserved.prompt_tokens == second.manifest.tokens + 4_000 - first.manifest.tokens
    assert second.reserved.output_tokens == first.reserved.output_tokens


def test_a_brief_is_as_long_as_without_them() -> None:
    """What a provider adds is no part of the context that the meeting was given for its briefs."""
    plain, added = (held(beside(n), 150, context_tokens=1_500).attempts for n in (0, 40_000))
    assert [each.manifest.tokens for each in added] == [each.manifest.tokens for each in plain]


def after(known: ModelProfile, estimated: int, counted: int) -> ModelProfile:
    reserved = Reservation(known.prompt_tokens(estimated, NO_SCRIPTS), 200)
    return known.after_call(Usage(counted, 20, "reported"), reserved, estimated)


def test_it_is_learnt_at_once_and_forgotten_slowly() -> None:
    known = after(ModelProfile("m"), 250, 4_000)
    assert known == ModelProfile("m", prompt_beyond_tokens=3_750)
    assert known.prompt_tokens(250, NO_SCRIPTS) == 4_000
    assert after(known, 250, 4_800).prompt_beyond_tokens == 4_550
    assert after(known, 250, 250).prompt_beyond_tokens == 3_750 - 469
    for _ in range(80):
        known = after(known, 250, 250)
    assert known.prompt_beyond_tokens == 0


def test_a_tokenizer_that_the_factor_explains_teaches_nothing_else() -> None:
    known = ModelProfile("m")
    for estimated in (250, 900, 400, 3_000):
        known = after(known, estimated, estimated * 14 // 10)
    assert known.prompt_beyond_tokens == 0


def test_a_longer_brief_alone_is_no_reason_to_set_aside_more() -> None:
    """A model that counts twice what we estimate: its factor explains the later calls."""
    known = after(ModelProfile("m"), 250, 500)
    for estimated in (400, 900, 3_000):
        known = after(known, estimated, 2 * estimated)
    assert known.prompt_tokens(250, NO_SCRIPTS) <= 750


@pytest.mark.parametrize("factor", [250, 700, 1_000, 1_333, 3_000])
@pytest.mark.parametrize("beyond", [0, 1, 333, 4_000])
def test_what_may_be_shown_never_passes_what_the_prompt_may_take(factor: int, beyond: int) -> None:
    known = ModelProfile("m", factor, prompt_beyond_tokens=beyond)
    for allowed in (beyond, beyond + 1, beyond + 777, beyond + 5_001):
        estimate = known.estimate_within(known.max_shown_tokens(allowed))
        assert known.prompt_tokens(estimate, NO_SCRIPTS) <= allowed


def test_a_provider_that_adds_nothing_any_more_is_believed() -> None:
    calls = iter([4_000, *[0] * 20])
    stage = held(lambda sent: sent + next(calls))
    turns = stage.meeting.turns
    assert turns[1].prompt_tokens == stage.attempts[1].manifest.tokens
    reserved = [each.reserved.prompt_tokens - each.manifest.tokens for each in stage.attempts]
    assert reserved[1:] == sorted(reserved[1:], reverse=True)
    assert reserved[-1] < reserved[1]


def test_the_share_of_the_minutes_grows_with_it() -> None:
    config = Configuration(participants=PARTICIPANTS)
    known = ModelProfile("m", prompt_beyond_tokens=4_000)
    assert synthesis_share(config, known) == synthesis_share(config) + 4_000
