"""Books of one meeting, kept by hand from its raw facts: money, attempts, turns, rounds, time.

They share no rule with the core: paths, waits, charges and caps are written out again here.
"""

import re
from collections import Counter
from datetime import datetime, timedelta
from itertools import takewhile

from meeting_core import Configuration, Fact, Meeting, MeetingEvent, Phase, Usage, build_brief
from meeting_core.commands import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Cancel,
    Command,
    Fail,
    ReportFault,
)
from meeting_core.events import (
    Adopted,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    Cancelled,
    Convened,
    Failed,
    RemarkMade,
    Resumed,
    RoundClosed,
    RoundOpened,
    SynthesisCompleted,
    SynthesisStarted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.vocabulary import AgentId, FaultClass, SynthesisTask, Task, TurnTask
from tests.core.paths import FINAL, LEGAL

FREE = {FaultClass.RATE_LIMITED, FaultClass.CONTEXT_TOO_LONG, FaultClass.REJECTED}
MOST_IN_A_ROW = {
    FaultClass.CONTEXT_TOO_LONG: 1,
    FaultClass.REFUSED: 1,
    FaultClass.REJECTED: 1,
    FaultClass.TRUNCATED: 2,
    FaultClass.EMPTY: 2,
}
FIRST_WAIT = {
    FaultClass.RATE_LIMITED: 1.0,
    FaultClass.UNAVAILABLE: 0.5,
    FaultClass.TIMED_OUT: 0.5,
}
LONGEST_WAIT, LEAST_CAP = 30.0, 32


def name_of(fact: Fact) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(fact).__name__).lower()


