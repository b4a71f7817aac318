"""The minutes: the fixed order of their sections, and what is read out of a closing text."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meeting_core import Fact, Outcome, Participant, outcome_of, parse_synthesis, render_minutes
from meeting_core.minutes import ActionItem, MinutesParts
from meeting_core.model import SynthesisCompleted, SynthesisStarted, SynthesisTask
from meeting_core.prompt import SECTIONS
from tests.builders import (
    BOB,
    MEETING_ID,
    SYNTHESIS,
    attempt_started,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    skipped,
    spoken,
    synthesis_completed,
    up_to_synthesis,
    written,
)

HEADINGS = [
    "# Team Meeting",
    "## Goal",
    "## Participants",
    "## Discussion Summary",
    "## Action Items",
    "## Decisions",
    "## Blockers",
]


def minutes_of(*facts: Fact) -> str:
    meeting = meeting_after(*facts)
    return render_minutes(meeting, outcome_of(meeting))


def minutes_with(text: str, **changes: object) -> str:
    return minutes_of(*up_to_synthesis(**changes), *written(text))


def headings(markdown: str) -> list[str]:
    """Read the headings as a markdown reader does: after any kind of line end."""
    lines = re.split(r"\r\n|\r|\n", markdown)
    return [line for line in lines if re.match(r"[ \t]{0,3}#{1,6}(?:[ \t]|$)", line)]


def test_minutes_hold_everything_in_the_fixed_order():
    ann = Participant("ann", "Ann", "planner")
    facts = up_to_synthesis(goal="Ship it", participants=(ann, BOB))
    assert (
        minutes_of(*facts, *written())
        == f"""\
# Team Meeting

## Goal

Ship it

## Participants

- Ann (@ann), planner
- Bob (@bob)

## Discussion Summary

We talked.

## Action Items

- [ ] @ann: write it down [priority: high]

## Decisions

- go on

## Blockers

None.

---

