"""Whatever is said, a brief stays within its tokens and can be built again from the history."""

from collections.abc import Callable
from datetime import datetime
from itertools import count
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from meeting_core import (
    Ask,
    Brief,
    Configuration,
    Fact,
    HeldMeeting,
    Meeting,
    Message,
    Participant,
    build_brief,
    decide,
    estimate_tokens,
    fold,
    hold_meeting,
    rebuild_brief,
)
from meeting_core.model import (
    AttemptStarted,
    Manifest,
    Remark,
    RemarkMade,
    SynthesisTask,
    Turn,
    TurnTask,
)
from meeting_core.prompt import WHOLE_SHARE, brief_within, fixed_tokens, quoted
from tests.builders import (
    START,
    attempt_started,
    configuration,
    convene,
    history,
    round_closed,
    round_opened,
    skipped,
    turn,
    turn_completed,
)

WORDS = st.sampled_from(
    [
        "plan ",
        "x",
        "!",
        "<turn>",
        "</turn ",
        "&amp;",
        "\n",
        " ",
        "7",
        "é",
        "会議",
        "\U0001f600",
        ". ",
    ]
)
TEXTS = st.builds(
    lambda words, times: ("".join(words) * times).strip()[:2_500] or ".",
    st.lists(WORDS, min_size=1, max_size=8),
    st.integers(1, 300),
)
NAMES = st.text('<turn>/&" ab!', min_size=1, max_size=30).filter(str.strip)
PARTICIPANTS = ("ann", "bob", "cat")
SPOKEN = st.lists(st.tuples(st.sampled_from("tttrs"), TEXTS), max_size=9)


@st.composite
def meetings(draw: Callable) -> Meeting:
    """A meeting somewhere in its second or third round, under a context it was convened with."""
    names = draw(st.lists(NAMES, min_size=3, max_size=3))
    participants = tuple(
        Participant(agent, name, instructions=draw(TEXTS)[:400])
        for agent, name in zip(("ann", "bob", "cat"), names, strict=True)
    )
    config = configuration(
        participants=participants,
        num_rounds=3,
        round_topics=("One", "Two", "<turn>Three"),
        goal=draw(TEXTS)[:1_000],
        max_tokens_per_turn=draw(st.sampled_from([32, 200])),
    )
    min_tokens = fixed_tokens(config) + config.max_tokens_per_turn
    config = replace(
        config,
        context_tokens=max(min_tokens, 256) + draw(st.integers(0, 2_000)),
        document_context=draw(TEXTS),
        parent_minutes=draw(TEXTS),
    )
    (opening,) = decide(None, convene(config), START)
    return fold(history(opening, *draw(transcripts())))


@st.composite
def transcripts(draw: Callable) -> list[Fact]:
    facts: list[Fact] = [round_opened(1, order=PARTICIPANTS)]
    round_num, spoken = 1, 0
    for kind, text in draw(SPOKEN):
        if kind == "r":
            facts.append(RemarkMade(text[:30], text, estimate_tokens(text)))
            continue
        if spoken == len(PARTICIPANTS):
            facts += [
                round_closed(round_num, "partial"),
                round_opened(round_num + 1, order=PARTICIPANTS),
            ]
            round_num, spoken = round_num + 1, 0
        agent = PARTICIPANTS[spoken]
        spoken += 1
        if kind == "s":
            facts += skipped(agent, round_num)
        else:
            said = turn_completed(agent, round_num, text, text_tokens=estimate_tokens(text))
            facts += [attempt_started(turn(agent, round_num)), said]
    return facts


def entries_of(meeting: Meeting) -> list[Turn | Remark]:
    spoken = [held for held in meeting.turns if held.text is not None]
    return sorted([*spoken, *meeting.remarks], key=lambda entry: entry.version)


def covered(manifest: Manifest, entries: list[Turn | Remark]) -> list[str]:
    """Return the range of each entry: exactly one letter each."""
    ranges = {"d": manifest.dropped, "s": manifest.shortened, "w": manifest.whole}
    return [
        "".join(
            letter
            for letter, run in ranges.items()
            if run is not None and run.first <= entry.version <= run.last
        )
        for entry in entries
    ]


