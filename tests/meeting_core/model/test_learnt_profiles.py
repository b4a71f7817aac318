"""What a meeting learns of its models: how they count tokens, and how much they take in."""

import pytest
from hypothesis import given as given_values
from hypothesis import strategies as st

from meeting_core import (
    Ask,
    Fact,
    Meeting,
    Participant,
    Usage,
    build_brief,
    decide,
    estimate_tokens,
)
from meeting_core.model import (
    MAX_FACTOR,
    MIN_FACTOR,
    AcceptReply,
    AttemptStarted,
    Command,
    Completed,
    DigestTask,
    FaultClass,
    ModelProfile,
    Reply,
    ReportFault,
    Reservation,
    StartAttempt,
    SynthesisCompleted,
    SynthesisTask,
    scaled,
)
from tests.builders import (
    START,
    SYNTHESIS,
    attempt_failed,
    attempt_started,
    configuration,
    convened,
    digested,
    meeting_after,
    round_opened,
    spoken,
    synthesis_drafted,
    turn,
    turn_completed,
    turn_skipped,
    up_to_synthesis,
    whole_round,
)
from tests.meeting_core.scenario import Stage
from tests.spec import given

FACTORS = st.integers(MIN_FACTOR, MAX_FACTOR)
LONG = "alpha " * 300


@given_values(FACTORS, st.integers(0, 1_000_000))
def test_an_estimate_within_never_promises_too_much(factor: int, tokens: int):
    known = ModelProfile("", factor)
    assert scaled(known.estimate_within(tokens), factor) <= tokens
    assert known.estimate_within(scaled(tokens, factor)) >= tokens


def reported(prompt: int) -> Usage:
    return Usage(prompt, 6, "reported")


OPENED = (convened(), round_opened(1))


def known(*facts: Fact) -> tuple[ModelProfile, ...]:
    return meeting_after(*facts).model_profiles


def test_a_turn_teaches_how_its_model_counts():
    facts = (*OPENED, attempt_started(prompt=100), turn_completed(usage=reported(130)))
    assert known(*facts) == (ModelProfile("", 1_300),)


def test_digests_drafts_minutes_and_faults_teach_it_too():
    digest = (convened(digest_rounds=True), *whole_round(1), *digested())
    assert known(*digest) != known(*digest[:-1])
    asked = (*up_to_synthesis(), attempt_started(SynthesisTask(), cap=500))
    drafted = (*asked, synthesis_drafted("x", ("Decisions",)))
    assert known(*drafted) == (ModelProfile("", 1_407, prompt_beyond_tokens=306),)
    usage = Usage(250, 40, "reported")
    written = SynthesisCompleted("ann", 1, Reply("x", 1, usage, "stop"))
    assert known(*asked, written) == (ModelProfile("", 1_407, prompt_beyond_tokens=156),)
    failed = attempt_failed(charged=160, usage=Usage(160, 0, "reported"), retry_at=START)
    assert known(*OPENED, attempt_started(), failed) == (
        ModelProfile("", 1_500, prompt_beyond_tokens=60),
    )


def test_estimates_and_unknown_charges_teach_nothing():
    estimated = turn_completed(usage=Usage(300, 6, "estimated"))
    assert known(*OPENED, attempt_started(), estimated) == ()
    assert known(*OPENED, attempt_started(), attempt_failed(charged=300, retry_at=START)) == ()


def test_a_reservation_is_scaled_by_what_was_learnt():
    facts = (*OPENED, attempt_started(prompt=100), turn_completed(usage=reported(130)))
    meeting = meeting_after(*facts)
    brief = build_brief(meeting, turn("bob"), "bob")
    (started,) = decide(meeting, StartAttempt(turn("bob")), START)
    assert isinstance(started, AttemptStarted)
    assert started.manifest == brief.manifest
    assert started.reserved == Reservation(scaled(brief.manifest.tokens, 1_300), 200)


def test_each_model_is_known_by_itself():
    participants = (Participant("ann", "Ann", model="m-1"), Participant("bob", "Bob", model="m-2"))
    facts = [convened(participants=participants), round_opened(1)]
    facts += [attempt_started(model="m-1"), turn_completed(usage=reported(130))]
    facts += [attempt_started(turn("bob"), model="m-2"), turn_completed("bob", usage=reported(110))]
    assert known(*facts) == (ModelProfile("m-1", 1_300), ModelProfile("m-2", 1_100))


def test_a_model_that_counts_more_is_shown_less():
    """So that the context holds by its own count."""

    def brief_tokens(prompt: int) -> int:
        tokens = estimate_tokens(LONG)
        long = turn_completed(text=LONG, text_tokens=tokens, usage=reported(prompt))
        facts = (convened(context_tokens=600), round_opened(1), attempt_started(), long)
        (started,) = decide(meeting_after(*facts), StartAttempt(turn("bob")), START)
        assert isinstance(started, AttemptStarted)
        assert started.reserved.prompt_tokens <= 600
        return started.manifest.tokens

    assert brief_tokens(100) > 450
    assert brief_tokens(200) <= 400


