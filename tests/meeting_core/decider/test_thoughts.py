"""Thoughts are kept apart from speech: they are counted, kept if given, and shown to nobody."""

import pytest

from meeting_core import Ask, Configuration, Participant, Usage, render_minutes
from meeting_core.minutes import parse_synthesis
from meeting_core.model import AcceptReply, Completed, DigestTask, SynthesisTask, TurnCompleted
from tests.builders import SYNTHESIS, attempt_started, convened, round_opened, turn
from tests.meeting_core.scenario import Stage
from tests.spec import given

ASKED = (convened(max_reply_bytes=1_024), round_opened(1), attempt_started())
SECRET = "SECRET-THOUGHT"
THOUGHT = (
    f"{SECRET}\n## Action Items\n- [ ] @ann: {SECRET} [priority: high]\n## Decisions\n{SECRET}"
)


def completed_by(**changes: object) -> TurnCompleted:
    fields: dict[str, object] = {"thought": THOUGHT, "thought_tokens": 40, **changes}
    reply = AcceptReply(turn(), 1, "I agree.", "stop", **fields)  # type: ignore[arg-type]
    (completed,) = given(*ASKED).when(reply).facts
    assert isinstance(completed, TurnCompleted)
    return completed


def test_a_thought_is_kept_beside_the_text_and_counted_as_reasoning():
    reply = completed_by().reply
    assert (reply.text, reply.thought) == ("I agree.", THOUGHT)
    assert reply.usage == Usage(100, reply.text_tokens + 40, "estimated", 40)
    assert reply.cut_to is None


def test_only_its_count_is_kept_of_a_thought_that_is_dropped():
    reply = completed_by(thought="").reply
    assert (reply.thought, reply.usage.reasoning_tokens) == ("", 40)


def test_many_thoughts_before_a_short_text_do_not_cut_it():
    reply = completed_by(thought_tokens=9_000).reply
    assert (reply.cut_to, reply.usage.text_tokens) == (None, reply.text_tokens)


@pytest.mark.parametrize(
    ("given_thought", "kept"),
    [(" so\n", "so"), ("a\x00b\x1b[31m", "ab[31m"), ("x" * 3_000, "x" * 1_024), ("\ud800", "")],
)
def test_a_thought_is_cleaned_and_bounded_in_bytes(given_thought: str, kept: str):
    assert completed_by(thought=given_thought).reply.thought == kept


def test_no_thought_reaches_a_brief_a_digest_a_draft_or_the_minutes():
    def answer(ask: Ask, _: object) -> AcceptReply:
        text = "I agree."
        if isinstance(ask.task, SynthesisTask):
            # The first is a draft, for it lacks a section.
            text = SYNTHESIS if ask.number > 1 else SYNTHESIS.partition("## Blockers")[0]
        return AcceptReply(ask.task, ask.number, text, "stop", thought=THOUGHT, thought_tokens=40)

    ann, bob = Participant("ann", "Ann"), Participant("bob", "Bob")
    config = Configuration(participants=(ann, bob), num_rounds=2, digest_rounds=True)
    stage = Stage(config, answer).play()
    tasks = [type(ask.task) for ask in stage.asked]
    assert tasks.count(DigestTask) == 1
    assert tasks.count(SynthesisTask) == 2
    assert not any(SECRET in message.content for ask in stage.asked for message in ask.messages)
    completed, meeting = stage.facts[-1], stage.meeting
    assert isinstance(completed, Completed)
    assert SECRET not in render_minutes(meeting, completed.outcome)
    assert meeting.synthesis is not None
    assert len(parse_synthesis(meeting.synthesis.text).action_items) == 1
    assert SECRET not in repr(meeting), "the fold keeps no thought that a view could show"
