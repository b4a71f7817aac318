"""What a model takes beyond its cap: it is charged, told, and set aside from the next call on."""

import pytest

from meeting_core import Ask, Configuration, Meeting, Participant, ReportedUsage, render_minutes
from meeting_core.model import (
    AcceptReply,
    Command,
    Completed,
    ModelProfile,
    Reservation,
    SynthesisTask,
    Usage,
)
from tests.builders import (
    SYNTHESIS,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    turn,
    turn_completed,
)
from tests.ledger import assert_within_ceiling
from tests.meeting_core.scenario import Stage

THOUGHTS = 2_000
PARTICIPANTS = (Participant("ann", "Ann", model="m"), Participant("bob", "Bob", model="m"))


def thinking(ask: Ask, meeting: Meeting) -> Command:
    """Answer in a few words after many thoughts, which the provider counts beside the cap."""
    prompt = meeting.open_attempt.reserved.prompt_tokens if meeting.open_attempt else 0
    text = SYNTHESIS if isinstance(ask.task, SynthesisTask) else "I have thought about it."
    usage = ReportedUsage(prompt, 60, prompt + 60 + THOUGHTS, THOUGHTS)
    return AcceptReply(ask.task, ask.number, text, "stop", usage)


def heedless(ask: Ask, meeting: Meeting) -> Command:
    """Write much the same, whatever the cap."""
    prompt = meeting.open_attempt.reserved.prompt_tokens if meeting.open_attempt else 0
    text = SYNTHESIS if isinstance(ask.task, SynthesisTask) else "word " * 600
    return AcceptReply(ask.task, ask.number, text, "stop", ReportedUsage(prompt, 620))


def held(answer: object, **changes: object) -> Stage:
    config = Configuration(participants=PARTICIPANTS, num_rounds=3, **changes)  # type: ignore[arg-type]
    return Stage(config, answer).play()  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer", "beyond"), [(thinking, THOUGHTS), (heedless, 420)])
def test_only_the_first_call_is_a_surprise(answer: object, beyond: int):
    first, second, *_ = held(answer).attempts
    assert first.reserved.beyond_cap_tokens == 0
    assert second.reserved.beyond_cap_tokens == beyond
    assert second.reserved.output_tokens == 200, "the cap that is sent is as it was"


@pytest.mark.parametrize("ceiling", range(5_000, 16_000, 500))
@pytest.mark.parametrize("answer", [thinking, heedless])
def test_a_ceiling_is_passed_by_the_first_surprise_alone(answer: object, ceiling: int):
    stage = held(answer, meeting_tokens=ceiling, context_tokens=1_500, on_budget="wrap_up")
    spent = assert_within_ceiling(stage.events)
    first = stage.attempts[0]
    surprise = THOUGHTS + 60 if answer is thinking else 620
    assert spent.tokens <= max(ceiling, first.reserved.prompt_tokens + surprise)


def test_a_lower_cap_is_no_second_surprise_where_the_text_keeps_to_none():
    known = ModelProfile("m", text_tokens=620)
    assert known.beyond_cap(200) == 420
    assert known.beyond_cap(48) == 572
    assert known.max_cap(619) < 0
    assert known.max_cap(700) == 700


def test_what_is_set_aside_beyond_a_cap_is_no_room_for_the_reply():
    facts = [convened(), round_opened(1), attempt_started(cap=50)]
    meeting = meeting_after(*facts)
    assert meeting.open_attempt is not None
    assert meeting.open_attempt.reserved == Reservation(100, 50)
    after_thoughts = meeting_after(
        *facts, turn_completed(usage=Usage(100, 1_050, "reported", 1_000))
    )
    (profile,) = after_thoughts.model_profiles
    assert profile == ModelProfile("", reasoning_tokens=1_000)


def profile_after(*thoughts: int) -> ModelProfile:
    """Return what is known of a model after calls with so many thoughts and few words."""
    profile = ModelProfile("m")
    for each in thoughts:
        reserved = Reservation(100, 200, profile.beyond_cap(200))
        profile = profile.after_call(Usage(100, 20 + each, "reported", each), reserved, 100)
    return profile


def test_what_was_learnt_grows_at_once_and_is_forgotten_slowly():
    assert profile_after(800).reasoning_tokens == 800
    assert profile_after(800, 1_600).reasoning_tokens == 1_600
    assert profile_after(800, 0).reasoning_tokens == 700
    assert profile_after(800, *[0] * 60).reasoning_tokens == 0


def test_a_model_that_keeps_to_its_caps_teaches_nothing():
    profile = profile_after(10)
    assert profile == ModelProfile("m")


def test_what_nobody_counted_teaches_nothing():
    """A call that is charged its reservation has not shown that it took it."""
    known = ModelProfile("m", reasoning_tokens=900)
    reserved = Reservation(100, 200, 900)
    for charged in (Usage(100, 1_100, "unknown"), Usage(80, 1_100, "partly_reported")):
        assert known.after_call(charged, reserved, 100).reasoning_tokens == 900


def test_the_outcome_and_the_minutes_tell_what_was_taken_beyond_and_which_ceiling_was_passed():
    def once(ask: Ask, meeting: Meeting) -> Command:
        answer = thinking(ask, meeting)
        assert isinstance(answer, AcceptReply)
        if ask.task != turn("ann"):
            return AcceptReply(ask.task, ask.number, answer.text, "stop")
        usage = ReportedUsage(100, 9_060, None, 9_000)
        return AcceptReply(ask.task, ask.number, answer.text, "stop", usage)

    stage = held(once, meeting_tokens=6_000, context_tokens=1_500)
    completed = stage.facts[-1]
    assert isinstance(completed, Completed)
    outcome = completed.outcome
    assert outcome.overrun_tokens == 9_160 - stage.attempts[0].reserved.total
    passed = stage.meeting.ledger.spent - 6_000
    assert passed > 0
    assert f"the ceiling of 6000 tokens was passed by {passed}" in outcome.degraded
    minutes = render_minutes(stage.meeting, outcome)
    assert f"Calls took {outcome.overrun_tokens} tokens beyond what was set aside" in minutes
    assert f"was passed by {passed}" in minutes


def test_nothing_is_told_where_nothing_was_passed():
    stage = held(lambda ask, _: AcceptReply(ask.task, ask.number, SYNTHESIS, "stop"))
    completed = stage.facts[-1]
    assert isinstance(completed, Completed)
    assert completed.outcome.overrun_tokens == 0
    assert "beyond" not in render_minutes(stage.meeting, completed.outcome)
