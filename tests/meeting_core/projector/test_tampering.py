"""A history that was tampered with is refused, or adds up to another meeting: never to the same."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import get_args
from uuid import UUID

import pytest
from msgspec.structs import replace

from meeting_core import CorruptHistory, Fact, Meeting, MeetingEvent, fold
from meeting_core.model import (
    AttemptAbandoned,
    AttemptFailed,
    Reply,
    RoundDigested,
    SynthesisCompleted,
    TurnCompleted,
)
from tests.meeting_core.choices import seeded
from tests.meeting_core.walk import walk

WALKS = 150
History = tuple[MeetingEvent, ...]
Tamper = Callable[[History, int], History]

ENDED_CALLS = {
    "AttemptFailed",
    "AttemptAbandoned",
    "TurnSkipped",
    "RoundDigested",
    "SynthesisDrafted",
    "SynthesisCompleted",
}
ORDER_SAYS_NOTHING = {
    "Paused": {*ENDED_CALLS, "Adopted"},
    "Resumed": {*ENDED_CALLS, "Adopted"},
    "Adopted": {
        "RoundOpened",
        "RoundClosed",
        "RoundDigested",
        "SynthesisStarted",
        "SynthesisCompleted",
    },
    "BudgetRaised": {fact.__name__ for fact in get_args(Fact)} - {"Convened", "BudgetRaised"},
}
"""A pause changes only the phase, an adoption only the owner and the clock of the task in hand, a
raised budget only the ceiling: with these facts they may come in either order and add up to the
same."""


@cache
def histories() -> tuple[History, ...]:
    return tuple(tuple(walk(seeded(seed), 20).events) for seed in range(WALKS))


def added_up(events: History) -> Meeting | None:
    """Fold what may be corrupt; give back nothing when it is."""
    try:
        return fold(events)
    except CorruptHistory:
        return None


def contents(meeting: Meeting | None) -> Meeting | None:
    """What a meeting says, without the count of its events and the time of the last."""
    return meeting and replace(meeting, version=0, updated_at=meeting.convened_at)


def renumbered(events: History) -> History:
    return tuple(
        replace(event, originator_version=version) for version, event in enumerate(events, 1)
    )


def with_event(events: History, index: int, event: MeetingEvent) -> History:
    return (*events[:index], event, *events[index + 1 :])


def places() -> Iterator[tuple[History, int]]:
    for events in histories():
        for index in range(len(events)):
            yield events, index


TAMPERINGS: dict[str, Tamper] = {
    "an event dropped": lambda events, i: events[:i] + events[i + 1 :],
    "an event repeated": lambda events, i: events[: i + 1] + events[i:],
    "two events swapped": lambda events, i: (
        *events[:i],
        *reversed(events[i : i + 2]),
        *events[i + 2 :],
    ),
    "an event of another meeting": lambda events, i: with_event(
        events, i, replace(events[i], originator_id=UUID(int=666))
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_events_out_of_place_are_refused(name: str):
    """The last event may be missing: what is left is a true history, of an earlier meeting."""
    for events, index in places():
        tampered = TAMPERINGS[name](events, index)
        if tampered not in (events, events[:-1]):
            assert added_up(tampered) is None, (index, events[index].fact)


def test_a_dropped_event_leaves_a_mark_even_if_the_rest_is_numbered_anew():
    for events, index in places():
        rest = (
            added_up(renumbered(events[:index] + events[index + 1 :])) if len(events) > 1 else None
        )
        assert contents(rest) != contents(fold(events)), events[index].fact


def test_a_repeated_event_leaves_a_mark_even_if_the_rest_is_numbered_anew():
    for events, index in places():
        doubled = added_up(renumbered(events[: index + 1] + events[index:]))
        assert contents(doubled) != contents(fold(events)), events[index].fact


def test_two_facts_exchanged_leave_a_mark_unless_their_order_says_nothing():
    exchanged = 0
    for events, index in places():
        if index + 1 == len(events) or events[index].fact == events[index + 1].fact:
            continue
        one, other = events[index], events[index + 1]
        tampered = with_event(events, index, replace(one, fact=other.fact))
        tampered = with_event(tampered, index + 1, replace(other, fact=one.fact))
        names = sorted({type(one.fact).__name__, type(other.fact).__name__})
        if added_up(tampered) == fold(events):
            assert any({*names} <= {name, *ORDER_SAYS_NOTHING.get(name, set())} for name in names)
        exchanged += 1
    assert exchanged > 1_000


def altered(event: MeetingEvent) -> Iterator[MeetingEvent]:
    """The same event with one of the figures that prove something changed."""
    fact = event.fact
    if isinstance(fact, SynthesisCompleted | RoundDigested) and fact.agent_id is None:
        return  # nobody wrote it, so there is no figure in it
    for field in ("number", "charged", "round_num", "epoch"):
        if hasattr(fact, field):
            value = getattr(fact, field)
            yield replace(event, fact=replace(fact, **{field: value + 1}))
    if isinstance(reply := getattr(fact, "reply", None), Reply):
        usage = replace(reply.usage, completion_tokens=reply.usage.completion_tokens - 1)
        yield replace(event, fact=replace(fact, reply=replace(reply, usage=usage)))
        yield replace(event, fact=replace(fact, reply=replace(reply, text="!" + reply.text)))
    if hasattr(fact, "text"):
        yield replace(event, fact=replace(fact, text=fact.text + "!"))
    if hasattr(fact, "agent_id"):
        yield replace(event, fact=replace(fact, agent_id="eve"))


def test_an_altered_number_charge_text_or_speaker_leaves_a_mark():
    seen: set[str] = set()
    for events, index in places():
        for event in altered(events[index]):
            tampered = with_event(events, index, event)
            assert added_up(tampered) != fold(events), event.fact
            seen.add(type(event.fact).__name__)
    assert {"AttemptStarted", "AttemptFailed", "AttemptAbandoned", "TurnCompleted"} <= seen
    assert {"TurnSkipped", "RoundOpened", "RoundClosed", "Adopted", "RemarkMade"} <= seen


@pytest.mark.parametrize("kind", [AttemptFailed, AttemptAbandoned, TurnCompleted])
def test_an_altered_attempt_number_is_refused(kind: type):
    for events, index in places():
        fact = events[index].fact
        if isinstance(fact, kind):
            other = replace(events[index], fact=replace(fact, number=fact.number + 1))
            assert added_up(with_event(events, index, other)) is None