How it ended: the agenda was completed. (Meeting {MEETING_ID})
"""
    )


def test_minutes_without_a_goal_say_so():
    assert "## Goal\n\nNone was given.\n" in minutes_with(SYNTHESIS)


def test_minutes_name_what_was_lost():
    first = [round_opened(1), *skipped("ann"), *spoken("bob"), round_closed(1, "partial", "budget")]
    facts = [convened(), *first, SynthesisStarted(), *written("## Decisions\n- go")]
    ending = minutes_of(*facts).split("---\n\n")[1]
    assert ending == (
        "How it ended: the token budget ended the rounds early. Degraded: the token budget ended "
        "the rounds early; round 1: ann did not speak (unavailable); only 1 of 2 rounds were "
        f"held. (Meeting {MEETING_ID})\n"
    )


def test_without_a_closing_text_the_minutes_record_who_spoke():
    first = [round_opened(1), *skipped("ann"), *spoken("bob"), round_closed(1, "partial")]
    second = [round_opened(2), *skipped("ann", 2), *skipped("bob", 2), round_closed(2, "silent")]
    lost = SynthesisCompleted(degraded="no summary was written (refused: no)")
    config = convened(round_topics=("What\nwas done", "What is next"))
    text = minutes_of(config, *first, *second, SynthesisStarted(), lost)
    assert headings(text) == HEADINGS
    assert "No summary was written. Who spoke, round by round:" in text
    assert "- Round 1 (What was done): bob\n- Round 2 (What is next): nobody\n" in text
    assert text.count("\nNone.\n") == 3
    assert "no summary was written (refused: no)." in text


def test_what_agents_said_never_becomes_the_summary():
    lost = SynthesisCompleted(degraded="no summary was written (refused: no)")
    assert "I did my part." not in minutes_of(*up_to_synthesis(), lost)


FORGERIES = [
    "# Forged",
    "## Decisions",
    "   ## Decisions\n- pay the forger",
    "fine\n## Blockers\n- everything",
    "fine\r## Decisions\r- pay the forger",
    "fine\r\n# Forged\r\n",
    "\t# Forged",
    "#\n#",
]


@pytest.mark.parametrize("forged", FORGERIES)
def test_no_text_opens_a_section_of_its_own(forged: str):
    goal = minutes_with(SYNTHESIS, goal=forged)
    summary = minutes_with(f"## Discussion Summary\n{forged.replace('##', '###### ')}x")
    detail = minutes_of(*up_to_synthesis(), SynthesisCompleted(degraded=f"lost ({forged})"))
    topic = minutes_of(
        *up_to_synthesis(round_topics=(forged, forged)), SynthesisCompleted(degraded="lost")
    )
    for text in (goal, summary, detail, topic):
        assert headings(text) == HEADINGS


@pytest.mark.parametrize("underline", ["---", "===", "  ======", "-"])
def test_no_text_underlines_itself_into_a_heading(underline: str):
    for text in (
        minutes_with(SYNTHESIS, goal=f"Forged\n{underline}"),
        minutes_with(f"## Discussion Summary\nForged\n{underline}\nx"),
    ):
        lines = text.splitlines()
        ruled = [index for index, line in enumerate(lines) if re.fullmatch(r" {0,3}(=+|-+)", line)]
        assert [lines[index - 1] for index in ruled] == [""]


@pytest.mark.parametrize("forged", ["# Forged", "## Decisions", "#", "-", "---"])
def test_a_listed_line_is_a_plain_line(forged: str):
    text = minutes_with(f"## Action Items\n- {forged}\n## Decisions\n- {forged}\n")
    assert re.search(r"^- (\[ \] )?(#|-+$)", text, re.MULTILINE) is None


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("- [ ] @ann: write it [priority: high]", ActionItem("ann", "write it", "high")),
        ("- [x] @ann: write it (Priority: LOW)", ActionItem("ann", "write it", "low")),
        ("* ann: write it", ActionItem("ann", "write it", "medium")),
        ("1. @ann: write it [priority: medium]", ActionItem("ann", "write it", "medium")),
        ("2) Ann Lee: write it", ActionItem("Ann Lee", "write it", "medium")),
        ("+ write it", ActionItem("", "write it", "medium")),
        ("write it", ActionItem("", "write it", "medium")),
        ("- [] @ann-2.x: see http://a.b/c", ActionItem("ann-2.x", "see http://a.b/c", "medium")),
        ("- @ann:write", ActionItem("", "@ann:write", "medium")),
        ("- [ ] @ann: x [priority: urgent]", ActionItem("ann", "x [priority: urgent]", "medium")),
    ],
)
def test_an_action_item_is_read_however_it_is_written(line: str, item: ActionItem):
    assert parse_synthesis(f"## Action Items\n{line}").action_items == (item,)


@pytest.mark.parametrize("nothing", ["None", "none.", "- None", "* N/A", "Nothing", "_none_", ""])
def test_a_section_that_says_nothing_holds_nothing(nothing: str):
    text = "\n".join(f"## {section}\n{nothing}" for section in SECTIONS[1:])
    parts = parse_synthesis(text)
    assert (parts.action_items, parts.decisions, parts.blockers) == ((), (), ())


def test_sections_are_found_in_any_order_case_and_level():
    text = "### BLOCKERS:\n- rain\n# decisions ##\n1. go\n- stay\n## discussion summary\nWell."
    assert parse_synthesis(text) == MinutesParts(
        "Well.", (), ("go", "stay"), ("rain",), ("Action Items",)
    )


def test_a_text_without_headings_is_a_summary_and_everything_else_is_missing():
    assert parse_synthesis("Just talk.") == MinutesParts("Just talk.", (), (), (), SECTIONS)
    assert parse_synthesis("") == MinutesParts("", (), (), (), SECTIONS)


def test_text_before_the_first_heading_and_repeated_sections_are_kept():
    text = "Hello.\n## Decisions\n- one\n## Blockers\n- rain\n## Decisions\n- two"
    parts = parse_synthesis(text)
    assert (parts.summary, parts.decisions, parts.blockers) == ("Hello.", ("one", "two"), ("rain",))


LINES = st.sampled_from(
    [
        *("## Decisions", "## Deci\u017fions", "# bloc\u212aers:", "## Action Items ##"),
        *("## Discussion Summary", "- [ ] @a: b", "text", "", "   ", "- None", "\r"),
        *("# other", "\u2028", "####"),
    ]
)


@given(st.lists(LINES | st.text(max_size=20), max_size=12).map("\n".join))
@example("## Deci\u017fions\n- kept")
def test_any_text_can_be_read_and_no_word_of_it_is_lost(text: str):
    parts = parse_synthesis(text)
    found = [parts.summary, *parts.decisions, *parts.blockers]
    found += [f"{item.owner} {item.text} {item.priority}" for item in parts.action_items]
    kept = " ".join(found)
    for word in ("text", "other", "\u017f", "\u212a"):
        assert (word in text) <= (word in kept)
    assert set(parts.missing) <= set(SECTIONS)


@given(st.text(max_size=300))
def test_any_text_renders_to_minutes_with_the_fixed_headings(text: str):
    closing = synthesis_completed(text.replace("\x00", ""))
    facts = [*up_to_synthesis(), attempt_started(SynthesisTask()), closing]
    assert headings(minutes_of(*facts)) == HEADINGS


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "#", " :", "\u2003"])
def test_a_long_run_after_a_heading_is_read_in_proportion_to_its_length(blank: str):
    """With a pattern that tries every split of the run this would never end."""
    text = f"## Decisions{blank * 50_000}x\n- [ ] @a: b{blank * 50_000}[priority: high] x"
    assert isinstance(parse_synthesis(text), MinutesParts)


def test_an_outcome_lists_nothing_when_nothing_was_lost():
    assert outcome_of(meeting_after(*up_to_synthesis(), *written())) == Outcome("agenda", (), "ann")
