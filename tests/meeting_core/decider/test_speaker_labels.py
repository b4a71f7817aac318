"""Names before a text: the speaker's own comes off, and lines in others' names are noted."""

import time

import pytest

from meeting_core import Participant, build_brief
from meeting_core.decider.speaker_labels import speaks_for, without_label
from meeting_core.model import (
    AcceptReply,
    DigestTask,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisTask,
    TurnCompleted,
)
from tests.builders import (
    SYNTHESIS,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    turn,
    up_to_synthesis,
)
from tests.spec import given

CRITIC = Participant("critic", "Critic", "Critical reviewer")
DEV, DESIGN = Participant("dev", "Dev"), Participant("design", "Design")
LEAD, ZOE, WEI = (
    Participant("qa-lead", "QA Lead"),
    Participant("zoe", "Zo\u00e9"),
    Participant("wei", "\u5f35\u5049"),
)
ALL = (CRITIC, DEV, LEAD, ZOE, WEI)
ASKED = (
    convened(participants=ALL),
    round_opened(1, order=tuple(each.agent_id for each in ALL)),
    attempt_started(turn("critic")),
)


@pytest.mark.parametrize(
    "label",
    [
        "Critic: ",
        "critic: ",
        "CRITIC:\n",
        "Critic:\n\n",
        "Critic : ",
        "Critic:",
        "Critic\uff1a",
        "Critic\uff1a ",
        "Critic\n",
        "**Critic:** ",
        "**Critic**: ",
        "**Critic**\n\n",
        "__Critic__: ",
        "*Critic* \u2014 ",
        "`critic`: ",
        "[Critic]: ",
        "[Critic] ",
        "**[Critic]** ",
        "<critic> ",
        "\u3010Critic\u3011",
        "\u3010Critic\u3011 ",
        "(Critic): ",
        '"Critic": ',
        "@Critic: ",
        "@critic\uff1a",
        "> Critic: ",
        "# Critic\n",
        "### Critic\n\n",
        "## Critic: ",
        "# Critic\n\n**Critic:** ",
        "Critic: Critic: ",
        "Critic (Critical reviewer): ",
        "**Critic (Critical reviewer):** ",
        "**Critic** (Critical reviewer):\n",
        "Critic [Round 2, 10:45]: ",
        "Critic, Critical reviewer: ",
        "Critic says: ",
        "Critic's response: ",
        "Critic - ",
    ],
)
def test_the_speakers_own_name_comes_off_and_is_kept_as_it_came(label: str):
    if label.endswith("\u3011"):
        label += " "
    assert without_label(f"{label}I object.", CRITIC) == ("I object.", label)


@pytest.mark.parametrize(
    "text",
    [
        "Design: we need a palette.",
        "Dev: I will do it.",
        "Critics: none of them agree.",
        "Criticism: it is slow.",
        "Critical: the disk is full.",
        "The Critic: a play in two acts.",
        "Critic thinks so too.",
        "Critic (me) thinks so too.",
        "A critic: somebody who objects.",
        "Note: Critic: no.",
        "Critic",
        "I object.\nCritic: again.",
        "12:30 is too late.",
    ],
)
def test_what_is_ordinary_speech_stays(text: str):
    assert without_label(text, CRITIC) == (text, "")


