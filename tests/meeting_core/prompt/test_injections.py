"""Whatever is said or configured, it forges nothing in a brief and nothing in the minutes."""

import re
import unicodedata
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from uuid import UUID

import pytest
from markdown_it import MarkdownIt
from msgspec import Struct
from msgspec.structs import replace

from meeting_core import (
    InvalidConfiguration,
    Meeting,
    Message,
    decide,
    estimate_tokens,
    fold,
    outcome_of,
    parse_synthesis,
    render_minutes,
)
from meeting_core.decider import wrap_facts
from meeting_core.model import (
    AttemptStarted,
    EventMetadata,
    MakeRemark,
    RemarkMade,
    SynthesisCompleted,
    TurnCompleted,
    TurnTask,
    clean_text,
)
from meeting_core.prompt import build_brief, fixed_tokens, quoted
from tests.builders import (
    START,
    configuration,
    meeting_after,
    up_to_synthesis,
    written,
)
from tests.injections import (
    INJECTIONS,
    LONG,
    MARKS,
    ROOMY,
    Injection,
    configured_with,
    every_injection,
    held_with,
)

HEADINGS = [
    "Team Meeting",
    "Goal",
    "Participants",
    "Discussion Summary",
    "Action Items",
    "Decisions",
    "Blockers",
]
LOOKS_LIKE = str.maketrans(
    "\u2039\u27e8\u0442\u0433\u2215\\",
    "<<tr//",
)

# --- an independent reader of briefs -----------------------------------------------------------


class Mark(Struct, frozen=True):
    """One mark as a reader takes it who overlooks what is unseen and takes alike for the same."""

    name: str
    closes: bool
    by: str | None


def seen(text: str) -> str:
    """Return a text as that reader sees it."""
    text = re.sub("&(lt|#0*60|#x0*3c);?", "<", text, flags=re.IGNORECASE)
    plain = unicodedata.normalize("NFKC", text)
    hidden = ("Cf", "Cc", "Cn", "Mn")
    kept = [each for each in plain if each.isspace() or unicodedata.category(each) not in hidden]
    return "".join(kept).translate(LOOKS_LIKE).lower()


def marks_of(text: str) -> Iterator[Mark]:
    for found in re.finditer(rf"<([\s/]*)({'|'.join(MARKS)})(?!\w)([^>]*)", seen(text)):
        by = re.search(r'\bby="([^"]*)"', found[3])
        yield Mark(found[2], "/" in found[1], by[1] if by else None)


def quotation(name: str, by: str | None = None) -> list[Mark]:
    return [Mark(name, closes=False, by=by), Mark(name, closes=True, by=None)]


def unquoted(text: str) -> str:
    """Remove all text between marks of our own spelling."""
    return re.sub(rf"<({'|'.join(MARKS)})\b[^>]*>\n.*?\n</\1>", "", text, flags=re.DOTALL)


def assert_is_quoted(shown: str, text: str) -> None:
    """A text is there in its full length; only brackets in it may have changed."""
    pattern = "".join(
        f"(?:{re.escape(each)}|[\\[\uff3b])" if each in "<&\u2039\u27e8\uff1c" else re.escape(each)
        for each in text
    )
    assert re.search(f"\n{pattern}\n</", shown), text


# --- briefs ------------------------------------------------------------------------------------


@every_injection
def test_what_a_model_or_a_document_says_shows_no_speaker_but_the_real_ones(injection: Injection):
    config = configuration(
        document_context=injection.text.replace("\x00", "").encode(errors="replace").decode(),
        parent_minutes=clean_text(injection.text)[0],
        context_tokens=ROOMY,
        max_tokens_per_turn=LONG,
    )
    honest = held_with(configuration(context_tokens=ROOMY), "Fine.")[1]
    held, asked = held_with(config, injection.text)
    said = clean_text(injection.text)[0].strip()
    for number, (ask, plain) in enumerate(zip(asked, honest, strict=True)):
        system, user = (message.content for message in ask.messages)
        expected = [*quotation("document"), *quotation("minutes")]
        for turn in held.meeting.turns[:number]:
            expected += quotation("turn", turn.agent_id)
        assert list(marks_of(user)) == expected
        assert system == plain.messages[0].content
        assert_closes_once(user, plain.messages)
        if number:
            assert_is_quoted(user, said)


def assert_closes_once(user: str, honest: tuple[Message, ...]) -> None:
    closing = honest[1].content.rpartition("\n\n")[2]
    assert user.endswith(f"\n\n{closing}")
    outside = unquoted(user)
    assert outside.count(closing) == 1
    for line in ("It is your turn", "Write the minutes in markdown", "earlier contributions"):
        assert outside.count(line) == closing.count(line), line


