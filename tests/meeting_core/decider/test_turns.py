"""A turn: the intent is recorded before the call, and every reply ends its own attempt."""

import pytest

from meeting_core import Ask, BeginAttempt, Usage, estimate_tokens, next_step
from meeting_core.errors import (
    AttemptStillOpen,
    MeetingEnded,
    NoSuchAttempt,
    OutOfTurn,
    WrongPhase,
)
from meeting_core.model import (
    AcceptReply,
    AttemptFailed,
    FaultClass,
    Participant,
    Paused,
    Reply,
    StartAttempt,
    SynthesisTask,
    TurnCompleted,
    TurnTask,
)
from tests.builders import (
    ANN,
    BOB,
    MEETING_ID,
    START,
    after,
    as_reported,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    skipped,
    spoken,
    started_after,
    turn,
    turn_completed,
    up_to_synthesis,
    whole_meeting,
    whole_round,
)
from tests.spec import given

OPENED = (convened(), round_opened(1))
ASKED = (*OPENED, attempt_started())


def test_an_attempt_records_its_brief_and_what_it_may_cost():
    expected = started_after(OPENED, turn(), cap=200)
    assert expected.reserved.total == expected.manifest.tokens + 200
    given(*OPENED).when(StartAttempt(turn())).then(expected)


def test_an_attempt_names_the_model_of_its_speaker():
    facts = (convened(participants=(Participant("ann", "Ann", model="m-1"), BOB)), round_opened(1))
    expected = started_after(facts, turn(), cap=200)
    assert expected.model == "m-1"
    given(*facts).when(StartAttempt(turn())).then(expected)


def test_the_second_speaker_follows_the_first_whether_that_one_spoke_or_not():
    for first in (spoken("ann"), skipped("ann")):
        facts = (*OPENED, *first)
        assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("bob")))
        given(*facts).when(StartAttempt(turn("bob"))).then(
            started_after(facts, turn("bob"), cap=200)
        )


def test_the_first_speaker_begins_every_round():
    facts = (convened(), *whole_round(1), round_opened(2))
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("ann", 2)))


@pytest.mark.parametrize(
    "task", [turn("bob"), turn("ann", 2), turn("ann", 0), turn("eve"), TurnTask(1, "")]
)
def test_nobody_speaks_out_of_turn(task: TurnTask):
    given(*OPENED).when(StartAttempt(task)).then_refused(OutOfTurn)


def test_nobody_speaks_twice_in_a_round():
    given(*OPENED, *spoken("ann")).when(StartAttempt(turn("ann"))).then_refused(OutOfTurn)
    given(*OPENED, *skipped("ann")).when(StartAttempt(turn("ann"))).then_refused(OutOfTurn)


def test_nobody_speaks_outside_a_round():
    given(convened()).when(StartAttempt(turn())).then_refused(WrongPhase)
    given(convened(), *whole_round(1)).when(StartAttempt(turn())).then_refused(OutOfTurn)
    given(*OPENED, Paused()).when(StartAttempt(turn())).then_refused(WrongPhase, "paused")
    given(*up_to_synthesis()).when(StartAttempt(turn())).then_refused(WrongPhase)
    given(*whole_meeting()).when(StartAttempt(turn())).then_refused(MeetingEnded)


def test_only_one_attempt_is_open():
    given(*ASKED).when(StartAttempt(turn())).then_refused(AttemptStillOpen, "attempt 1")
    given(*ASKED).when(StartAttempt(SynthesisTask())).then_refused(AttemptStillOpen)


def test_the_shell_is_told_everything_a_call_needs():
    meeting = meeting_after(*OPENED, attempt_started(cap=150))
    step = next_step(meeting)
    assert isinstance(step, Ask)
    assert (step.task, step.number, step.participant) == (turn(), 1, ANN)
    assert (step.output_tokens, step.deadline_at) == (150, after(60))
    assert step.call_key == f"{MEETING_ID}/round-1-ann/1"
    assert [message.role for message in step.messages] == ["system", "user"]