class Books:
    """What the facts so far add up to, by our own reckoning."""

    config: Configuration
    convened_at: datetime
    command: Command
    before: Meeting | None
    now: datetime
    version: int

    def __init__(self) -> None:
        self.phase = Phase.GATHERING
        self.spent = self.reserved = self.overrun = 0
        self.open: AttemptStarted | None = None
        self.settled: AttemptStarted
        self.numbers: Counter[Task] = Counter()
        self.tries: dict[tuple[Task, AgentId], list[FaultClass]] = {}
        self.faults: dict[Task, FaultClass] = {}
        self.clocks: dict[Task, datetime] = {}
        self.given_up: list[AgentId] = []
        self.endings: dict[TurnTask, TurnCompleted | TurnSkipped] = {}
        self.rounds: list[RoundClosed | None] = []
        self.entries: list[tuple[int, str]] = []
        self.closing: SynthesisCompleted | None = None
        self.epoch = 1
        self.version = 0

    def enter(self, event: MeetingEvent, command: Command, before: Meeting | None) -> None:
        """Book one fact, and check that it may have happened just now."""
        fact = event.fact
        self.command, self.before, self.now = command, before, event.timestamp
        self.version += 1
        assert event.originator_version == self.version
        assert self.phase not in FINAL, "the meeting had ended"
        name = name_of(fact)
        if not isinstance(fact, Convened):
            trigger = f"resumed_to_{fact.to}" if isinstance(fact, Resumed) else name
            assert (self.phase, trigger) in LEGAL
            self.phase = LEGAL[self.phase, trigger]
        getattr(self, f"on_{name}")(fact)

    def on_convened(self, fact: Convened) -> None:
        assert self.version == 1
        self.config, self.convened_at = fact.configuration, self.now

    def on_round_opened(self, fact: RoundOpened) -> None:
        assert all(closed and closed.cause == "agenda" for closed in self.rounds)
        assert fact.round_num == len(self.rounds) + 1 <= self.config.num_rounds
        self.rounds.append(None)

    def on_round_closed(self, fact: RoundClosed) -> None:
        assert fact.round_num == len(self.rounds)
        assert self.rounds[-1] is None
        assert self.open is None
        held = [end for task, end in self.endings.items() if task.round_num == fact.round_num]
        seats = len(self.config.participants)
        spoken = sum(isinstance(end, TurnCompleted) for end in held)
        assert fact.ending == {0: "silent", seats: "complete"}.get(spoken, "partial")
        match fact.cause:
            case "agenda":
                assert len(held) == seats
            case "deadline":
                assert self.now >= self.rounds_end
            case "budget":
                assert not self._can_pay_for_next()
        self.rounds[-1] = fact

    def on_attempt_started(self, fact: AttemptStarted) -> None:
        assert self.open is None, "two attempts open"
        self.numbers[fact.task] += 1
        assert fact.number == self.numbers[fact.task]
        self.clocks.setdefault(fact.task, self.now)
        prompt, cap = fact.reserved.prompt_tokens, fact.reserved.output_tokens
        assert 0 < prompt == fact.manifest.tokens <= self.config.context_tokens
        if isinstance(fact.task, TurnTask):
            assert fact.task == TurnTask(len(self.rounds), fact.agent_id)
            assert self.rounds[-1] is None
            assert fact.agent_id == self.next_speaker
            assert self.now < self.rounds_end, "the rounds are out of time"
            assert fact.task not in self.faults or self.now < self.deadline(fact.task)
            wanted, share = self.config.max_tokens_per_turn, self._synthesis_share
        else:
            seats = [seat.agent_id for seat in self.config.participants]
            assert fact.agent_id == next(seat for seat in seats if seat not in self.given_up)
            assert self.closing is None
            assert self.now < self.deadline(fact.task), "the synthesis is out of time"
            wanted, share = self.config.synthesis_max_tokens, 0
        assert cap == min(wanted, self._left(share) - prompt) >= LEAST_CAP
        self.open = fact
        self.reserved += prompt + cap

    def on_attempt_failed(self, fact: AttemptFailed) -> None:
        assert isinstance(self.command, AcceptReply | ReportFault)
        self._settle(fact.task, fact.number, fact.agent_id, fact.charged)
        reached = self.command.reached if isinstance(self.command, ReportFault) else True
        unreported = 0 if fact.fault in FREE or not reached else self.settled.reserved.total
        usage = self.command.usage
        assert fact.charged == (unreported if usage is None else usage.total)
        assert fact.retry_at == self._retry_at(fact)
        if fact.retry_at is None and isinstance(fact.task, SynthesisTask):
            self.given_up.append(fact.agent_id)
        self.faults[fact.task] = fact.fault

    def on_attempt_abandoned(self, fact: AttemptAbandoned) -> None:
        self._settle(fact.task, fact.number, fact.agent_id, fact.charged)
        assert fact.charged == self.settled.reserved.total, "the outcome is unknown: all is charged"
        match self.command:
            case Adopt() | AbandonAttempt():
                assert fact.cause == self.command.cause
            case Cancel():
                assert fact.cause == "cancel"
            case Fail():
                assert fact.cause == "failure"
            case _:
                raise AssertionError(f"{self.command} abandoned a call")

    def on_turn_completed(self, fact: TurnCompleted) -> None:
        task = TurnTask(fact.round_num, fact.agent_id)
        self._settle(task, fact.number, fact.agent_id, fact.usage.total)
        self._check_usage(fact.usage)
        assert isinstance(self.command, AcceptReply)
        assert fact.text == self.command.text.replace("\x00", "").strip() != ""
        self.entries.append((self.version, fact.text))
        self._end_turn(task, fact)

    def on_turn_skipped(self, fact: TurnSkipped) -> None:
        task = TurnTask(fact.round_num, fact.agent_id)
        assert self.numbers[task] > 0, "skipped without an attempt"
        causes = [self.faults[task].value] if task in self.faults else ["budget", "deadline"]
        assert fact.reason in causes
        self._end_turn(task, fact)

    def on_synthesis_started(self, fact: SynthesisStarted) -> None:
        last = self.rounds[-1]
        assert last is not None
        assert len(self.rounds) == self.config.num_rounds or last.cause != "agenda"
        self.clocks[SynthesisTask()] = self.now

    def on_synthesis_completed(self, fact: SynthesisCompleted) -> None:
        assert self.closing is None
        if fact.agent_id is None:
            assert self.open is None
            assert (fact.text, fact.usage) == ("", None)
            assert fact.degraded.startswith("no summary was written (")
        else:
            assert fact.usage is not None
            self._settle(SynthesisTask(), fact.number, fact.agent_id, fact.usage.total)
            self._check_usage(fact.usage)
        self.closing = fact

    def on_adopted(self, fact: Adopted) -> None:
        assert self.open is None, "a lost call was not abandoned"
        assert fact.epoch > self.epoch
        self.epoch = fact.epoch
        self.clocks = dict.fromkeys(self.clocks, self.now)

    def on_remark_made(self, fact: RemarkMade) -> None:
        self.entries.append((self.version, fact.text))

    def on_cancelled(self, fact: Cancelled | Failed) -> None:
        assert self.open is None, "a call was left open"

    on_failed = on_cancelled

    def on_paused(self, fact: Fact) -> None:
        """Is booked as a phase, and as nothing else."""

    on_resumed = on_completed = on_paused

    # --- rules, by hand ------------------------------------------------------------------------

    def _settle(self, task: Task, number: int, agent_id: AgentId, charged: int) -> None:
        assert self.open is not None, "nothing was open"
        assert (task, number, agent_id) == (self.open.task, self.open.number, self.open.agent_id)
        self.settled, self.open = self.open, None
        reserved = self.settled.reserved.prompt_tokens + self.settled.reserved.output_tokens
        self.reserved -= reserved
        self.spent += charged
        self.overrun += max(0, charged - reserved)

    def _check_usage(self, usage: Usage) -> None:
        """A usage is what was reported, or an estimate that says so: never nothing."""
        assert isinstance(self.command, AcceptReply)
        if self.command.usage is not None:
            assert usage == self.command.usage
        else:
            assert usage.source == "estimated"
            assert usage.prompt_tokens == self.settled.reserved.prompt_tokens
            assert usage.completion_tokens > 0

    def _retry_at(self, fact: AttemptFailed) -> datetime | None:
        wish = self.command.retry_after_seconds if isinstance(self.command, ReportFault) else None
        tries = self.tries.setdefault((fact.task, fact.agent_id), [])
        tries.append(fact.fault)
        row = sum(1 for _ in takewhile(lambda fault: fault is fact.fault, reversed(tries)))
        if len(tries) >= self.config.max_attempts or row >= MOST_IN_A_ROW.get(fact.fault, 10):
            return None
        if wish is not None and wish > LONGEST_WAIT:
            return None
        wait = max(FIRST_WAIT.get(fact.fault, 0.0) * 2 ** (row - 1), wish or 0.0)
        at = self.now + timedelta(seconds=min(wait, LONGEST_WAIT))
        return at if at < self.deadline(fact.task) else None

    def _end_turn(self, task: TurnTask, fact: TurnCompleted | TurnSkipped) -> None:
        assert self.open is None
        assert task not in self.endings, "a turn ended twice"
        assert (task.round_num, task.agent_id) == (len(self.rounds), self.next_speaker)
        self.endings[task] = fact

    def _can_pay_for_next(self) -> bool:
        assert self.before is not None
        speaker = self.config.participants[self.before.round_turns].agent_id
        task = TurnTask(len(self.rounds), speaker)
        prompt = build_brief(self.before, task, speaker).manifest.tokens
        return self._left(self._synthesis_share) - prompt >= LEAST_CAP

    def _left(self, share: int) -> int:
        ceiling = self.config.meeting_tokens
        return 10**9 if ceiling is None else ceiling - self.spent - self.reserved - share

    @property
    def _synthesis_share(self) -> int:
        return self.config.context_tokens + self.config.synthesis_max_tokens

    @property
    def next_speaker(self) -> AgentId | None:
        held = sum(task.round_num == len(self.rounds) for task in self.endings)
        seats = self.config.participants
        return seats[held].agent_id if held < len(seats) else None

    @property
    def rounds_end(self) -> datetime:
        seconds = self.config.meeting_timeout_seconds - self.config.synthesis_timeout_seconds
        return self.convened_at + timedelta(seconds=seconds)

    def deadline(self, task: Task) -> datetime:
        if isinstance(task, SynthesisTask):
            return self.clocks[task] + timedelta(seconds=self.config.synthesis_timeout_seconds)
        turn_ends = self.clocks[task] + timedelta(seconds=self.config.turn_timeout_seconds)
        return min(turn_ends, self.rounds_end)
