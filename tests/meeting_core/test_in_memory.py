"""A whole meeting in memory, with a plain function as the model."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

import pytest

from meeting_core import (
    Ask,
    Configuration,
    Ended,
    EventMetadata,
    HeldMeeting,
    InvalidConfiguration,
    Participant,
    build_brief,
    decide_events,
    fold,
    hold_meeting,
    next_step,
    wrap_facts,
)
from meeting_core.model import (
    AttemptFailed,
    Completed,
    Failed,
    StartAttempt,
    SynthesisTask,
    TurnCompleted,
    TurnSkipped,
)
from tests.builders import (
    MEETING_ID,
    START,
    SYNTHESIS,
    configuration,
    convened,
    meeting_after,
    round_opened,
    turn,
)


def hold(model: Callable[[Ask], str], configured: Configuration | None = None) -> HeldMeeting:
    numbers = count(1)
    return hold_meeting(
        configured or configuration(),
        model,
        clock=lambda: START,
        new_id=lambda: UUID(int=next(numbers)),
    )


def answer(ask: Ask) -> str:
    if isinstance(ask.task, SynthesisTask):
        return SYNTHESIS
    return f"{ask.participant.name} on round {ask.task.round_num}."


def test_ten_lines_hold_a_meeting():
    participants = (Participant("ann", "Ann"), Participant("bob", "Bob"))
    held = hold_meeting(
        Configuration(participants=participants, goal="Plan the release"),
        lambda ask: f"I am {ask.participant.name}, and all is well.",
        clock=lambda: datetime.now(UTC),
        new_id=uuid4,
    )
    assert held.meeting.state == "complete"
    assert "## Discussion Summary\n\nI am Ann, and all is well." in held.minutes


def test_everybody_speaks_once_a_round_in_order():
    held = hold(answer)
    assert [(turn.round_num, turn.agent_id, turn.text) for turn in held.meeting.turns] == [
        (1, "ann", "Ann on round 1."),
        (1, "bob", "Bob on round 1."),
        (2, "ann", "Ann on round 2."),
        (2, "bob", "Bob on round 2."),
    ]


def test_the_history_is_the_meeting():
    held = hold(answer)
    assert fold(held.events) == held.meeting
    assert next_step(held.meeting) == Ended()
    assert isinstance(held.events[-1].fact, Completed)
    assert len({event.event_id for event in held.events}) == len(held.events)


def test_a_participant_who_says_nothing_is_skipped_after_a_second_try():
    held = hold(lambda ask: " " if ask.participant.agent_id == "bob" else answer(ask))
    facts = [event.fact for event in held.events]
    assert sum(isinstance(fact, AttemptFailed) for fact in facts) == 4
    assert sum(isinstance(fact, TurnSkipped) for fact in facts) == 2
    assert held.meeting.outcome is not None
    assert held.meeting.outcome.degraded == (
        "round 1: bob did not speak (empty)",
        "round 2: bob did not speak (empty)",
    )


def test_when_nobody_says_anything_the_meeting_fails():
    held = hold(lambda ask: "")
    assert isinstance(held.events[-1].fact, Failed)
    assert (held.meeting.state, held.minutes) == ("error", "")


def test_when_nobody_can_write_the_minutes_they_are_the_record():
    held = hold(lambda ask: "" if isinstance(ask.task, SynthesisTask) else answer(ask))
    assert held.meeting.state == "complete"
    assert "No summary was written. Who spoke, round by round:" in held.minutes
    assert held.meeting.outcome is not None
    assert held.meeting.outcome.author is None


def test_what_no_store_takes_is_taken_out_of_what_the_model_says():
    held = hold(lambda ask: "one\x00 two\ud800" if ask.number else answer(ask))
    fact = next(event.fact for event in held.events if isinstance(event.fact, TurnCompleted))
    assert (fact.reply.text, fact.reply.cleaned) == ("one two", 2)


def test_a_bad_configuration_never_starts():
    with pytest.raises(InvalidConfiguration, match="participants"):
        hold(answer, configuration(participants=()))


def test_an_error_of_the_model_is_the_callers():
    def broken(ask: Ask) -> str:
        raise ZeroDivisionError(ask.call_key)

    with pytest.raises(ZeroDivisionError, match="round-1-ann"):
        hold(broken)


def test_a_clock_without_a_time_zone_is_refused_before_anything_happens():
    asked: list[Ask] = []

    def model(ask: Ask) -> str:
        asked.append(ask)
        return "Fine."

    naive = START.replace(tzinfo=None)
    with pytest.raises(ValueError, match=r"no time zone.*use datetime\.now"):
        hold_meeting(configuration(), model, clock=lambda: naive, new_id=lambda: MEETING_ID)
    assert asked == []


def test_facts_are_not_wrapped_at_a_time_without_a_zone():
    metadata = EventMetadata(START.replace(tzinfo=None), MEETING_ID, "a test")
    with pytest.raises(ValueError, match="no time zone"):
        wrap_facts(
            [convened()], metadata, meeting_id=MEETING_ID, after=0, new_id=lambda: MEETING_ID
        )


def test_a_brief_that_is_passed_on_is_shown_and_another_attempts_is_not():
    metadata = EventMetadata(START, MEETING_ID, "a test")
    meeting = meeting_after(convened(), round_opened())
    decision = decide_events(meeting, StartAttempt(turn()), metadata, lambda: MEETING_ID)
    assert decision.brief is not None
    step = next_step(decision.meeting, decision.brief)
    assert isinstance(step, Ask)
    assert step.messages is decision.brief.messages
    assert next_step(decision.meeting) == step
    other = build_brief(meeting, turn("bob"), "bob")
    assert next_step(decision.meeting, other) == step