def test_a_reply_with_its_reported_usage_completes_the_turn():
    usage = Usage(95, 7, "reported")
    reply = AcceptReply(turn(), 1, "  I am done.\n", "stop", as_reported(usage), "model-9")
    tokens = estimate_tokens("I am done.")
    given(*ASKED).when(reply).then(
        TurnCompleted(1, "ann", 1, Reply("I am done.", tokens, usage, "stop", "model-9"))
    )


def test_a_reply_without_usage_is_estimated_and_says_so():
    tokens = estimate_tokens("I am done.")
    usage = Usage(100, tokens, "estimated")
    given(*ASKED).when(AcceptReply(turn(), 1, "I am done.", "length")).then(
        TurnCompleted(1, "ann", 1, Reply("I am done.", tokens, usage, "length"))
    )


def test_what_no_store_takes_is_taken_out_of_a_reply_and_counted():
    reply = AcceptReply(turn(), 1, "no\x00thing\ud800 lost", "stop\x00")
    tokens = estimate_tokens("nothing lost")
    usage = Usage(100, tokens, "estimated")
    given(*ASKED).when(reply).then(
        TurnCompleted(1, "ann", 1, Reply("nothing lost", tokens, usage, "stop", "", 2))
    )


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00"])
def test_a_reply_without_text_is_a_fault_and_is_tried_again(text: str):
    usage = Usage(95, 0, "reported")
    failed = AttemptFailed(
        turn(), 1, "ann", FaultClass.EMPTY, "the reply has no text", 95, usage, START
    )
    given(*ASKED).when(AcceptReply(turn(), 1, text, "stop", as_reported(usage))).then(failed)


def test_a_reply_belongs_to_the_open_attempt_and_to_no_other():
    for late in (AcceptReply(turn(), 2, "x", "stop"), AcceptReply(turn(), 0, "x", "stop")):
        given(*ASKED).when(late).then_refused(NoSuchAttempt)
    given(*ASKED).when(AcceptReply(turn("bob"), 1, "x", "stop")).then_refused(NoSuchAttempt)
    given(*ASKED).when(AcceptReply(turn("ann", 2), 1, "x", "stop")).then_refused(NoSuchAttempt)
    given(*ASKED).when(AcceptReply(SynthesisTask(), 1, "x", "stop")).then_refused(NoSuchAttempt)
    given(*OPENED).when(AcceptReply(turn(), 1, "x", "stop")).then_refused(NoSuchAttempt)


def test_a_reply_is_taken_once():
    reply = AcceptReply(turn(), 1, "x", "stop")
    given(*ASKED, turn_completed()).when(reply).then_refused(NoSuchAttempt)


def test_a_reply_to_an_abandoned_attempt_comes_too_late():
    facts = (*ASKED, attempt_abandoned())
    given(*facts).when(AcceptReply(turn(), 1, "x", "stop")).then_refused(NoSuchAttempt)
    again = (*facts, attempt_started(number=2))
    given(*again).when(AcceptReply(turn(), 1, "x", "stop")).then_refused(NoSuchAttempt)


def test_a_reply_after_the_end_is_refused():
    reply = AcceptReply(turn(), 1, "x", "stop")
    given(*whole_meeting()).when(reply).then_refused(MeetingEnded)


def test_a_turn_adds_up_the_tokens_of_all_its_attempts():
    meeting = meeting_after(
        *ASKED,
        attempt_failed(charged=120, usage=Usage(110, 10, "reported"), retry_at=START),
        attempt_started(number=2),
        attempt_abandoned(number=2),
        attempt_started(number=3),
        turn_completed(number=3, usage=Usage(90, 6, "reported")),
    )
    (ended,) = meeting.turns
    assert (ended.prompt_tokens, ended.response_tokens) == (110 + 100 + 90, 10 + 200 + 6)
    assert (ended.attempts, ended.usage_source) == (3, "unknown")
    assert meeting.ledger.spent == 120 + 300 + 96
