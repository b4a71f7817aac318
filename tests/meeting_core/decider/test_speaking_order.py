"""Who speaks when: the order of each round is made by the configuration, and kept by the round."""

from typing import Any

from meeting_core import Participant, build_brief, next_step
from meeting_core.model import OpenRound, StartAttempt, SynthesisTask
from meeting_core.steps import BeginAttempt, turns_to_come
from tests.builders import (
    ANN,
    BOB,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    turn,
    up_to_synthesis,
)
from tests.meeting_core.scenario import Stage
from tests.spec import given

CAT = Participant("cat", "Cat")
THREE: dict[str, Any] = {"participants": (ANN, BOB, CAT), "num_rounds": 3, "order": "rotate"}
TOPICS = ("One", "Two", "Three")
ROTATING = convened(**THREE, round_topics=TOPICS)
FIRST = ("ann", "bob", "cat")


def one_round(round_num: int, order: tuple[str, ...]) -> list[Any]:
    turns = [fact for agent in order for fact in spoken(agent, round_num)]
    return [round_opened(round_num, order=order), *turns, round_closed(round_num)]


def test_by_default_every_round_is_spoken_as_the_participants_are_listed():
    facts = [convened(), *one_round(1, ("ann", "bob"))]
    given(convened()).when(OpenRound(1)).then(round_opened(1, order=("ann", "bob")))
    given(*facts).when(OpenRound(2)).then(round_opened(2, order=("ann", "bob")))


def test_when_the_order_rotates_the_first_speaker_moves_on_by_one_each_round():
    second = [ROTATING, *one_round(1, FIRST)]
    third = [*second, *one_round(2, ("bob", "cat", "ann"))]
    given(ROTATING).when(OpenRound(1)).then(round_opened(1, order=FIRST))
    given(*second).when(OpenRound(2)).then(round_opened(2, order=("bob", "cat", "ann")))
    given(*third).when(OpenRound(3)).then(round_opened(3, order=("cat", "ann", "bob")))


def test_the_turns_follow_the_rounds_own_order_whatever_the_configuration_says():
    facts = [convened(), round_opened(1, order=("bob", "ann"))]
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("bob")))
    facts += spoken("bob")
    assert next_step(meeting_after(*facts)) == BeginAttempt("", StartAttempt(turn("ann")))


def test_the_turns_to_come_are_those_of_the_orders_to_come():
    meeting = meeting_after(ROTATING, round_opened(1, order=FIRST), *spoken("ann"))
    assert [task.key for task, _ in turns_to_come(meeting)] == [
        *("round-1-bob", "round-1-cat"),
        *("round-2-bob", "round-2-cat", "round-2-ann"),
        *("round-3-cat", "round-3-ann", "round-3-bob"),
    ]


def test_a_brief_lists_the_participants_in_the_order_of_its_round():
    facts = [ROTATING, *one_round(1, FIRST), round_opened(2, order=("bob", "cat", "ann"))]
    shown = build_brief(meeting_after(*facts), turn("bob", 2), "bob").messages[1].content
    listed = "Participants, in speaking order:\n- Bob (bob)\n- Cat (cat)\n- Ann (ann)\n"
    assert listed in shown
    written = build_brief(meeting_after(*up_to_synthesis()), SynthesisTask(), "ann")
    assert "in speaking order:\n- Ann (ann)\n- Bob (bob)\n" in written.messages[1].content


def test_a_whole_meeting_rotates():
    stage = Stage(ROTATING.configuration).play()
    spoke = [(each.round_num, each.agent_id) for each in stage.meeting.turns]
    assert spoke == [
        *((1, agent) for agent in FIRST),
        *((2, agent) for agent in ("bob", "cat", "ann")),
        *((3, agent) for agent in ("cat", "ann", "bob")),
    ]
