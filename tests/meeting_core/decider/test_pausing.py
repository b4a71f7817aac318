"""A pause starts nothing new; a call in flight may end. A remark is shown to the next speaker."""

import pytest

from meeting_core import (
    Ask,
    BeginAttempt,
    Idle,
    InvalidConfiguration,
    Usage,
    estimate_tokens,
    next_step,
)
from meeting_core.errors import MeetingEnded, WrongPhase
from meeting_core.model import (
    AcceptReply,
    Fact,
    MakeRemark,
    OpenRound,
    Pause,
    Paused,
    Phase,
    RemarkMade,
    Reply,
    Resume,
    Resumed,
    StartAttempt,
    SynthesisTask,
    TurnCompleted,
)
from tests.builders import (
    as_reported,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    spoken,
    started_after,
    turn,
    up_to_synthesis,
    whole_meeting,
)
from tests.spec import given

GATHERED = (convened(),)
IN_ROUND = (convened(), round_opened(1))
ASKED = (*IN_ROUND, attempt_started())
WRITING = tuple(up_to_synthesis())

PHASES = [
    (GATHERED, Phase.GATHERING),
    (IN_ROUND, Phase.IN_ROUND),
    (ASKED, Phase.IN_ROUND),
    (WRITING, Phase.SYNTHESIZING),
]


@pytest.mark.parametrize(("facts", "phase"), PHASES)
def test_a_live_meeting_pauses_and_resumes_where_it_was(facts: tuple[Fact, ...], phase: Phase):
    given(*facts).when(Pause("lunch")).then(Paused("lunch"))
    given(*facts, Paused("lunch")).when(Resume()).then(Resumed(phase))
    resumed = meeting_after(*facts, Paused("lunch"), Resumed(phase))
    assert next_step(resumed) == next_step(meeting_after(*facts))


def test_pausing_twice_and_resuming_a_running_meeting_do_nothing():
    given(*IN_ROUND, Paused()).when(Pause()).then_nothing()
    given(*IN_ROUND).when(Resume()).then_nothing()
    given(*IN_ROUND, Paused(), Resumed(Phase.IN_ROUND)).when(Resume()).then_nothing()


def test_a_meeting_that_has_ended_neither_pauses_nor_resumes():
    given(*whole_meeting()).when(Pause()).then_refused(MeetingEnded)
    given(*whole_meeting()).when(Resume()).then_refused(MeetingEnded)


def test_a_paused_meeting_rests():
    for facts, _ in (PHASES[0], PHASES[1], PHASES[3]):
        assert next_step(meeting_after(*facts, Paused())) == Idle()


def test_a_paused_meeting_starts_nothing():
    given(*GATHERED, Paused()).when(OpenRound(1)).then_refused(WrongPhase)
    given(*IN_ROUND, Paused()).when(StartAttempt(turn())).then_refused(WrongPhase)
    given(*WRITING, Paused()).when(StartAttempt(SynthesisTask())).then_refused(WrongPhase)


def test_a_call_in_flight_may_end_while_paused():
    paused = (*ASKED, Paused())
    assert isinstance(next_step(meeting_after(*paused)), Ask)
    usage = Usage(90, 4, "reported")
    completed = TurnCompleted(1, "ann", 1, Reply("Done.", estimate_tokens("Done."), usage, "stop"))
    given(*paused).when(AcceptReply(turn(), 1, "Done.", "stop", as_reported(usage))).then(completed)
    assert next_step(meeting_after(*paused, completed)) == Idle()
    resumed = meeting_after(*paused, completed, Resumed(Phase.IN_ROUND))
    assert next_step(resumed) == BeginAttempt("", StartAttempt(turn("bob")))


def test_a_pause_is_told_apart_from_the_phase_it_interrupted():
    meeting = meeting_after(*IN_ROUND, Paused())
    assert (meeting.state, meeting.paused_from) == ("paused", Phase.IN_ROUND)
    assert meeting_after(*IN_ROUND).state == "round_1"


REMARK = MakeRemark("Eve", " Mind the budget.\n")
MADE = RemarkMade("Eve", "Mind the budget.", estimate_tokens("Mind the budget."))


def test_a_remark_is_made_before_and_during_the_rounds_and_while_paused():
    given(*GATHERED).when(REMARK).then(MADE)
    given(*IN_ROUND).when(REMARK).then(MADE)
    given(*ASKED).when(REMARK).then(MADE)
    given(*IN_ROUND, Paused()).when(REMARK).then(MADE)


def test_no_remark_is_taken_when_nobody_would_hear_it():
    given(*WRITING).when(REMARK).then_refused(WrongPhase)
    given(*WRITING, Paused()).when(REMARK).then_refused(WrongPhase)
    given(*whole_meeting()).when(REMARK).then_refused(MeetingEnded)


@pytest.mark.parametrize("text", ["", " \n", "x" * 4_001, "a\x00b", "a\ud800b"])
@pytest.mark.parametrize("field", ["author", "text"])
def test_a_remark_has_an_author_and_a_text_that_can_be_stored(field: str, text: str):
    remark = MakeRemark(**{"author": "Eve", "text": "Hello", field: text})
    given(*IN_ROUND).when(remark).then_refused(InvalidConfiguration, f"{field}: must be 1 to 4000")


def shown_to_bob(*facts: Fact, meanwhile: tuple[Fact, ...] = ()) -> str:
    """Return Bob's brief as the shell gets it, with what happened since his attempt started."""
    asked = started_after(facts, turn("bob"), cap=200)
    step = next_step(meeting_after(*facts, asked, *meanwhile))
    assert isinstance(step, Ask)
    return step.messages[-1].content


def test_a_remark_is_shown_in_the_next_brief_and_not_in_one_already_sent():
    mark = '<remark by="Eve">\nMind the budget.\n</remark>'
    facts = (*IN_ROUND, *spoken("ann"))
    assert mark in shown_to_bob(*facts, MADE)
    assert mark not in shown_to_bob(*facts, meanwhile=(MADE,))


def test_a_remark_stands_where_it_was_made_in_the_transcript():
    shown = shown_to_bob(*IN_ROUND, MADE, *spoken("ann"))
    assert shown.index("Mind the budget.") < shown.index("I did my part.")
