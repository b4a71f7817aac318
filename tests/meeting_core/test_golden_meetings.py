"""Golden meetings: whole histories of the past fold, and every brief in them can be rebuilt."""

from collections import Counter
from functools import cache
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from meeting_core import (
    Ended,
    Fact,
    Meeting,
    MeetingEvent,
    MeetingMapper,
    Phase,
    fold,
    next_step,
    outcome_of,
    rebuild_brief,
)
from meeting_core.model import (
    AttemptStarted,
    Cancelled,
    Completed,
    DigestTask,
    Failed,
    SynthesisTask,
    TurnTask,
)
from tests.meeting_core.golden_meetings import MEETINGS, PLAYS, stored

NAMES = sorted(PLAYS)


@cache
def history_of(name: str) -> list[MeetingEvent]:
    return MeetingMapper().to_meeting_events(stored(name))


def attempts_in(name: str) -> list[AttemptStarted]:
    facts = [event.fact for event in history_of(name)]
    return [fact for fact in facts if isinstance(fact, AttemptStarted)]


def test_every_golden_meeting_is_kept():
    assert sorted(path.stem for path in MEETINGS.glob("*.jsonl")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_meeting_folds_to_its_end(name: str):
    meeting = fold(history_of(name))
    assert meeting.phase is Phase.COMPLETE
    assert next_step(meeting) == Ended()
    assert meeting.ledger.reserved == meeting.ledger.reserved_micros == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_meeting_folds_to_the_outcome_it_recorded(name: str):
    *before, last = history_of(name)
    assert isinstance(last.fact, Completed)
    computed, recorded = outcome_of(fold(before)), last.fact.outcome
    # The wording of a loss may change.
    assert len(computed.degraded) == len(recorded.degraded)
    assert replace(computed, degraded=()) == replace(recorded, degraded=())


@pytest.mark.parametrize("name", NAMES)
def test_every_brief_of_a_golden_meeting_is_rebuilt_to_its_recorded_digest(name: str):
    for attempt in attempts_in(name):
        assert rebuild_brief(history_of(name), attempt).digest == attempt.digest


@pytest.mark.parametrize("name", NAMES)
def test_a_brief_is_the_same_from_the_history_up_to_its_attempt(name: str):
    """An auditor may stop reading where the attempt was made."""
    events = history_of(name)
    for version, event in enumerate(events, 1):
        if isinstance(event.fact, AttemptStarted):
            whole = rebuild_brief(events, event.fact)
            assert rebuild_brief(events[:version], event.fact) == whole


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_meeting_is_written_as_it_is_stored(name: str):
    for row, event in zip(stored(name), history_of(name), strict=True):
        again = MeetingMapper().to_stored_event(event)
        assert again.topic == row.topic
        before, after = msgspec.json.decode(row.state), msgspec.json.decode(again.state)
        # A configuration is written with all its fields, those added since included.
        if "configuration" in before["fact"]:
            fields = before["fact"]["configuration"]
            after["fact"]["configuration"] = {
                name: after["fact"]["configuration"][name] for name in fields
            }
        assert after == before


def test_golden_meetings_hold_every_fact_that_does_not_end_a_meeting_otherwise():
    seen = {type(event.fact) for name in NAMES for event in history_of(name)}
    assert seen == set(get_args(Fact)) - {Cancelled, Failed}


def test_golden_briefs_were_whole_shortened_dropped_digested_and_of_a_draft():
    kinds: Counter[str] = Counter()
    for attempt in (attempt for name in NAMES for attempt in attempts_in(name)):
        manifest = attempt.manifest
        kinds.update(f"{budget_reduction} spared" for budget_reduction in attempt.budget_reductions)
        kinds.update(
            kind
            for kind in ("whole", "shortened", "dropped", "digested", "draft")
            if getattr(manifest, kind)
        )
        kinds[type(attempt.task).__name__] += 1
    for task in (TurnTask, DigestTask, SynthesisTask):
        assert kinds[task.__name__] >= 4
    for kind in ("whole", "shortened", "dropped", "digested", "draft", "brief spared"):
        assert kinds[kind] >= 2, kind


def test_golden_meetings_went_wrong_in_every_way_that_they_survive():
    meetings: list[Meeting] = [fold(history_of(name)) for name in NAMES]
    skipped = {turn.skipped_reason for each in meetings for turn in each.turns}
    assert skipped >= {None, "refused", "operator", "truncated"}
    assert {each.ended_by for each in meetings} == {"agenda", "budget", "operator"}
    assert any(turn.is_cut for each in meetings for turn in each.turns)
    rejected = {agent_id for each in meetings for agent_id, _ in each.rejected_models}
    assert rejected == {"ann"}
