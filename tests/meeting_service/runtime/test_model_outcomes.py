"""Whose a failure is: told from the outcomes of the models lately asked, and from a probe."""

import pytest

from meeting_service.runtime.model_outcomes import (
    ANSWER_COUNTS_SECONDS,
    AVOIDED_SECONDS,
    MAX_MODELS,
    ModelOutcomes,
    Verdict,
)

NOW = 1000.0


def outcomes(**ages: float) -> ModelOutcomes:
    """Models that answered so many seconds before now."""
    made = ModelOutcomes()
    for model, age in ages.items():
        made.record_answer(model, NOW - age)
    return made


def verdict(made: ModelOutcomes, model: str = "x", *, probe: bool | None = None) -> Verdict | None:
    """Whose an unnamed failure that reached the gateway is."""
    return made.verdict(model, NOW, reached=True, names_model=False, probe_is_answered=probe)


@pytest.mark.parametrize("probe", [None, True, False])
@pytest.mark.parametrize("names_model", [False, True])
def test_what_did_not_reach_the_gateway_is_the_gateways(probe: bool | None, names_model: bool):
    made = outcomes(y=0.0)
    found = made.verdict("x", NOW, reached=False, names_model=names_model, probe_is_answered=probe)
    assert found == "gateway"


@pytest.mark.parametrize("made", [outcomes(), outcomes(y=1.0)])
def test_what_names_the_model_is_the_models(made: ModelOutcomes):
    assert made.verdict("x", NOW, reached=True, names_model=True) == "model"


@pytest.mark.parametrize("probe", [None, True, False])
def test_the_only_model_asked_fails_for_its_gateway(probe: bool | None):
    assert verdict(ModelOutcomes(), probe=probe) == "gateway"
    assert verdict(outcomes(x=0.0), probe=probe) == "gateway"


def test_while_another_model_answers_the_probe_decides():
    made = outcomes(y=1.0)
    assert verdict(made) is None
    assert verdict(made, probe=True) == "model"
    assert verdict(made, probe=False) == "gateway"


@pytest.mark.parametrize(
    ("age", "expected"), [(0.0, None), (ANSWER_COUNTS_SECONDS, None), (40.0, "gateway")]
)
def test_an_answer_counts_for_a_while(age: float, expected: Verdict | None):
    assert verdict(outcomes(y=age)) == expected


def test_models_that_all_fail_fail_for_their_gateway():
    made = outcomes(y=5.0, z=3.0)
    made.record_failure("y", NOW - 2.0)
    assert verdict(made, probe=True) == "model"
    made.record_failure("z", NOW - 1.0)
    assert verdict(made, probe=True) == "gateway"
    made.record_answer("y", NOW)
    assert verdict(made, probe=True) == "model"


def test_a_model_that_is_not_served_acquits_no_gateway():
    made = outcomes(y=5.0)
    made.record_unserved("y", "no such model", NOW)
    assert verdict(made, probe=True) == "gateway"


def test_a_model_that_was_not_served_is_avoided_for_a_moment():
    made = ModelOutcomes()
    assert made.reason_to_avoid("x", NOW) == ""
    made.record_unserved("x", "overloaded", NOW)
    assert made.is_unserved("x")
    assert made.reason_to_avoid("x", NOW + AVOIDED_SECONDS / 2) == "overloaded"
    assert made.reason_to_avoid("y", NOW) == ""
    assert made.reason_to_avoid("x", NOW + 1.01 * AVOIDED_SECONDS) == ""


def test_an_answer_or_a_refusal_for_another_reason_ends_that():
    for end in (lambda made: made.record_answer("x", NOW), lambda made: made.record_refusal("x")):
        made = ModelOutcomes()
        made.record_unserved("x", "overloaded", NOW)
        end(made)
        assert made.reason_to_avoid("x", NOW) == ""
        assert not made.is_unserved("x")


def test_a_refusal_leaves_what_is_known_of_other_models():
    made = outcomes(y=1.0)
    made.record_refusal("y")
    made.record_refusal("z")
    assert verdict(made) is None


def test_only_so_many_models_are_remembered():
    made = outcomes(first=1.0)
    for n in range(MAX_MODELS):
        made.record_failure(str(n), NOW)
    assert verdict(made) == "gateway"
