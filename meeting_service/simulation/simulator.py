"""The simulator: runs the meeting of a plan on a simulated clock, once for each run."""

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
from meeting_service.simulation.collector import Collector
from meeting_service.simulation.limit_hits import SHORT_OF_BUDGET, SHORT_OF_CONTEXT, SHORT_OF_TIME
from meeting_service.simulation.plan import Plan
from meeting_service.simulation.run_result import RunResult
from meeting_service.simulation.simulated_model import Call, Model, SimulatedOutage

STARTED_AT = datetime(2000, 1, 1, tzinfo=UTC)
FIXED_ID = UUID(int=0)
"""Nothing is stored, so every meeting and every event may have the same id."""

OUT_OF_BUDGET = frozenset({"paused", "error: budget"})


class Simulator:
    """Runs a plan's meeting again and again."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        config = plan.meeting
        without_ceiling = replace(config, meeting_tokens=None, meeting_cost=None)
        # Run without a limit, a meeting shows how much of it it needs.
        self._without_ceilings = replace(plan, meeting=without_ceiling)
        self._with_full_context = replace(
            plan,
            meeting=replace(without_ceiling, context_tokens=plan.limits.max_context_tokens),
        )
        self._with_max_duration = replace(
            plan,
            meeting=replace(config, meeting_timeout_seconds=plan.limits.max_timeout_seconds),
        )

    def runs(self) -> Iterator[RunResult]:
        """Yield the result of each run of the plan."""
        for run in range(1, self._plan.runs + 1):
            yield self.result(run)

    def result(self, run: int) -> RunResult:
        """Return the result of one run.

        Invariant: the needs are exact: under limits that cover them nothing is shortened, cut or
        ended early.
        """
        result = simulate_run(self._plan, run)
        needs = result.needs
        # These end or pause a meeting before any budget reduction.
        is_short = result.ending in OUT_OF_BUDGET
        if is_short or SHORT_OF_BUDGET & result.limit_hits.keys():
            without_ceilings = simulate_run(self._without_ceilings, run).needs
            needs = replace(needs, tokens=without_ceilings.tokens, micros=without_ceilings.micros)
        if SHORT_OF_CONTEXT & result.limit_hits.keys():
            with_full_context = simulate_run(self._with_full_context, run).needs
            needs = replace(needs, context_tokens=with_full_context.context_tokens)
        if SHORT_OF_TIME & result.limit_hits.keys():
            needs = replace(needs, seconds=simulate_run(self._with_max_duration, run).needs.seconds)
        return result if needs is result.needs else replace(result, needs=needs)


def simulate_run(plan: Plan, run: int) -> RunResult:
    """Run a plan's meeting once, under its own limits."""
    return _Run(plan, run).result()


class _Run:
    """One run of the meeting, with its clock."""

    def __init__(self, plan: Plan, run: int) -> None:
        self._plan = plan
        self._model = Model(plan, run)
        self._outage = SimulatedOutage(plan, run)
        self._now = STARTED_AT
        self._meeting: Meeting | None = None
        self._brief: Brief | None = None
        self._collector = Collector(plan.meeting)

    def result(self) -> RunResult:
        command: Command = Convene(FIXED_ID, self._plan.meeting, self._plan.limits)
        while True:
            meeting = self._record(command)
            match step := next_step(meeting, self._brief):
                case Ended() | Idle():
                    return self._collector.result(meeting, self._seconds)
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
        return (self._now - STARTED_AT).total_seconds()

    def _record(self, command: Command) -> Meeting:
        before = self._meeting
        metadata = EventMetadata(self._now, FIXED_ID, "simulation")
        decision = decide_events(before, command, metadata, lambda: FIXED_ID)
        meeting = before
        for event in decision.events:
            if meeting is not None:
                self._collector.add_fact(meeting, event.fact, self._seconds)
            meeting = evolve(meeting, event)
        self._meeting, self._brief = decision.meeting, decision.brief
        return decision.meeting

    def _wait(self, step: WaitForGateway) -> Command:
        back_at = self._outage.back_at(step.gateway, self._now)
        self._now = max(self._now, min(back_at, step.until))
        return (step.then if back_at < step.until else step.otherwise).command

    def _ask(self, meeting: Meeting, ask: Ask) -> Command:
        assert meeting.task_state is not None
        assert meeting.task_state.open is not None
        if self._outage.is_unreachable(ask.participant.gateway, self._now):
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
        self._collector.add_answer(meeting, call, answer)
        self._now += timedelta(seconds=answer.seconds)
        return answer.command
