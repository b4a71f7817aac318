"""The fold adds a history up, and refuses one that cannot have happened."""

from uuid import UUID

import pytest
from msgspec.structs import replace

from meeting_core import CorruptHistory, Fact, Phase, evolve, fold, project
from meeting_core.model import (
    Adopted,
    Cancelled,
    Completed,
    Outcome,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
    SynthesisCompleted,
    SynthesisStarted,
    SynthesisTask,
)
from tests.builders import (
    Later,
    after,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    history,
    meeting_after,
    round_closed,
    round_opened,
    skipped,
    spoken,
    synthesis_completed,
    turn,
    turn_completed,
    turn_skipped,
    up_to_synthesis,
    whole_meeting,
    whole_round,
    written,
)

OPENED = (convened(), round_opened(1))
ASKED = (*OPENED, attempt_started())
WRITING = (*up_to_synthesis(), attempt_started(SynthesisTask()))
ADOPTED = Adopted("replica-2", 2, "restart")

IMPOSSIBLE: dict[str, tuple[Fact, ...]] = {
    "nothing before the beginning": (round_opened(1),),
    "two beginnings": (convened(), convened()),
    "a round that skips one": (convened(), round_opened(2)),
    "a round opened twice": (*OPENED, round_opened(1)),
    "a round without a participant": (convened(), round_opened(1, order=("ann",))),
    "a round with a stranger": (convened(), round_opened(1, order=("ann", "eve"))),
    "a round in which one speaks twice": (convened(), round_opened(1, order=("ann", "ann"))),
    "a turn out of the round's order": (
        convened(),
        round_opened(1, order=("bob", "ann")),
        *spoken("ann"),
    ),
    "a round opened in an open one": (*OPENED, round_opened(2)),
    "a round closed that was never opened": (convened(), round_closed(1)),
    "a round closed twice": (*OPENED, round_closed(1), round_closed(1)),
    "another round closed": (*OPENED, round_closed(2)),
    "a round closed under an open attempt": (*ASKED, round_closed(1)),
    "an attempt outside a round": (convened(), attempt_started()),
    "an attempt that skips a number": (*OPENED, attempt_started(number=2)),
    "an attempt numbered from nothing": (*OPENED, attempt_started(number=0)),
    "an attempt of a stranger": (*OPENED, attempt_started(turn("eve"))),
    "a stranger's attempt at another's turn": (*OPENED, attempt_started(by="eve")),
    "an attempt at a stranger's turn": (*OPENED, attempt_started(turn("eve"), by="ann")),
    "minutes attempted by a stranger": (
        *up_to_synthesis(),
        attempt_started(SynthesisTask(), by="eve"),
    ),
    "two attempts open": (*ASKED, attempt_started(number=2)),
    "two attempts of two speakers open": (*ASKED, attempt_started(turn("bob"))),
    "a number used twice": (*ASKED, attempt_failed(retry_at=after(1)), attempt_started()),
    "a reply without an attempt": (*OPENED, turn_completed()),
    "a reply of somebody else": (*ASKED, turn_completed("bob")),
    "a reply to another round": (*ASKED, turn_completed("ann", 2)),
    "a reply to another attempt": (*ASKED, turn_completed(number=2)),
    "a reply after the attempt was abandoned": (*ASKED, attempt_abandoned(), turn_completed()),
    "a fault without an attempt": (*OPENED, attempt_failed()),
    "a fault of another attempt": (*ASKED, attempt_failed(number=2)),
    "an abandonment without an attempt": (*OPENED, attempt_abandoned()),
    "an abandonment of another task": (*ASKED, attempt_abandoned(turn("bob"))),
    "a skip under an open attempt": (*ASKED, turn_skipped()),
    "a skip of somebody else under an open attempt": (*ASKED, turn_skipped("bob")),
    "two endings of one turn": (*OPENED, *skipped("ann"), turn_skipped("ann")),
    "a skip after a reply": (*OPENED, *spoken("ann"), turn_skipped("ann")),
    "a second reply of one speaker": (*OPENED, *spoken("ann"), *spoken("ann")),
    "a skip in a closed round": (*OPENED, round_closed(1), turn_skipped()),
    "a skip in a round to come": (*OPENED, turn_skipped("ann", 2)),
    "a skip before any round": (convened(), Paused(), turn_skipped("ann", 0)),
    "an adoption that leaves an attempt open": (*ASKED, ADOPTED),
    "an adoption under an old epoch": (*OPENED, ADOPTED, ADOPTED),
    "a cancellation that leaves an attempt open": (*ASKED, Cancelled()),
    "a synthesis before the rounds": (convened(), SynthesisStarted()),
    "a synthesis under an open attempt": (*ASKED, SynthesisStarted()),
    "a closing text nobody was asked for": (*up_to_synthesis(), synthesis_completed()),
    "a closing text of somebody else": (*WRITING, synthesis_completed(by="bob")),
    "a closing text given up under an open attempt": (*WRITING, SynthesisCompleted()),
    "a closing text without its usage": (
        *WRITING,
        SynthesisCompleted("ann", 1),
    ),
    "two closing texts": (*up_to_synthesis(), *written(), SynthesisCompleted()),
    "an end before the minutes": (*WRITING, Completed(Outcome("agenda"))),
    "a resumption without a pause": (*OPENED, Resumed(Phase.IN_ROUND)),
    "a resumption to another phase": (*OPENED, Paused(), Resumed(Phase.SYNTHESIZING)),
    "a pause in a pause": (*OPENED, Paused(), Paused()),
    "a start while paused": (*OPENED, Paused(), attempt_started()),
    "a remark nobody would hear": (*up_to_synthesis(), RemarkMade("Eve", "Hi", 1)),
    "anything after the end": (*whole_meeting(), ADOPTED),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_history_that_cannot_have_happened_is_refused_at_its_last_fact(name: str):
    events = history(*IMPOSSIBLE[name])
    before = project(None, events[:-1])
    with pytest.raises(CorruptHistory):
        evolve(before, events[-1])


def test_a_history_has_at_least_one_event():
    with pytest.raises(CorruptHistory, match="at least one"):
        fold([])


@pytest.mark.parametrize("version", [0, 1, 2, 4])
def test_versions_have_no_gaps_and_no_repeats(version: int):
    first, second, third = history(convened(), round_opened(1), attempt_started())
    with pytest.raises(CorruptHistory, match=f"version {version} cannot follow"):
        fold([first, second, replace(third, originator_version=version)])


def test_a_history_begins_at_version_one():
    (event,) = history(convened())
    with pytest.raises(CorruptHistory, match="at version 2"):
        fold([replace(event, originator_version=2)])


def test_events_of_another_meeting_are_refused():
    first, second = history(convened(), round_opened(1))
    with pytest.raises(CorruptHistory, match="cannot follow"):
        fold([first, replace(second, originator_id=UUID(int=666))])


def test_folding_in_steps_is_folding_at_once():
    events = history(*whole_meeting())
    for cut in range(1, len(events)):
        assert project(fold(events[:cut]), events[cut:]) == fold(events)


def test_replay_takes_what_todays_policy_would_refuse():
    """Rules for commands may grow stricter; what happened under the old ones stays readable."""
    early = (*OPENED, *spoken("ann"), RoundClosed(1, "partial", "agenda"), SynthesisStarted())
    assert meeting_after(*early).phase is Phase.SYNTHESIZING


def test_a_turn_keeps_its_times_and_its_place():
    facts = (convened(), round_opened(1), Later(5, attempt_started()), Later(9, turn_completed()))
    (ended,) = meeting_after(*facts).turns
    assert (ended.started_at, ended.ended_at, ended.version) == (after(5), after(9), 4)


def test_a_first_attempt_starts_the_turn_and_a_second_does_not_start_it_again():
    facts = [convened(), round_opened(1), Later(5, attempt_started())]
    facts += [attempt_failed(retry_at=after(6)), Later(7, attempt_started(number=2))]
    facts += [Later(9, turn_completed(number=2))]
    (ended,) = meeting_after(*facts).turns
    assert (ended.started_at, ended.attempts) == (after(5), 2)


def test_progress_counts_ended_turns_then_the_synthesis_then_the_end():
    seen = [meeting_after(*whole_meeting()[:cut]).progress_pct for cut in range(1, 18)]
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 100)
    assert meeting_after(convened(), *whole_round(1)).progress_pct == 45
    assert meeting_after(*up_to_synthesis()).progress_pct == 90
    one_skipped = (*OPENED, *skipped("ann"))
    assert meeting_after(*one_skipped).progress_pct == 22


def test_the_state_is_spelt_as_clients_know_it():
    states = [meeting_after(*whole_meeting()[:cut]).state for cut in range(1, 18)]
    assert list(dict.fromkeys(states)) == [
        "gathering",
        "round_1",
        "round_2",
        "synthesizing",
        "complete",
    ]
