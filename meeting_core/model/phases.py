"""The phases of a meeting: the one chart, and the table derived from it.

The chart is the only statement of what may follow what. A fact is a trigger; rounds are a
counter, not states. Replay and `allowed_actions` look the table up; the chart itself never runs on
the hot path (building a machine costs thousands of look-ups). Source: ADR 0003.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import get_args

from statemachine import State, StateChart
from statemachine.transition_list import TransitionList

from meeting_core.model.events import Fact, Resumed
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import Phase


def _stay(*states: State) -> TransitionList:
    """Return the transitions of a fact that may happen in these phases and does not leave them."""
    loops: list[TransitionList] = [state.to.itself(internal=True) for state in states]  # type: ignore[no-untyped-call]  # the library leaves `itself` unannotated
    return reduce(or_, loops)


class PhaseChart(StateChart[object]):
    """Every phase, and every fact that may happen in it.

    A trigger is the fact's own name, except that a resumed meeting goes back to the phase it was
    paused in (`resumed_to_...`).
    """

    allow_event_without_transition = False
    catch_errors_as_events = False
    atomic_configuration_update = True
    enable_self_transition_entries = False

    gathering = State(value=Phase.GATHERING, initial=True)
    in_round = State(value=Phase.IN_ROUND)
    synthesizing = State(value=Phase.SYNTHESIZING)
    on_hold = State("Paused", value=Phase.PAUSED)
    complete = State(value=Phase.COMPLETE, final=True)
    called_off = State("Cancelled", value=Phase.CANCELLED, final=True)
    error = State(value=Phase.ERROR, final=True)

    round_opened = gathering.to(in_round) | _stay(in_round)
    round_closed = _stay(in_round)
    round_digested = _stay(in_round, on_hold)
    synthesis_started = in_round.to(synthesizing)
    completed = synthesizing.to(complete)

    attempt_started = _stay(in_round, synthesizing)
    attempt_failed = _stay(in_round, synthesizing, on_hold)
    attempt_abandoned = _stay(in_round, synthesizing, on_hold)
    turn_completed = _stay(in_round, on_hold)
    turn_skipped = _stay(in_round, on_hold)
    synthesis_drafted = _stay(synthesizing, on_hold)
    synthesis_completed = _stay(synthesizing, on_hold)

    adopted = _stay(gathering, in_round, synthesizing, on_hold)
    remark_made = _stay(gathering, in_round, on_hold)
    budget_raised = _stay(gathering, in_round, synthesizing, on_hold)

    paused = on_hold.from_(gathering, in_round, synthesizing)
    resumed_to_gathering = on_hold.to(gathering)
    resumed_to_in_round = on_hold.to(in_round)
    resumed_to_synthesizing = on_hold.to(synthesizing)

    cancelled = called_off.from_(gathering, in_round, synthesizing, on_hold)
    failed = error.from_(gathering, in_round, synthesizing, on_hold)


def allowed_actions(meeting: Meeting) -> tuple[str, ...]:
    """Return what a client may do now, by the names of the API's routes.

    Invariant: an action is listed if, and only if, a well-formed command for it leads to a fact.
    """
    # What is allowed in a pause is what was allowed in the phase before it.
    before = meeting.paused_from if meeting.phase is Phase.PAUSED else meeting.phase
    config = meeting.config
    has_ceiling = config.meeting_tokens is not None or config.meeting_cost is not None
    is_allowed = {
        "pause": (meeting.phase, "paused") in TRANSITIONS,
        "resume": (meeting.phase, f"resumed_to_{meeting.paused_from}") in TRANSITIONS,
        "cancel": (meeting.phase, "cancelled") in TRANSITIONS,
        "wrap_up": (before, "round_closed") in TRANSITIONS and meeting.has_open_round,
        "raise_budget": (meeting.phase, "budget_raised") in TRANSITIONS and has_ceiling,
        "remark": (before, "remark_made") in TRANSITIONS,
    }
    return tuple(action for action in ACTIONS if is_allowed[action])


def _derive() -> Mapping[tuple[Phase, str], Phase]:
    table: dict[tuple[Phase, str], Phase] = {}
    for state in PhaseChart.states:
        for transition in state.transitions:
            edge = (Phase(state.value), str(transition.event))
            target = Phase(transition.target.value)
            if table.setdefault(edge, target) != target:
                raise TypeError(f"ambiguous transition {edge}")
    return MappingProxyType(table)


TRANSITIONS: Mapping[tuple[Phase, str], Phase] = _derive()
"""`(phase, trigger) -> phase`, for every edge of the chart."""

TRIGGERS: Mapping[type[Fact], str] = MappingProxyType(
    {
        fact: fact.TOPIC.removeprefix("meeting.").partition(".")[0]
        for fact in get_args(Fact)
        if fact is not Resumed
    }
)
"""The chart's trigger for each fact but `Resumed`, which has one for each phase it leads to."""

ACTIONS = ("pause", "resume", "cancel", "wrap_up", "raise_budget", "remark")
"""What clients may do to a live meeting, by the names of the API's routes."""