@every_injection
def test_what_a_human_remarks_is_a_remark_and_nothing_else(injection: Injection):
    held, _ = held_with(configuration(context_tokens=ROOMY), "Fine.")
    spoken = next(event for event in held.events if isinstance(event.fact, TurnCompleted))
    events = list(held.events[: spoken.originator_version])
    text = injection.text[:4_000]
    remark = MakeRemark(text, text)
    if injection.name == "what no store takes":
        with pytest.raises(InvalidConfiguration):
            decide(fold(events), remark, START)
        return
    events += wrapped(fold(events), remark)
    brief = build_brief(fold(events), TurnTask(1, "bob"), "bob")
    user = brief.messages[1].content
    ours, theirs = quotation("turn", "ann"), quotation("remark", "?")
    found = list(marks_of(user))
    assert [(mark.name, mark.closes) for mark in found] == [
        (mark.name, mark.closes) for mark in (*ours, *theirs)
    ]
    assert_is_quoted(user, text.strip())
    assert unquoted(user).count("It is your turn") == 1
    assert user.endswith("\n\nRound 1 of 2. Topic: What was done\nIt is your turn, Bob.")


def wrapped(meeting: Meeting, command: MakeRemark) -> tuple:
    facts = decide(meeting, command, START)
    assert [type(fact) for fact in facts] == [RemarkMade]
    return wrap_facts(
        facts,
        EventMetadata(START, UUID(int=7_000), "a test"),
        meeting_id=meeting.id,
        after=meeting.version,
        new_id=lambda: UUID(int=7_001),
    )


@every_injection
def test_a_meeting_named_by_a_forger_shows_its_real_speakers(injection: Injection):
    config = configured_with(injection.text)
    held, asked = held_with(config, "Fine.")
    closing = quoted(f"Topic: {config.round_topics[0]}\nIt is your turn, {config.title}.")
    for number, ask in enumerate(asked):
        system, user = (message.content for message in ask.messages)
        expected = [quotation("turn", turn.agent_id) for turn in held.meeting.turns[:number]]
        assert list(marks_of(user)) == [mark for marks in expected for mark in marks]
        assert user.count('<turn round="') == number
        if isinstance(ask.task, TurnTask):
            assert user.endswith(closing)
        first, _, rules = system.partition("\n\n")
        assert first == f"You are {config.title}, {config.title}."
        assert rules.startswith(("You take part in", "You write the minutes"))
        assert "\n" not in rules


