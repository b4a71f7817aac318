"""The simulated model: the answer to a call and its time, from the seed and the call alone."""

from datetime import UTC, datetime, timedelta
from random import Random

from msgspec import Struct

from meeting_core.model import (
    AcceptReply,
    DigestTask,
    FaultClass,
    ReportedUsage,
    ReportFault,
    SynthesisTask,
    Task,
    Timing,
    TurnTask,
)
from meeting_service.simulation.lengths import sample_tokens
from meeting_service.simulation.plan import Plan
from meeting_service.simulation.sample_texts import minutes_of, text_of

FAULTS_WITH_OUTPUT = frozenset({FaultClass.TRUNCATED, FaultClass.EMPTY})
"""Faults of calls that ran to their end and are charged."""


class Call(Struct, frozen=True):
    """One call as the model sees it.

    Units: `prompt_tokens` by our estimate; `output_tokens` is the cap; `seconds_left` until the
    deadline of the call.
    """

    task: Task
    number: int
    agent_id: str
    prompt_tokens: int
    output_tokens: int
    seconds_left: float


class Answer(Struct, frozen=True):
    """The answer to a call, and what it would have taken without limits.

    Units: `seconds` is how long it took; `wanted_seconds` and `wanted_tokens` are what the complete
    reply would have taken, 0 tokens if no reply was sampled.
    """

    command: AcceptReply | ReportFault
    seconds: float
    wanted_seconds: float
    wanted_tokens: int = 0


class Model:
    """Answers the calls of one meeting.

    Invariant: the same plan, run and call give the same samples whatever the limits are, so
    meetings under two sets of limits differ by the limits alone.
    """

    def __init__(self, plan: Plan, run: int) -> None:
        self._plan = plan
        self._run = run
        faults = [(fault, getattr(plan.faults, fault.value)) for fault in FaultClass]
        self._faults = tuple((fault, share) for fault, share in faults if share)

    def answer(self, call: Call) -> Answer:
        """Return the reply to a call, or its fault."""
        random = Random(f"{self._plan.seed}/{self._run}/{call.task.key}/{call.number}")  # noqa: S311
        # Always in this order, so that a setting that changes one sample changes no other.
        fault_draw, jitter, behaviour_draw = random.random(), random.uniform(-1, 1), random.random()
        is_reported = random.random() < self._plan.usage.reported
        # Last, because distributions take different counts of random numbers.
        length = self._wanted_tokens_of(call, random)
        latency_factor = 1 + self._plan.latency.jitter * jitter
        fault = self._fault(fault_draw)
        if fault is not None:
            return self._failed(call, fault, latency_factor, is_reported=is_reported)
        ignores_cap, is_complete = self._behaviour(call, behaviour_draw)
        reply_tokens = length if ignores_cap else min(length, call.output_tokens)
        thought_tokens = self._plan.usage.reasoning_tokens
        seconds = self._seconds(thought_tokens + reply_tokens, latency_factor)
        if seconds > call.seconds_left:
            return self._timed_out(call, seconds, length)
        usage = self._usage(call, reply_tokens) if is_reported else None
        command = AcceptReply(
            call.task,
            call.number,
            self._text(call.task, reply_tokens, length, is_complete=is_complete),
            "stop" if reply_tokens == length else "length",
            usage,
            "",
            Timing(round(1000 * seconds), round(1000 * self._seconds(0, latency_factor))),
            thought_tokens=thought_tokens,
        )
        return Answer(command, seconds, seconds, length)

    def _wanted_tokens_of(self, call: Call, random: Random) -> int:
        match call.task:
            case TurnTask():
                return sample_tokens(self._plan.replies[call.agent_id].tokens, random)
            case DigestTask():
                return sample_tokens(self._plan.digest.tokens, random)
            case SynthesisTask():
                return sample_tokens(self._plan.synthesis.tokens, random)

    def _behaviour(self, call: Call, behaviour_draw: float) -> tuple[bool, bool]:
        """Return whether the cap is ignored, and whether the minutes have all sections."""
        match call.task:
            case TurnTask():
                return behaviour_draw < self._plan.replies[
                    call.agent_id
                ].ignores_cap_probability, True
            case SynthesisTask():
                return False, behaviour_draw < self._plan.synthesis.complete_sections_probability
            case DigestTask():
                return False, True

    def _fault(self, fault_draw: float) -> FaultClass | None:
        for fault, share in self._faults:
            if fault_draw < share:
                return fault
            fault_draw -= share
        return None

    def _failed(
        self, call: Call, fault: FaultClass, latency_factor: float, *, is_reported: bool
    ) -> Answer:
        ran = fault in FAULTS_WITH_OUTPUT
        seconds = self._seconds(call.output_tokens if ran else 0, latency_factor)
        if fault is FaultClass.TIMED_OUT or seconds > call.seconds_left:
            return self._timed_out(call, call.seconds_left, 0)
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

    def _timed_out(self, call: Call, wanted_seconds: float, wanted_tokens: int) -> Answer:
        """End the call at its deadline, as the runner does."""
        seconds = max(call.seconds_left, 0.0)
        command = ReportFault(
            call.task,
            call.number,
            FaultClass.TIMED_OUT,
            "simulated",
            timing=Timing(round(1000 * seconds)),
        )
        return Answer(command, seconds, wanted_seconds, wanted_tokens)

    def _seconds(self, tokens: int, latency_factor: float) -> float:
        latency = self._plan.latency
        return latency_factor * (latency.first_token_seconds + tokens / latency.tokens_per_second)

    def _usage(self, call: Call, reply_tokens: int) -> ReportedUsage:
        prompt = self._provider_tokens(call.prompt_tokens)
        thoughts = self._plan.usage.reasoning_tokens
        written = reply_tokens + thoughts
        return ReportedUsage(prompt, written, prompt + written, thoughts)

    def _provider_tokens(self, estimated: int) -> int:
        return max(1, round(estimated * self._plan.usage.factor))

    def _text(self, task: Task, reply_tokens: int, wanted: int, *, is_complete: bool) -> str:
        factor = self._plan.usage.factor
        tokens, all_tokens = max(1, round(reply_tokens / factor)), max(1, round(wanted / factor))
        if isinstance(task, SynthesisTask):
            return minutes_of(tokens, all_tokens, is_complete=is_complete)
        return text_of(tokens)


class SimulatedOutage:
    """The outage of one meeting, if any: from some call on, one gateway is unreachable."""

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
        """Return whether a call made now finds the gateway unreachable."""
        if self._calls_before == 0:
            self._gateway, self._ends_at = gateway, now + self._lasts
        if self._calls_before is not None:
            self._calls_before -= 1
        return gateway == self._gateway and now < self._ends_at

    def back_at(self, gateway: str, now: datetime) -> datetime:
        """Return when the gateway is reachable, at the earliest now."""
        return max(now, self._ends_at) if gateway == self._gateway else now