def long_meeting() -> list[Fact]:
    """Ann has spoken at length, and Bob's first attempt is open."""
    long = turn_completed(text=LONG, text_tokens=estimate_tokens(LONG), usage=reported(100))
    facts = [*OPENED, attempt_started(), long]
    (started,) = decide(meeting_after(*facts), StartAttempt(turn("bob")), START)
    return [*facts, started]


def too_long(number: int = 1, *, last: bool = False) -> Fact:
    again = None if last else START
    return attempt_failed(
        turn("bob"), number, FaultClass.CONTEXT_TOO_LONG, charged=0, retry_at=again
    )


def context_limit(meeting: Meeting) -> int | None:
    (model_profiles,) = meeting.model_profiles
    return model_profiles.context_tokens


def test_after_a_brief_was_too_long_the_next_is_at_most_half_as_long():
    facts = long_meeting()
    first = facts[-1]
    assert isinstance(first, AttemptStarted)
    fault = ReportFault(turn("bob"), 1, FaultClass.CONTEXT_TOO_LONG, "no answer")
    given(*facts).when(fault).then(too_long())
    facts.append(too_long())
    assert context_limit(meeting_after(*facts)) == first.manifest.tokens // 2
    (second,) = decide(meeting_after(*facts), StartAttempt(turn("bob")), START)
    assert isinstance(second, AttemptStarted)
    assert second.number == 2
    assert second.manifest.tokens <= first.manifest.tokens // 2
    assert second.digest != first.digest


def test_when_nothing_can_be_left_out_the_speaker_is_skipped():
    (started,) = decide(meeting_after(*OPENED), StartAttempt(turn()), START)
    fault = ReportFault(turn(), 1, FaultClass.CONTEXT_TOO_LONG, "no answer")
    given(*OPENED, started).when(fault).then(
        attempt_failed(fault=FaultClass.CONTEXT_TOO_LONG, charged=0),
        turn_skipped(reason="context_too_long"),
    )


def test_what_was_too_long_once_is_not_tried_again_by_anybody_with_that_model():
    facts = [*long_meeting(), too_long(last=True), turn_skipped("bob", reason="context_too_long")]
    limit = context_limit(meeting_after(*facts))
    facts += [*whole_round(1)[-1:], round_opened(2)]
    (started,) = decide(meeting_after(*facts), StartAttempt(turn("ann", 2)), START)
    assert isinstance(started, AttemptStarted)
    assert limit is not None
    assert started.manifest.tokens <= limit


def test_a_model_profile_is_folded_from_events_and_from_nothing_else():
    facts = [*long_meeting(), too_long()]
    assert meeting_after(*facts) == meeting_after(*facts)
    assert known(*facts)[0].context_tokens is not None
    assert known(*facts[:-1]) == ()


def test_a_digest_task_is_held_to_what_was_learnt():
    config = convened(digest_rounds=True)
    facts = [config, round_opened(1), attempt_started(), turn_completed(usage=reported(140))]
    facts += [*spoken("bob"), *whole_round(1)[-1:]]
    (started,) = decide(meeting_after(*facts), StartAttempt(DigestTask(1)), START)
    assert isinstance(started, AttemptStarted)
    factor = known(*facts)[0].factor
    assert started.reserved.prompt_tokens == scaled(started.manifest.tokens, factor)
    assert 1_300 < factor < 1_400


def test_a_shortest_brief_that_was_too_long_teaches_no_limit():
    """Half of it would be less than any brief takes, and nothing could be shown any more."""
    (started,) = decide(meeting_after(*OPENED), StartAttempt(turn()), START)
    last = attempt_failed(fault=FaultClass.CONTEXT_TOO_LONG, charged=0)
    assert known(*OPENED, started, last) == ()
    again = [*long_meeting(), too_long()]
    limit = context_limit(meeting_after(*again))
    (second,) = decide(meeting_after(*again), StartAttempt(turn("bob")), START)
    assert isinstance(second, AttemptStarted)
    assert (second.manifest.whole, second.manifest.shortened) == (None, None)
    assert context_limit(meeting_after(*again, second, too_long(2, last=True))) == limit


@pytest.mark.parametrize(
    "changes",
    [{}, {"synthesizer": "bob"}, {"digest_rounds": True}, {"meeting_tokens": 20_000}],
    ids=str,
)
def test_minutes_are_written_after_a_context_error_on_a_shortest_brief(changes: dict[str, object]):
    """The first speaker's brief shows nothing of what was said: nothing was."""

    def answer(ask: Ask, _: Meeting) -> Command:
        if ask.task == turn():
            return ReportFault(ask.task, ask.number, FaultClass.CONTEXT_TOO_LONG, "too long")
        text = SYNTHESIS if isinstance(ask.task, SynthesisTask) else "I did my part."
        return AcceptReply(ask.task, ask.number, text, "stop")

    stage = Stage(configuration(**changes), answer).play()
    assert [each.skipped_reason for each in stage.meeting.turns] == [
        "context_too_long",
        None,
        None,
        None,
    ]
    completed = stage.facts[-1]
    assert isinstance(completed, Completed)
    assert completed.outcome.author
