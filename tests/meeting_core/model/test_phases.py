"""The table of phases is the chart, the chart is the hand-written paths, and both agree."""

from types import SimpleNamespace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statemachine import State, StateChart
from statemachine.exceptions import TransitionNotAllowed

from meeting_core import CorruptHistory, Fact, Phase, fold
from meeting_core.model import (
    FINAL_PHASES,
    TRANSITIONS,
    Paused,
    PhaseChart,
    Resumed,
    SynthesisStarted,
)
from meeting_core.model import TRIGGERS as CHART_TRIGGERS
from tests.builders import (
    convened,
    history,
    meeting_after,
    round_opened,
    up_to_synthesis,
    whole_meeting,
)
from tests.meeting_core.paths import FINAL, LEGAL, LIVE

TRIGGERS = sorted({trigger for _, trigger in LEGAL})
PAUSABLE = (Phase.GATHERING, Phase.IN_ROUND, Phase.SYNTHESIZING)


def machine_at(phase: Phase) -> PhaseChart:
    """The real machine, restored where the meeting stands."""
    return PhaseChart(model=SimpleNamespace(state=phase))


def phase_of(machine: PhaseChart) -> Phase:
    return Phase(machine.model.state)


def test_the_table_holds_exactly_the_legal_paths():
    assert dict(TRANSITIONS) == LEGAL


def test_every_phase_is_either_live_or_final():
    assert {*LIVE, *FINAL} == set(Phase)
    assert set(FINAL) == FINAL_PHASES


@pytest.mark.parametrize("phase", FINAL)
def test_nothing_leads_out_of_a_final_phase(phase: Phase):
    assert [edge for edge in TRANSITIONS if edge[0] is phase] == []


def test_every_phase_can_be_reached():
    reached = {Phase.GATHERING}
    while more := {to for (at, _), to in LEGAL.items() if at in reached} - reached:
        reached |= more
    assert reached == set(Phase)


def test_the_machine_is_strict():
    """The library's defaults would ignore impossible events and run self-transitions twice."""
    assert PhaseChart.allow_event_without_transition is False
    assert PhaseChart.catch_errors_as_events is False
    assert PhaseChart.atomic_configuration_update is True
    assert PhaseChart.enable_self_transition_entries is False


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_the_machine_and_the_table_agree_on_every_edge(phase: Phase, trigger: str):
    machine = machine_at(phase)
    expected = TRANSITIONS.get((phase, trigger))
    if expected is None:
        with pytest.raises(TransitionNotAllowed):
            machine.send(trigger)
    else:
        machine.send(trigger)
    assert phase_of(machine) is (expected or phase)


@settings(max_examples=150)
@given(st.lists(st.sampled_from(TRIGGERS), max_size=25), st.booleans())
def test_the_machine_and_the_table_agree_along_whole_histories(wishes: list[str], keen: bool):
    """A keen history skips the events that end the meeting, so that it gets far."""
    machine, phase = machine_at(Phase.GATHERING), Phase.GATHERING
    for trigger in wishes:
        if keen and trigger in {"cancelled", "failed"}:
            continue
        expected = TRANSITIONS.get((phase, trigger))
        try:
            machine.send(trigger)
        except TransitionNotAllowed:
            assert expected is None
        else:
            assert expected is not None
            phase = expected
        assert phase_of(machine) is phase
        assert phase_of(machine_at(phase)) is phase  # restoring enters nothing


def trigger_of(fact: Fact) -> str:
    return f"resumed_to_{fact.to}" if isinstance(fact, Resumed) else CHART_TRIGGERS[type(fact)]


def test_the_machine_follows_a_whole_meeting_beside_the_fold():
    events = history(*whole_meeting())
    machine = machine_at(fold(events[:1]).phase)
    for version in range(2, len(events) + 1):
        machine.send(trigger_of(events[version - 1].fact))
        assert phase_of(machine) is fold(events[:version]).phase


def test_every_fact_but_the_first_has_a_trigger():
    names = {fact.TOPIC.split(".")[1] for fact in get_args(Fact)}
    triggers = {trigger for trigger in TRIGGERS if not trigger.startswith("resumed_to_")}
    assert names == triggers | {"convened", "resumed"}


@pytest.mark.parametrize("phase", PAUSABLE)
def test_resuming_leads_back_to_where_the_pause_began_only(phase: Phase):
    facts = {
        Phase.GATHERING: [convened()],
        Phase.IN_ROUND: [convened(), round_opened(1)],
        Phase.SYNTHESIZING: up_to_synthesis(),
    }[phase]
    for to in PAUSABLE:
        events = history(*facts, Paused(), Resumed(to))
        if to is phase:
            assert fold(events).phase is phase
        else:
            with pytest.raises(CorruptHistory, match="paused from"):
                fold(events)


def test_a_fact_without_an_edge_is_a_corrupt_history():
    with pytest.raises(CorruptHistory, match="'synthesis_started' cannot happen in phase gather"):
        meeting_after(convened(), SynthesisStarted())
    with pytest.raises(CorruptHistory, match="'resumed_to_complete' cannot happen"):
        meeting_after(convened(), Paused(), Resumed(Phase.COMPLETE))


def test_an_ambiguous_chart_is_refused():
    from meeting_core.model import phases

    class Ambiguous(StateChart):
        gathering = State(value=Phase.GATHERING, initial=True)
        in_round = State(value=Phase.IN_ROUND, final=True)
        error = State(value=Phase.ERROR, final=True)
        goes = gathering.to(in_round) | gathering.to(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "PhaseChart", Ambiguous)
        with pytest.raises(TypeError, match="ambiguous"):
            phases._derive()