@pytest.mark.parametrize(
    ("participant", "label"),
    [
        (LEAD, "QA Lead: "),
        (LEAD, "qa_lead: "),
        (LEAD, "Qa-Lead\uff1a"),
        (LEAD, "**QA LEAD:** "),
        (ZOE, "Zoe\u0301: "),
        (ZOE, "ZO\u00c9: "),
        (WEI, "\u5f35\u5049\uff1a"),
        (WEI, "Wei: "),
        (DESIGN, "Design: "),
        (Participant("c.3-po", "C++ (3)"), "C++ (3): "),
    ],
)
def test_a_label_is_an_id_or_a_name_however_it_is_spelt(participant: Participant, label: str):
    assert without_label(f"{label}We agree.", participant) == ("We agree.", label)


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("I object.\nDev: I will do it.", ("dev",)),
        ("Dev: I will do it.", ("dev",)),
        ("I object.\n\n**Dev:** Fine.\n**QA Lead:** No.", ("dev", "qa-lead")),
        ("[Dev] Fine then.", ("dev",)),
        ("# Dev\nI will.", ("dev",)),
        ("**Dev**\nI will.", ("dev",)),
        ("Dev (developer): yes.", ("dev",)),
        ("- Dev: yes.", ("dev",)),
        ("<dev> yes.", ("dev",)),
        ("I object.\n\u5f35\u5049\uff1a\u597d", ("wei",)),
        ("zoe\u0301: oui", ("zoe",)),
        ("qa_lead says: no", ("qa-lead",)),
        ("I asked Dev: why?", ()),
        ("Critic: I object.", ()),
        ("@dev: please look.", ()),
        ("- [ ] Dev: write it down.", ()),
        ("> Dev: as he said.", ()),
        ("Developer: nobody here.", ()),
        ("Design: not seated here.", ()),
        ("Dev\nis who I mean.", ()),
    ],
)
def test_lines_in_others_names_are_noted(text: str, others: tuple[str, ...]):
    assert speaks_for(text, ALL, "critic") == others


@pytest.mark.parametrize(
    "text",
    ["Critic" + "*" * 60_000, "#" * 60_000, "[" * 60_000, "Critic (" * 8_000, "> " * 30_000],
)
def test_no_text_takes_more_than_its_length(text: str):
    began = time.process_time()
    without_label(text, CRITIC)
    speaks_for(text, ALL, "dev")
    assert time.process_time() - began < 1.0


def completed(text: str) -> TurnCompleted:
    reply = AcceptReply(turn("critic"), 1, text, "stop")
    (fact,) = given(*ASKED).when(reply).facts
    assert isinstance(fact, TurnCompleted)
    return fact


def test_the_event_holds_what_was_taken_off_so_that_the_reply_can_be_proved():
    reply = completed("**Critic:** I object.\nDev: I give in.").reply
    assert reply.text == "I object.\nDev: I give in."
    assert reply.label + reply.text == "**Critic:** I object.\nDev: I give in."
    assert reply.speaks_for == ("dev",)


def test_a_reply_of_nothing_but_a_name_is_empty():
    (failed, *_) = given(*ASKED).when(AcceptReply(turn("critic"), 1, "Critic:", "stop")).facts
    assert failed.detail == "the reply has no text"  # type: ignore[union-attr]


def test_others_are_shown_such_lines_as_the_speakers_own():
    meeting = meeting_after(*ASKED, completed("I object.\nDev: I give in."))
    for task in (turn("dev"), SynthesisTask(), DigestTask(1)):
        brief = build_brief(meeting, task, "dev")
        system, user = (message.content for message in brief.messages)
        mark = '<turn round="1" by="critic" name="Critic" in-the-names-of="dev">'
        assert f"{mark}\nI object.\nDev: I give in.\n</turn>" in user
        assert "also lines that begin with another's name" in system


def test_a_text_in_its_own_name_has_the_usual_mark():
    meeting = meeting_after(*ASKED, completed("I object."))
    content = build_brief(meeting, turn("dev"), "dev").messages[1].content
    assert '<turn round="1" by="critic" name="Critic">\nI object.\n</turn>' in content


def test_minutes_lose_a_name_before_their_first_heading_only():
    asked = [*up_to_synthesis(), attempt_started(SynthesisTask())]
    labelled = AcceptReply(SynthesisTask(), 1, f"Ann: {SYNTHESIS}", "stop")
    (fact,) = given(*asked).when(labelled).facts
    assert isinstance(fact, SynthesisCompleted)
    assert fact.reply is not None
    assert (fact.reply.text, fact.reply.label) == (SYNTHESIS, "Ann: ")
    plain = AcceptReply(SynthesisTask(), 1, f"Ann: will do it.\n{SYNTHESIS}", "stop")
    (kept,) = given(*asked).when(plain).facts
    assert isinstance(kept, SynthesisCompleted | SynthesisDrafted)
    assert kept.reply is not None
    assert kept.reply.text.startswith("Ann: will do it.")