@settings(max_examples=80)
@given(meetings(), st.integers(0, 2))
def test_a_brief_never_holds_more_than_the_context(meeting: Meeting, index: int):
    agent_id = meeting.config.participants[index].agent_id
    for task in (TurnTask(3, agent_id), SynthesisTask()):
        brief = build_brief(meeting, task, agent_id)
        tokens = sum(estimate_tokens(message.content) for message in brief.messages)
        assert tokens <= brief.manifest.tokens <= meeting.config.context_tokens


@settings(max_examples=80)
@given(meetings())
def test_the_manifest_divides_the_transcript_into_dropped_shortened_and_whole(meeting: Meeting):
    brief = brief_of(meeting)
    entries = entries_of(meeting)
    letters = covered(brief.manifest, entries)
    assert [letter for letter in letters if len(letter) != 1] == []
    assert letters == sorted(letters)
    ranges = (brief.manifest.dropped, brief.manifest.shortened, brief.manifest.whole)
    ends = {entry.version for entry in entries}
    assert all({run.first, run.last} <= ends for run in ranges if run is not None)


@settings(max_examples=80)
@given(meetings())
def test_what_the_manifest_calls_whole_is_there_to_the_letter(meeting: Meeting):
    brief = brief_of(meeting)
    entries = entries_of(meeting)
    for entry, letter in zip(entries, covered(brief.manifest, entries), strict=True):
        if letter == "w":
            assert f"\n{quoted(entry.text or '')}\n</" in brief.messages[1].content
    shown = brief.messages[1].content
    assert shown.count("<turn round=") + shown.count("<remark by=") == sum(
        letter in "ws" for letter in covered(brief.manifest, entries)
    )


@settings(max_examples=80)
@given(meetings())
def test_the_newest_entry_is_whole_if_it_takes_no_more_than_its_share(meeting: Meeting):
    brief, bare = brief_of(meeting), brief_of(replace(meeting, turns=(), remarks=()))
    *_, newest = [None, *entries_of(meeting)]
    if newest is None:
        assert brief == bare
        return
    alone = replace(
        meeting,
        turns=(newest,) if isinstance(newest, Turn) else (),
        remarks=(newest,) if isinstance(newest, Remark) else (),
    )
    roomy = replace(alone, config=replace(meeting.config, context_tokens=1_000_000))
    cost = brief_of(roomy).manifest.tokens - bare.manifest.tokens
    room = meeting.config.context_tokens - bare.manifest.tokens
    whole = brief.manifest.whole
    assert (whole is not None) >= (cost <= room * WHOLE_SHARE)
    assert whole is None or whole.last == newest.version


def brief_of(meeting: Meeting) -> Brief:
    return build_brief(meeting, TurnTask(3, "ann"), "ann")


@settings(max_examples=100)
@given(st.lists(TEXTS, min_size=9, max_size=9), st.integers(0, 600))
def test_the_exact_messages_can_be_rebuilt_from_the_whole_history(texts: list[str], room: int):
    # A few tokens more than the estimate: for an unknown model the topics weigh more.
    min_tokens = fixed_tokens(configuration()) + 220
    config = configuration(context_tokens=max(256, min_tokens) + room)
    asked: dict[str, tuple[Message, ...]] = {}
    held = held_with(config, texts, asked)
    attempts = [event for event in held.events if isinstance(event.fact, AttemptStarted)]
    assert len(attempts) == len(asked)
    for event, messages in zip(attempts, asked.values(), strict=True):
        fact = event.fact
        rebuilt = rebuild_brief(held.events, fact)
        assert rebuilt.messages == messages
        assert rebuilt.digest == fact.digest
        before = fold(held.events[: event.originator_version - 1])
        within = config.context_tokens
        again = brief_within(before, fact.task, fact.agent_id, within, count=estimate_tokens)
        assert again == rebuilt


def held_with(
    config: Configuration, texts: list[str], asked: dict[str, tuple[Message, ...]]
) -> HeldMeeting:
    """Hold a meeting whose participants say these texts; note what each was shown."""
    remaining, numbers = iter(texts), count(1)

    def model(ask: Ask) -> str:
        asked[ask.call_key] = ask.messages
        return next(remaining, "## Decisions\n- done")

    def clock() -> datetime:
        return START

    return hold_meeting(config, model, clock=clock, new_id=lambda: UUID(int=next(numbers)))
