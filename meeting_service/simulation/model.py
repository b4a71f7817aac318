"""The model of a simulation: what a call brings and how long it takes, from seed and call alone."""

from datetime import UTC, datetime, timedelta
from random import Random

from msgspec import Struct

from meeting_core.model import (
    AcceptReply,
    DigestTask,
    FaultClass,
    ReportFault,
    SynthesisTask,
    Task,
    Timing,
    TurnTask,
    Usage,
)
from meeting_service.simulation.lengths import drawn_tokens
from meeting_service.simulation.plan import Plan
from meeting_service.simulation.sample_texts import minutes_of, text_of

FAULTS_WITH_OUTPUT = frozenset({FaultClass.TRUNCATED, FaultClass.EMPTY})
"""Faults of calls that ran to their end, and are paid for."""


class Call(Struct, frozen=True):
    """One call as the model sees it.

    Units: `prompt_tokens` by our estimate, `output_tokens` is the cap, `seconds_left` until the
    call is given up.
    """

    task: Task
    number: int
    agent_id: str
    prompt_tokens: int
    output_tokens: int
    seconds_left: float


class Answer(Struct, frozen=True):
    """What a call brought, and what it would have taken without its bounds.

    Units: `seconds` is how long it took, `wanted_seconds` and `wanted_tokens` what the whole
    reply would have; 0 tokens where no reply was drawn.
    """

    command: AcceptReply | ReportFault
    seconds: float
    wanted_seconds: float
    wanted_tokens: int = 0


class Model:
    """Answers the calls of one meeting.

    Invariant: the same plan, run and call give the same draws, whatever the meeting's limits are;
    so meetings under two sets of limits differ by the limits alone.
    """

    def __init__(self, plan: Plan, run: int) -> None:
        self._plan = plan
        self._run = run
        faults = [(fault, getattr(plan.faults, fault.value)) for fault in FaultClass]
        self._faults = tuple((fault, share) for fault, share in faults if share)

    def answer(self, call: Call) -> Answer:
        """Answer a call, or fail it."""
        random = Random(f"{self._plan.seed}/{self._run}/{call.task.key}/{call.number}")  # noqa: S311
        # Always in this order: a setting that changes one draw must not change the others.
        luck, jitter, habit = random.random(), random.uniform(-1, 1), random.random()
        is_reported = random.random() < self._plan.usage.reported
        # The last, for a distribution takes as many numbers as it needs.
        length = self._wanted(call, random)
        pace = 1 + self._plan.latency.jitter * jitter
        fault = self._fault(luck)
        if fault is not None:
            return self._failed(call, fault, pace, is_reported=is_reported)
        ignores_cap, is_complete = self._habits(call, habit)
        said = length if ignores_cap else min(length, call.output_tokens)
        seconds = self._seconds(said, pace)
        if seconds > call.seconds_left:
            return self._late(call, seconds, length)
        usage = self._usage(call, said) if is_reported else None
        command = AcceptReply(
            call.task,
            call.number,
            self._text(call.task, said, length, is_complete=is_complete),
            "stop" if said == length else "length",
            usage,
            "",
            Timing(round(1000 * seconds), round(1000 * self._seconds(0, pace))),
        )
        return Answer(command, seconds, seconds, length)

    def _wanted(self, call: Call, random: Random) -> int:
        match call.task:
            case TurnTask():
                return drawn_tokens(self._plan.replies[call.agent_id].tokens, random)
            case DigestTask():
                return drawn_tokens(self._plan.digest.tokens, random)
            case SynthesisTask():
                return drawn_tokens(self._plan.synthesis.tokens, random)

    def _habits(self, call: Call, habit: float) -> tuple[bool, bool]:
        """Say whether the cap is ignored, and whether all sections are there."""
        match call.task:
            case TurnTask():
                return habit < self._plan.replies[call.agent_id].ignores_cap_probability, True
            case SynthesisTask():
                return False, habit < self._plan.synthesis.complete_sections_probability
            case DigestTask():
                return False, True

    def _fault(self, luck: float) -> FaultClass | None:
        for fault, share in self._faults:
            if luck < share:
                return fault
            luck -= share
        return None

    def _failed(self, call: Call, fault: FaultClass, pace: float, *, is_reported: bool) -> Answer:
        ran = fault in FAULTS_WITH_OUTPUT
        seconds = self._seconds(call.output_tokens if ran else 0, pace)
        if fault is FaultClass.TIMED_OUT or seconds > call.seconds_left:
            return self._late(call, call.seconds_left, 0)
        limited = fault is FaultClass.RATE_LIMITED
        command = ReportFault(
            call.task,
            call.number,
            fault,
            "simulated",
            self._plan.faults.retry_after_seconds if limited else None,
            self._usage(call, call.output_tokens) if ran and is_reported else None,
            timing=Timing(round(1000 * seconds)),
        )
        return Answer(command, seconds, seconds)

    def _late(self, call: Call, wanted_seconds: float, wanted_tokens: int) -> Answer:
        """Give the call up at its deadline, as the runner does."""
        seconds = max(call.seconds_left, 0.0)
        command = ReportFault(
            call.task,
            call.number,
            FaultClass.TIMED_OUT,
            "simulated",
            timing=Timing(round(1000 * seconds)),
        )
        return Answer(command, seconds, wanted_seconds, wanted_tokens)

    def _seconds(self, tokens: int, pace: float) -> float:
        latency = self._plan.latency
        return pace * (latency.first_token_seconds + tokens / latency.tokens_per_second)

    def _usage(self, call: Call, said: int) -> Usage:
        return Usage(self._true(call.prompt_tokens), said, "reported")

    def _true(self, estimated: int) -> int:
        return max(1, round(estimated * self._plan.usage.factor))

    def _text(self, task: Task, said: int, wanted: int, *, is_complete: bool) -> str:
        factor = self._plan.usage.factor
        tokens, all_tokens = max(1, round(said / factor)), max(1, round(wanted / factor))
        if isinstance(task, SynthesisTask):
            return minutes_of(tokens, all_tokens, is_complete=is_complete)
        return text_of(tokens)


class Weather:
    """The outage of one meeting, if it has one: one gateway is away from some call on."""

    def __init__(self, plan: Plan, run: int) -> None:
        random = Random(f"{plan.seed}/{run}")  # noqa: S311
        config = plan.meeting
        call = random.randint(1, config.num_rounds * len(config.participants) + 1)
        has_outage = random.random() < plan.outage.probability
        self._calls_before = call - 1 if has_outage else None
        self._lasts = timedelta(seconds=plan.outage.seconds)
        self._gateway: str | None = None
        self._ends_at = datetime.min.replace(tzinfo=UTC)

    def is_unreachable(self, gateway: str, now: datetime) -> bool:
        """Say whether a call made now finds the gateway away."""
        if self._calls_before == 0:
            self._gateway, self._ends_at = gateway, now + self._lasts
        if self._calls_before is not None:
            self._calls_before -= 1
        return gateway == self._gateway and now < self._ends_at

    def back_at(self, gateway: str, now: datetime) -> datetime:
        """Say when the gateway can be reached, not before now."""
        return max(now, self._ends_at) if gateway == self._gateway else now
