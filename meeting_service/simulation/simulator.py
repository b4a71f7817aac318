"""The simulator: holds the meeting of a plan on a clock of its own, once for each run."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from meeting_core.decider import decide_events
from meeting_core.model import (
    Command,
    Complete,
    Convene,
    EventMetadata,
    FaultClass,
    Meeting,
    ReportFault,
)
from meeting_core.projector import evolve
from meeting_core.prompt import Brief
from meeting_core.steps import (
    Ask,
    BeginAttempt,
    Ended,
    GiveCommand,
    Idle,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    next_step,
)
from meeting_service.simulation.collector import Subtotal
from meeting_service.simulation.limit_hits import SHORT_OF_BUDGET, SHORT_OF_CONTEXT, SHORT_OF_TIME
from meeting_service.simulation.model import Call, Model, Weather
from meeting_service.simulation.plan import Plan
from meeting_service.simulation.run_result import Held

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
SOME_ID = UUID(int=0)
"""Nothing here is stored, so every meeting and every event may have the same id."""

BROKE = frozenset({"paused", "error: budget"})


class Simulator:
    """Holds a plan's meeting, run after run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        config = plan.meeting
        without_ceiling = replace(config, meeting_tokens=None, meeting_cost=None)
        # Without its limits a meeting shows what it needs of each of them.
        self._boundless = replace(plan, meeting=without_ceiling)
        self._seeing_all = replace(
            plan,
            meeting=replace(without_ceiling, context_tokens=plan.limits.max_context_tokens),
        )
        self._unhurried = replace(
            plan,
            meeting=replace(config, meeting_timeout_seconds=plan.limits.max_timeout_seconds),
        )

    def runs(self) -> Iterator[Held]:
        """Hold the meeting as often as the plan says, one after the other."""
        for run in range(1, self._plan.runs + 1):
            yield self.held(run)

    def held(self, run: int) -> Held:
        """Hold the meeting of one run.

        Invariant: the needs are exact: under limits that cover them nothing is shortened, cut or
        ended early.
        """
        held = hold(self._plan, run)
        needs = held.needs
        # These end a meeting, or let it rest, before any economy is made.
        is_short = held.ending in BROKE
        if is_short or SHORT_OF_BUDGET & held.trips.keys():
            boundless = hold(self._boundless, run).needs
            needs = replace(needs, tokens=boundless.tokens, micros=boundless.micros)
        if SHORT_OF_CONTEXT & held.trips.keys():
            seeing_all = hold(self._seeing_all, run).needs
            needs = replace(needs, context_tokens=seeing_all.context_tokens)
        if SHORT_OF_TIME & held.trips.keys():
            needs = replace(needs, seconds=hold(self._unhurried, run).needs.seconds)
        return held if needs is held.needs else replace(held, needs=needs)


def hold(plan: Plan, run: int) -> Held:
    """Hold a plan's meeting once, under its own limits."""
    return _Meeting(plan, run).hold()


class _Meeting:
    """One meeting under way, with its clock."""

    def __init__(self, plan: Plan, run: int) -> None:
        self._plan = plan
        self._model = Model(plan, run)
        self._weather = Weather(plan, run)
        self._now = BEGINNING
        self._meeting: Meeting | None = None
        self._brief: Brief | None = None
        self._subtotal = Subtotal(plan.meeting)

    def hold(self) -> Held:
        command: Command = Convene(SOME_ID, self._plan.meeting, self._plan.limits)
        while True:
            meeting = self._record(command)
            match step := next_step(meeting, self._brief):
                case Ended() | Idle():
                    return self._subtotal.held(meeting, self._seconds)
                case GiveCommand() | BeginAttempt():
                    command = step.command
                case WaitUntil():
                    self._now = max(self._now, step.at)
                    command = step.then.command
                case WaitForGateway():
                    command = self._wait(step)
                case Ask():
                    command = self._ask(meeting, step)
                case SaveMinutes():
                    command = Complete()

    @property
    def _seconds(self) -> float:
        return (self._now - BEGINNING).total_seconds()

    def _record(self, command: Command) -> Meeting:
        before = self._meeting
        metadata = EventMetadata(self._now, SOME_ID, "simulation")
        decision = decide_events(before, command, metadata, lambda: SOME_ID)
        meeting = before
        for event in decision.events:
            if meeting is not None:
                self._subtotal.note(meeting, event.fact, self._seconds)
            meeting = evolve(meeting, event)
        self._meeting, self._brief = decision.meeting, decision.brief
        return decision.meeting

    def _wait(self, step: WaitForGateway) -> Command:
        back_at = self._weather.back_at(step.gateway, self._now)
        self._now = max(self._now, min(back_at, step.until))
        return (step.then if back_at < step.until else step.otherwise).command

    def _ask(self, meeting: Meeting, ask: Ask) -> Command:
        assert meeting.task_state is not None
        assert meeting.task_state.open is not None
        if self._weather.is_unreachable(ask.participant.gateway, self._now):
            return ReportFault(
                ask.task,
                ask.number,
                FaultClass.UNAVAILABLE,
                "simulated outage",
                reached=False,
                is_unreachable=True,
            )
        call = Call(
            ask.task,
            ask.number,
            ask.participant.agent_id,
            meeting.task_state.open.manifest.tokens,
            ask.output_tokens,
            (ask.deadline_at - self._now).total_seconds(),
        )
        answer = self._model.answer(call)
        self._subtotal.note_answer(meeting, call, answer)
        self._now += timedelta(seconds=answer.seconds)
        return answer.command
