"""A meeting is convened once, and only with a configuration that can be held."""

from typing import Any

import pytest
from msgspec.structs import replace

from meeting_core import Configuration, InvalidConfiguration, Limits, Participant, decide
from meeting_core.decider.convening import default_topics
from meeting_core.errors import AlreadyConvened
from meeting_core.model import UNKNOWN_MODEL, Convene, Convened, ModelFactors
from meeting_core.prompt import document_scripts, estimate_tokens, fixed_tokens
from tests.builders import (
    ANN,
    BOB,
    MEETING_ID,
    START,
    as_estimated,
    called,
    configuration,
    convene,
    convened,
    whole_meeting,
)
from tests.spec import given

NUL, SURROGATE = "before\x00after", "before\ud800after"


def problems_of(config: Configuration, limits: Limits | None = None) -> dict[str, str]:
    """Convene in vain, and give back what was wrong: field to detail."""
    with pytest.raises(InvalidConfiguration) as caught:
        decide(None, convene(config, limits or Limits()), START)
    assert str(caught.value) == "; ".join(f"{p.field}: {p.detail}" for p in caught.value.problems)
    return {problem.field: problem.detail for problem in caught.value.problems}


def participants(count: int) -> tuple[Participant, ...]:
    return tuple(Participant(f"agent-{n}", f"Agent {n}") for n in range(count))


def test_a_good_configuration_is_kept_whole():
    unknown = (ModelFactors("", UNKNOWN_MODEL),)
    given().when(Convene(MEETING_ID, configuration(), request_digest="abc")).then(
        Convened(configuration(), "abc", token_factors=unknown)
    )


def test_defaults_are_those_of_the_contract():
    config = Configuration(participants=(ANN, BOB))
    topics = (
        "What have you been working on?",
        "What will you focus on next?",
        "Any blockers, risks or things you need help with?",
    )
    given().when(convene(config)).then(called(replace(config, round_topics=topics)))
    assert (config.title, config.num_rounds) == ("Team Meeting", 3)
    assert (config.max_tokens_per_turn, config.synthesis_max_tokens) == (200, 500)
    assert (config.context_tokens, config.meeting_tokens) == (3_500, None)


def test_rounds_after_the_third_are_numbered():
    assert default_topics(5)[3:] == ("Round 4", "Round 5")
    assert len(default_topics(2)) == 2


def test_a_meeting_is_convened_once():
    given(convened()).when(Convene(MEETING_ID, configuration())).then_refused(AlreadyConvened)
    given(*whole_meeting()).when(convene(configuration())).then_refused(AlreadyConvened)


def test_a_participant_may_sit_once():
    given().when(Convene(MEETING_ID, configuration(participants=(ANN, BOB, ANN)))).then_refused(
        InvalidConfiguration, "participants", "'ann' 2 times"
    )


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_meeting_takes_two_to_eight_participants(count: int):
    assert problems_of(configuration(participants=participants(count))) == {
        "participants": f"has {count}; a meeting takes 2 to 8"
    }


@pytest.mark.parametrize("count", [2, 8])
def test_two_and_eight_participants_are_fine(count: int):
    config = configuration(participants=participants(count))
    given().when(convene(config)).then(called(config))


@pytest.mark.parametrize("agent_id", ["", "-ann", "ann bob", "a" * 65, "änn", "ann\n", NUL])
def test_an_agent_id_is_a_plain_word(agent_id: str):
    found = problems_of(configuration(participants=(ANN, Participant(agent_id, "Bob"))))
    assert found.keys() == {"participants[1].id"}


@pytest.mark.parametrize("text", [NUL, SURROGATE])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("title", lambda text: {"title": text}),
        ("goal", lambda text: {"goal": text}),
        ("room_id", lambda text: {"room_id": text}),
        ("project_id", lambda text: {"project_id": text}),
        ("document_context", lambda text: {"document_context": text}),
        ("parent_minutes", lambda text: {"parent_minutes": text}),
        ("round_topics[1]", lambda text: {"round_topics": ("One", text)}),
        *(
            (
                f"participants[0].{name}",
                lambda text, name=name: {"participants": (replace(ANN, **{name: text}), BOB)},
            )
            for name in ("name", "role", "instructions", "model", "gateway")
        ),
    ],
)
def test_no_text_may_hold_what_no_store_takes(field: str, change: Any, text: str):
    found = problems_of(configuration(**change(text)))
    assert found == {field: "contains a NUL character or a lone surrogate; remove it"}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("title", {"title": "x" * 201}),
        ("title", {"title": "one\ntwo"}),
        ("title", {"title": "  "}),
        ("goal", {"goal": "x" * 4_001}),
        ("room_id", {"room_id": "x" * 201}),
        ("room_id", {"room_id": ""}),
        ("project_id", {"project_id": "two\rlines"}),
        ("project_id", {"project_id": " "}),
        ("document_context", {"document_context": "x" * 400_001}),
        ("parent_minutes", {"parent_minutes": "x" * 400_001}),
        ("round_topics[0]", {"round_topics": ("", "Two")}),
        ("round_topics[1]", {"round_topics": ("One", " \t")}),
        ("round_topics[1]", {"round_topics": ("One", "x" * 501)}),
        ("round_topics", {"round_topics": ("Only one",)}),
        ("round_topics", {"round_topics": ("One", "Two", "Three")}),
        ("num_rounds", {"num_rounds": 0, "round_topics": ()}),
        ("num_rounds", {"num_rounds": 6, "round_topics": ()}),
        ("max_tokens_per_turn", {"max_tokens_per_turn": 31}),
        ("max_tokens_per_turn", {"max_tokens_per_turn": 32_001}),
        ("synthesis_max_tokens", {"synthesis_max_tokens": 31}),
        ("synthesis_max_tokens", {"synthesis_max_tokens": 32_001}),
        ("context_tokens", {"context_tokens": 255}),
        ("context_tokens", {"context_tokens": 1_000_001}),
        ("max_attempts", {"max_attempts": 0}),
        ("max_attempts", {"max_attempts": 11}),
        ("meeting_tokens", {"meeting_tokens": 0}),
        ("meeting_tokens", {"meeting_tokens": 3_500 + 500 + 255}),
        ("meeting_tokens", {"meeting_tokens": 1_000_000_001}),
        ("turn_timeout_seconds", {"turn_timeout_seconds": 0.0}),
        ("turn_timeout_seconds", {"turn_timeout_seconds": float("nan")}),
        ("synthesis_timeout_seconds", {"synthesis_timeout_seconds": -1.0}),
        ("meeting_timeout_seconds", {"meeting_timeout_seconds": float("inf")}),
        ("meeting_timeout_seconds", {"meeting_timeout_seconds": 86_401.0}),
        ("participants[1].name", {"participants": (ANN, Participant("bob", " "))}),
        ("participants[1].name", {"participants": (ANN, Participant("bob", "B\nob"))}),
        ("participants[1].role", {"participants": (ANN, Participant("bob", "Bob", "x" * 201))}),
        (
            "participants[1].instructions",
            {"participants": (ANN, Participant("bob", "Bob", instructions="x" * 8_001))},
        ),
        (
            "participants[1].model",
            {"participants": (ANN, Participant("bob", "Bob", model="x" * 201))},
        ),
        (
            "participants[1].gateway",
            {"participants": (ANN, Participant("bob", "Bob", gateway="a\nb"))},
        ),
    ],
)
def test_a_wrong_value_is_reported_with_its_field_alone(field: str, changes: dict[str, Any]):
    assert problems_of(configuration(**changes)).keys() == {field}