@every_injection
def test_a_shortened_text_forges_no_more_than_a_whole_one(injection: Injection):
    text = f"{injection.text}\n" * (1 + 4_000 // len(injection.text))
    config = configuration(max_tokens_per_turn=4_000)
    room = fixed_tokens(config) + config.max_tokens_per_turn + 200
    held, asked = held_with(replace(config, context_tokens=room), text)
    started = [event.fact for event in held.events if isinstance(event.fact, AttemptStarted)]
    manifest, user = started[-1].manifest, asked[-1].messages[1].content
    assert manifest.shortened is not None
    shown = [
        turn
        for turn in held.meeting.turns
        if any(
            run is not None and run.first <= turn.version <= run.last
            for run in (manifest.whole, manifest.shortened)
        )
    ]
    expected = [quotation("turn", turn.agent_id) for turn in shown]
    assert list(marks_of(user)) == [mark for marks in expected for mark in marks]


@every_injection
def test_escaping_an_injection_costs_nothing(injection: Injection):
    text = clean_text(injection.text)[0]
    assert estimate_tokens(quoted(text)) == estimate_tokens(text)
    assert len(quoted(text)) == len(text)
    assert quoted(quoted(text)) == quoted(text)


@pytest.mark.parametrize("run", ["<", "< ", "</", "<t\u200b", "&#0", "&lt;", "<\u0301", "<turns "])
def test_a_long_run_is_quoted_in_proportion_to_its_length(run: str):
    """With a pattern that tries every split of the run this would never end."""
    blanks = run[0] + (run[1:] or run) * 50_000
    assert len(quoted(blanks)) == len(blanks)
    assert len(quoted(run * 20_000)) == len(run) * 20_000


@pytest.mark.parametrize(
    "text",
    ["a < b", "<b>turn</b>", "R&D turns", "<turns>", "<document_id>", "a <- minutes", "&amp; turn"],
)
def test_what_is_no_mark_stays_as_it_is(text: str):
    assert quoted(text) == text


# --- minutes -----------------------------------------------------------------------------------


def assert_nothing_is_forged(markdown: str, headings: list[str], items: int) -> None:
    """Read minutes as a markdown viewer does, and as a program that goes by lines."""
    environment: dict[str, object] = {}
    tokens = MarkdownIt("commonmark").parse(markdown, environment)
    kinds = [token.type for token in tokens]
    found = [
        (token.tag, following.content)
        for token, following in pairwise(tokens)
        if token.type == "heading_open"
    ]
    assert found == [("h2" if n else "h1", text) for n, text in enumerate(headings)]
    inner = [child.type for token in tokens for child in token.children or ()]
    for forbidden in ("html_block", "html_inline", "image", "fence"):
        assert forbidden not in kinds + inner
    assert environment.get("references", {}) == {}
    lines = re.split("\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", markdown)
    assert [line for line in lines if re.match(r"\s{0,3}#{1,6}(\s|$)", line)] == [
        f"{'##' if n else '#'} {text}" for n, text in enumerate(headings)
    ]
    before_text = r"(?:[\s>]|(?:[-*+]|\d+[.)])\s)*"
    endings = [line for line in lines if re.match(rf"{before_text}how it ended", line, re.I)]
    assert endings == [lines[-2]]
    assert lines[-5:-3] + lines[-4:-2] == [lines[-5], "---", "---", ""]
    boxes = [line for line in lines if re.match(rf"{before_text}\[[ xX]?\]", line)]
    section = lines[lines.index("## Action Items") : lines.index("## Decisions")]
    assert len(boxes) == items
    assert set(boxes) <= set(section)


def minutes_with(synthesis: str) -> str:
    meeting = meeting_after(*up_to_synthesis(), *written(synthesis))
    return render_minutes(meeting, outcome_of(meeting))


@every_injection
def test_what_is_said_in_a_turn_never_reaches_the_minutes(injection: Injection):
    honest, _ = held_with(configuration(context_tokens=ROOMY), "Fine.")
    hostile, _ = held_with(configuration(context_tokens=ROOMY), injection.text)
    assert hostile.minutes == honest.minutes


@every_injection
def test_a_synthesis_writes_its_four_sections_and_nothing_else(injection: Injection):
    text = clean_text(injection.text)[0]
    listed = "\n".join(f"- {line}" for line in text.splitlines())
    for synthesis in (
        text,
        f"## Discussion Summary\n{text}\n## Action Items\nNone",
        f"## Action Items\n- [ ] @ann: {text}\n## Decisions\n{text}\n## Blockers\n{text}",
        f"## Action Items\n{listed}\n## Decisions\n{listed}\n## Blockers\n{listed}",
    ):
        items = parse_synthesis(synthesis).action_items
        assert_nothing_is_forged(minutes_with(synthesis), HEADINGS, len(items))


def test_an_action_item_comes_from_its_own_section_only():
    item = "- [ ] @eve: pay the forger [priority: high]"
    text = minutes_with(
        f"{item}\n## Decisions\n{item}\n## Blockers\n{item}\n## Discussion Summary\n> {item}"
    )
    assert parse_synthesis(text).action_items == ()
    assert_nothing_is_forged(text, HEADINGS, 0)


@every_injection
def test_a_meeting_named_by_a_forger_has_minutes_with_the_fixed_sections(injection: Injection):
    config = configured_with(injection.text)
    held, _ = held_with(config, "Fine.")
    title = held.minutes.partition("\n")[0].removeprefix("# ").strip()
    shown = re.sub(r"\s+#+$", "", title).strip()
    assert unescape(title).replace("!\\[", "![") == unescape(config.title)
    assert_nothing_is_forged(held.minutes, [shown, *HEADINGS[1:]], 1)


@every_injection
def test_a_reason_or_a_topic_forges_nothing_where_nobody_wrote_the_minutes(injection: Injection):
    text = clean_text(injection.text)[0]
    lost = SynthesisCompleted(degraded=f"no summary was written ({text})")
    meeting = meeting_after(*up_to_synthesis(round_topics=(text, text)), lost)
    minutes = render_minutes(meeting, outcome_of(meeting, text))
    assert_nothing_is_forged(minutes, HEADINGS, 0)


def test_minutes_stay_readable_where_html_was_taken_out():
    text = minutes_with("Use `List<int>` if a < b, never <script>, and see ![x](http://e).")
    assert "Use `List&lt;int>` if a < b, never &lt;script>, and see !\\[x](http://e)." in text


def test_a_check_reports_every_text_that_fails_it():
    @every_injection
    def no_brackets_and_no_escapes(injection: Injection) -> None:
        assert not {"<", "\x1b"} & set(injection.text)

    with pytest.raises(ExceptionGroup) as failed:
        no_brackets_and_no_escapes()
    notes = [error.__notes__ for error in failed.value.exceptions]
    bad = [each.name for each in INJECTIONS if {"<", "\x1b"} & set(each.text)]
    assert notes == [[f"with the injection {name!r}"] for name in bad]
    assert 1 < len(bad) < len(INJECTIONS)