def test_every_wrong_field_is_reported_at_once():
    wrong = configuration(title="", participants=(ANN, ANN), num_rounds=9, max_attempts=0)
    assert problems_of(wrong).keys() == {
        "title",
        "participants",
        "num_rounds",
        "max_attempts",
        "round_topics",
    }


def test_timeouts_that_do_not_fit_are_refused_with_their_sum():
    config = configuration(turn_timeout_seconds=100.0, meeting_timeout_seconds=519.0)
    given().when(convene(config)).then_refused(
        InvalidConfiguration, "is 519", "4 turns of 100 s", "synthesis of 120 s", "take 520 s"
    )
    fits = replace(config, meeting_timeout_seconds=520.0)
    given().when(convene(fits)).then(called(fits))


def test_an_operator_may_raise_and_lower_the_limits():
    config = configuration(participants=participants(9))
    given().when(convene(config, Limits(max_participants=9))).then(called(config))
    assert problems_of(configuration(), Limits(max_rounds=1)).keys() == {"num_rounds"}


def test_a_context_too_small_for_what_every_brief_holds_is_refused_with_the_least():
    config = configuration(goal="plan " * 400, context_tokens=600)
    min_tokens = fixed_tokens(config) + config.max_tokens_per_turn
    detail = problems_of(config)["context_tokens"]
    assert "is 600" in detail
    assert f"at least {min_tokens} are needed" in detail
    fits = replace(config, context_tokens=min_tokens)
    given().when(convene(fits)).then(called(fits))


def test_a_document_is_cut_to_its_share_of_the_context_with_a_mark():
    config = configuration(document_context="lorem " * 10_000, parent_minutes="ipsum " * 10_000)
    (fact,) = decide(None, convene(config), START)
    assert isinstance(fact, Convened)
    kept = fact.configuration
    room = config.context_tokens - config.max_tokens_per_turn - fixed_tokens(configuration())
    for text, share in ((kept.document_context, 0.4), (kept.parent_minutes, 0.2)):
        assert text.endswith("\n[... cut here ...]")
        assert 0.8 * room * share < estimate_tokens(text) <= room * share
    assert fixed_tokens(kept) <= config.context_tokens - config.max_tokens_per_turn


def test_a_document_full_of_marks_leaves_room_for_a_turn():
    config = configuration(document_context="<turn" * 9_000, parent_minutes="<turn" * 9_000)
    (fact,) = decide(None, convene(config), START)
    assert isinstance(fact, Convened)
    assert fixed_tokens(fact.configuration) <= config.context_tokens - config.max_tokens_per_turn


def test_a_document_that_fits_is_kept_as_it_is():
    texts = {"document_context": "a short text", "parent_minutes": "# Minutes"}
    config = configuration(**texts)
    scripts = document_scripts(config, estimate_tokens)
    given().when(convene(config)).then(
        replace(convened(**texts), token_factors=as_estimated(config), document_scripts=scripts)
    )
    assert convened(**texts).document_tokens > estimate_tokens("a short text# Minutes")


def test_the_smallest_budget_allowed_pays_for_a_short_round_however_long_the_goal():
    config = configuration(goal="plan the release " * 200)
    share = config.context_tokens + config.synthesis_max_tokens
    min_tokens = share + 2 * (fixed_tokens(config) + 32)
    assert min_tokens > share + 256
    fits = replace(config, meeting_tokens=min_tokens)
    given().when(convene(fits)).then(called(fits))
    short = replace(config, meeting_tokens=min_tokens - 1)
    assert problems_of(short).keys() == {"meeting_tokens"}
    assert f"take {min_tokens}" in problems_of(short)["meeting_tokens"]
