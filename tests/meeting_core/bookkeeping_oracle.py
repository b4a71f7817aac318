"""The bookkeeping of one meeting, by hand from its raw facts: money, attempts, turns, rounds, time.

They share no rule with the core: paths, waits, charges and caps are written out again here.
"""

import re
from collections import Counter, deque
from datetime import datetime, timedelta
from itertools import takewhile

from msgspec.structs import replace

from meeting_core import (
    Configuration,
    Fact,
    Meeting,
    MeetingEvent,
    Participant,
    Phase,
    ReportedUsage,
    Usage,
    estimate_tokens,
)
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Adopted,
    AgentId,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetRaised,
    Cancel,
    Cancelled,
    Command,
    Convened,
    DigestTask,
    EndRounds,
    Fail,
    Failed,
    FaultClass,
    Manifest,
    RaiseBudget,
    RemarkMade,
    Reply,
    ReportFault,
    Resumed,
    RoundClosed,
    RoundDigested,
    RoundOpened,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    SynthesisTask,
    Task,
    TurnCompleted,
    TurnSkipped,
    TurnTask,
)
from tests.meeting_core.cost_oracle import CostOracle, Money, left_of, price
from tests.meeting_core.paths import FINAL, LEGAL

FREE = {
    FaultClass.RATE_LIMITED,
    FaultClass.CONTEXT_TOO_LONG,
    FaultClass.REJECTED,
    FaultClass.UNSUPPORTED,
}
MAX_UNSUPPORTED = 5
MAX_IN_A_ROW = {
    FaultClass.CONTEXT_TOO_LONG: 3,
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
MAX_WAIT = 30.0


def plus(one: Money, other: Money, sign: int = 1) -> Money:
    return one[0] + sign * other[0], one[1] + sign * other[1]


def can_be(count: int | None, estimate: int) -> bool:
    """Return whether a reported count can be true, by our estimate of the same."""
    if count is None or count < 0 or (count == 0 and estimate > 0):
        return False
    return estimate / 4 <= count <= 10 * estimate + 200_000


def name_of(fact: Fact) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(fact).__name__).lower()


class BookkeepingOracle:
    """What the facts so far add up to, by our own reckoning."""

    config: Configuration
    convened_at: datetime
    command: Command
    before: Meeting | None
    now: datetime
    version: int
    opened_at: datetime
    ready_at: datetime

    def __init__(self) -> None:
        self.phase = Phase.GATHERING
        self.spent: Money = (0, 0)
        self.reserved: Money = (0, 0)
        self.overrun: Money = (0, 0)
        self.counted_overrun = 0
        self.open: AttemptStarted | None = None
        self.settled: AttemptStarted
        self.numbers: Counter[Task] = Counter()
        self.tries: dict[tuple[Task, AgentId], list[FaultClass]] = {}
        self.faults: dict[Task, FaultClass] = {}
        self.clocks: dict[Task, datetime] = {}
        self.given_up: list[AgentId] = []
        self.endings: dict[TurnTask, TurnCompleted | TurnSkipped] = {}
        self.rounds: list[RoundClosed | None] = []
        self.entries: list[tuple[int, str, int | None]] = []
        self.closing: SynthesisCompleted | None = None
        self.draft: SynthesisDrafted | None = None
        self.written_from: Manifest | None = None
        self.digests: dict[int, RoundDigested] = {}
        self.unreachable: dict[Task, datetime] = {}
        self.rejected: set[tuple[AgentId, str]] = set()
        self.set_aside: set[tuple[AgentId, str]] = set()
        self.is_task_over = False
        self.broken: dict[tuple[Task, AgentId], int] = {}
        self.unsupported: Counter[tuple[Task, AgentId]] = Counter()
        self.epoch = 1
        self.version = 0

    def enter(self, event: MeetingEvent, command: Command, before: Meeting | None) -> None:
        """Book one fact, and check that it may have happened just now."""
        fact = event.fact
        if self.is_task_over and before is not self.before:
            # What ends a task may end the round with it: one decision, by one model.
            self.set_aside.clear()
            self.is_task_over = False
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
        if self.config.digest_rounds:
            spoken = {held.round_num for held in self.rounds if held and held.ending != "silent"}
            assert spoken == set(self.digests), "a round was not digested"
        assert fact.round_num == len(self.rounds) + 1 <= self.config.num_rounds
        assert list(fact.order) == self._order(fact.round_num)
        self.rounds.append(None)

    def on_round_closed(self, fact: RoundClosed) -> None:
        assert fact.round_num == len(self.rounds)
        assert self.rounds[-1] is None
        assert self.open is None
        held = [end for task, end in self.endings.items() if task.round_num == fact.round_num]
        num_participants = len(self.config.participants)
        spoken = sum(isinstance(end, TurnCompleted) for end in held)
        assert fact.ending == {0: "silent", num_participants: "complete"}.get(spoken, "partial")
        match fact.cause:
            case "agenda":
                assert len(held) == num_participants
            case "deadline":
                assert self.now + self.min_time > self.rounds_end
            case "budget":
                assert self.config.on_budget == "wrap_up"
                assert not self._can_pay_for_next()
            case "operator":
                assert self.command == EndRounds()
        self.rounds[-1] = fact
        self.is_task_over = True

    def on_attempt_started(self, fact: AttemptStarted) -> None:
        assert self.open is None, "two attempts open"
        assert self.before is not None
        self.numbers[fact.task] += 1
        assert fact.number == self.numbers[fact.task]
        # A wait for a gateway, a call slot or the end of a pause is not the speaker's: only what
        # came before the next attempt might begin.
        if fact.task in self.unreachable or fact.number == 1:
            self.clocks[fact.task] = self.now
        elif self.now > self.ready_at:
            self.clocks[fact.task] += self.now - self.ready_at
        assert fact.model == self.model_of(fact.agent_id)
        match fact.task:
            case TurnTask():
                assert fact.task == TurnTask(len(self.rounds), fact.agent_id)
                assert self.rounds[-1] is None
                assert fact.agent_id == self.next_speaker
                assert self.now + self.min_time <= self.rounds_end, "the rounds are out of time"
                wanted, pots = self.config.max_tokens_per_turn, self._pots(fact.model)
            case DigestTask():
                held = self.rounds[-1]
                assert held is not None
                assert fact.task.round_num == held.round_num < self.config.num_rounds
                assert (held.cause, held.ending != "silent") == ("agenda", True)
                assert held.round_num not in self.digests
                assert fact.agent_id == self._authors[0]
                assert self.now + self.min_time <= self.rounds_end
                wanted = self.config.max_tokens_per_turn
                pots = [self._share([fact.task, *self._turns_to_come()])]
            case SynthesisTask():
                assert self.closing is None
                wanted = self.config.synthesis_max_tokens
                pots = [left_of(self.config, self.spent, self.reserved, (0, 0))]
                assert fact.agent_id == self._author(pots[0])
        assert self.now + self.min_time <= self.deadline(fact.task), "it is out of time"
        oracle = CostOracle(self.before, fact.task, fact.agent_id, fact.model)
        oracle.judge(fact, wanted, pots)
        self.sent = oracle.shown(fact.manifest.tokens)
        self.open, self.opened_at = fact, self.now
        self.reserved = plus(self.reserved, self._cost(fact))

    def on_attempt_failed(self, fact: AttemptFailed) -> None:
        assert isinstance(self.command, AcceptReply | ReportFault)
        is_unreachable = self._is_unreachable(fact)
        is_digest_unreachable = is_unreachable and isinstance(fact.task, DigestTask)
        is_unserved = self._is_model_unavailable(fact)
        assert fact.is_model_unavailable == is_unserved
        self._check_failed_charge(fact, is_unreachable=is_unreachable or is_unserved)
        if is_unreachable and not is_digest_unreachable:
            self._wait_for_gateway(fact)
            return
        self.unreachable.pop(fact.task, None)
        assert fact.give_up_at is None
        is_adapted = self._check_adaptation(fact)
        goes_on = len(self._models_left(fact.agent_id)) > 1
        if fact.fault is FaultClass.REJECTED or (is_unserved and goes_on):
            self._next_model(fact, goes_on=goes_on, is_unserved=is_unserved)
        elif is_digest_unreachable or (is_unserved and isinstance(fact.task, DigestTask)):
            assert fact.retry_at is None
        elif not is_adapted:
            self._check_retry(fact)
        self.ready_at = fact.retry_at or self.now
        if fact.retry_at is None and isinstance(fact.task, SynthesisTask):
            self.given_up.append(fact.agent_id)
        if not is_adapted or fact.retry_at is None:
            self.faults[fact.task] = fact.fault

    @property
    def _seen(self) -> int:
        """The tokens that had come when the call failed."""
        if isinstance(self.command, ReportFault):
            return self.command.tokens_seen
        assert isinstance(self.command, AcceptReply)
        return self.command.thought_tokens

    def _is_unreachable(self, fact: AttemptFailed) -> bool:
        return (
            isinstance(self.command, ReportFault)
            and self.command.is_unreachable
            and not self._seen
            and fact.fault is FaultClass.UNAVAILABLE
            and not self._asks_another(fact)
        )

    def _asks_another(self, fact: AttemptFailed) -> bool:
        """Whether a server answered, and may serve another of the speaker's models."""
        assert isinstance(self.command, ReportFault)
        return self.command.reached and len(set(self._models_left(fact.agent_id))) > 1

    def _check_failed_charge(self, fact: AttemptFailed, *, is_unreachable: bool) -> None:
        """A call is free if it never ran, or failed in a way that is free, with no word said."""
        assert isinstance(self.command, AcceptReply | ReportFault)
        assert self.open is not None
        reached = self.command.reached if isinstance(self.command, ReportFault) else True
        reserved, seen = self.open.reserved, self._seen
        is_free = not seen and (fact.fault in FREE or not reached or is_unreachable)
        if self.command.usage is not None:
            self._check_charge(fact, self.command.usage, seen, is_free=is_free)
        elif is_free:
            assert fact.charged == 0
        else:
            assert fact.charged == max(reserved.total, reserved.prompt_tokens + seen)
        self._settle(fact.task, fact.number, fact.agent_id, fact.charged, fact.usage)

    def _wait_for_gateway(self, fact: AttemptFailed) -> None:
        timeout = timedelta(seconds=self.config.gateway_reconnect_timeout_seconds)
        if self.now - self.opened_at > timedelta(seconds=5):
            self.unreachable.pop(fact.task, None)  # it was there: this is another outage
        until = self.unreachable.setdefault(fact.task, self.now + timeout)
        assert fact.give_up_at == (until if self.now < until else None)
        assert fact.retry_at is None
        self.faults[fact.task] = fact.fault
        key = fact.task, fact.agent_id
        self.broken[key] = len(self.tries.get(key, ()))

    def _next_model(self, fact: AttemptFailed, *, goes_on: bool, is_unserved: bool) -> None:
        assert fact.retry_at == (self.now if goes_on else None)
        if goes_on:
            passed = self.set_aside if is_unserved else self.rejected
            passed.add((fact.agent_id, self.settled.model))
        self.tries.pop((fact.task, fact.agent_id), None)
        self.broken.pop((fact.task, fact.agent_id), None)
        self.unsupported.pop((fact.task, fact.agent_id), None)

    def _check_adaptation(self, fact: AttemptFailed) -> bool:
        """A form that is not supported is changed at once, a few times, and costs no attempt."""
        command = self.command
        if not isinstance(command, ReportFault) or command.fault is not FaultClass.UNSUPPORTED:
            return False
        key = fact.task, fact.agent_id
        self.unsupported[key] += 1
        if self.unsupported[key] == MAX_UNSUPPORTED:
            assert fact.fault is FaultClass.REJECTED
            return False
        assert fact.fault is FaultClass.UNSUPPORTED
        has_time = self.now < self.deadline(fact.task) - self.min_time
        assert fact.retry_at == (self.now if has_time else None)
        return True

    def on_attempt_abandoned(self, fact: AttemptAbandoned) -> None:
        self._settle(fact.task, fact.number, fact.agent_id, fact.charged, None)
        assert fact.charged == self.settled.reserved.total, "the outcome is unknown: all is charged"
        self.unreachable.pop(fact.task, None)  # it was asked, so it is there
        match self.command:
            case Adopt() | AbandonAttempt():
                assert fact.cause == self.command.cause
            case Cancel():
                assert fact.cause == "cancel"
            case Fail():
                assert fact.cause == "failure"
            case EndRounds():
                assert fact.cause == "operator"
            case _:
                raise AssertionError(f"{self.command} abandoned a call")

    def on_turn_completed(self, fact: TurnCompleted) -> None:
        task = TurnTask(fact.round_num, fact.agent_id)
        self._take(task, fact.number, fact.agent_id, fact.reply)
        assert isinstance(self.command, AcceptReply)
        assert fact.reply.text == self.command.text.replace("\x00", "").strip() != ""
        if fact.reply.cut_to is None:
            self.entries.append((self.version, fact.reply.text, fact.round_num))
        self._end_turn(task, fact)

    def on_turn_skipped(self, fact: TurnSkipped) -> None:
        task = TurnTask(fact.round_num, fact.agent_id)
        assert self.numbers[task] > 0, "skipped without an attempt"
        early = ["budget", "deadline", "operator"]
        causes = [self.faults[task].value] if task in self.faults else early
        assert fact.reason in causes
        self._end_turn(task, fact)

    def on_synthesis_started(self, fact: SynthesisStarted) -> None:
        last = self.rounds[-1]
        assert last is not None
        assert len(self.rounds) == self.config.num_rounds or last.cause != "agenda"
        self.clocks[SynthesisTask()] = self.now

    def on_round_digested(self, fact: RoundDigested) -> None:
        self.is_task_over = True
        assert self.config.digest_rounds
        assert fact.round_num == len(self.rounds)
        assert fact.round_num not in self.digests
        if fact.agent_id is None:
            assert self.open is None
            assert fact.reply is None
            assert fact.degraded
        else:
            assert fact.reply is not None
            self._take(DigestTask(fact.round_num), fact.number, fact.agent_id, fact.reply)
        self.unreachable.pop(DigestTask(fact.round_num), None)
        self.digests[fact.round_num] = fact

    def on_synthesis_drafted(self, fact: SynthesisDrafted) -> None:
        assert self.draft is None
        assert self.closing is None
        assert fact.missing
        self._take(SynthesisTask(), fact.number, fact.agent_id, fact.reply)
        self.tries.pop((SynthesisTask(), fact.agent_id), None)
        self.broken.pop((SynthesisTask(), fact.agent_id), None)
        self.unsupported.pop((SynthesisTask(), fact.agent_id), None)
        self.unreachable.pop(SynthesisTask(), None)
        self.written_from = self.settled.manifest
        self.draft = fact

    def on_synthesis_completed(self, fact: SynthesisCompleted) -> None:
        assert self.closing is None
        if fact.agent_id is None:
            assert self.open is None
            assert self.draft is None, "a draft was thrown away"
            assert fact.reply is None
            assert fact.degraded.startswith("no summary was written (")
        elif fact.reply is None:
            assert self.draft is not None
            assert (fact.agent_id, fact.number) == (self.draft.agent_id, self.draft.number)
            assert fact.degraded
        else:
            self._take(SynthesisTask(), fact.number, fact.agent_id, fact.reply)
            self.written_from = self.settled.manifest
        self.closing = fact

    def on_budget_raised(self, fact: BudgetRaised) -> None:
        assert isinstance(self.command, RaiseBudget)
        for name in ("meeting_tokens", "meeting_cost"):
            ceiling, raised = getattr(self.config, name), getattr(fact, name)
            if raised is not None:
                assert raised > ceiling
                self.config = replace(self.config, **{name: raised})

    def on_adopted(self, fact: Adopted) -> None:
        assert self.open is None, "a lost call was not abandoned"
        assert fact.epoch > self.epoch
        self.epoch = fact.epoch
        self.clocks = dict.fromkeys(self.clocks, self.now)
        if self.numbers:
            self.ready_at = max(self.ready_at, self.now)
        self._try_gateways_again()

    def on_resumed(self, fact: Resumed) -> None:
        self._try_gateways_again()

    def _try_gateways_again(self) -> None:
        """Restart the wait for a gateway that ran out while no call was tried."""
        for task in [task for task, until in self.unreachable.items() if until <= self.now]:
            del self.unreachable[task]
            self.clocks[task] = self.ready_at = self.now

    def on_remark_made(self, fact: RemarkMade) -> None:
        self.entries.append((self.version, fact.text, None))

    def on_cancelled(self, fact: Cancelled | Failed) -> None:
        assert self.open is None, "a call was left open"

    on_failed = on_cancelled

    def on_paused(self, fact: Fact) -> None:
        """Is booked as a phase, and as nothing else."""

    on_completed = on_paused

    # --- rules, by hand ------------------------------------------------------------------------

    def _settle(
        self, task: Task, number: int, agent_id: AgentId, charged: int, usage: Usage | None
    ) -> None:
        assert self.open is not None, "nothing was open"
        assert (task, number, agent_id) == (self.open.task, self.open.number, self.open.agent_id)
        self.settled, self.open = self.open, None
        self.ready_at = self.now
        reserved, model = self._cost(self.settled), self.settled.model
        set_aside = self.settled.reserved
        prompt = set_aside.prompt_tokens
        output = set_aside.output_tokens + set_aside.beyond_cap_tokens
        if usage is not None:
            prompt, output = usage.prompt_tokens, usage.completion_tokens
        cost = price(self.config, model, prompt, output) if charged else (0, 0)
        assert cost[0] == charged
        self.reserved = plus(self.reserved, reserved, -1)
        self.spent = plus(self.spent, cost)
        over = (max(0, cost[0] - reserved[0]), max(0, cost[1] - reserved[1]))
        self.overrun = plus(self.overrun, over)
        if usage is not None and usage.source.endswith("reported"):
            self.counted_overrun += over[0]

    def _cost(self, fact: AttemptStarted) -> Money:
        reserved = fact.reserved
        written = reserved.output_tokens + reserved.beyond_cap_tokens
        return price(self.config, fact.model, reserved.prompt_tokens, written)

    def _take(self, task: Task, number: int, agent_id: AgentId, reply: Reply) -> None:
        self._settle(task, number, agent_id, reply.usage.total, reply.usage)
        self._check_usage(reply.usage)
        self._check_cut(reply)

    def _check_cut(self, fact: Reply) -> None:
        """A reply that passed its cap says so, unless the provider counts it below."""
        cap = self.settled.reserved.output_tokens
        if fact.cut_to is None:
            assert fact.text_tokens <= 2 * cap
            said = fact.usage.completion_tokens - fact.usage.reasoning_tokens
            assert fact.text_tokens <= cap or said <= cap
        else:
            assert fact.text_tokens > cap
            kept = fact.text[: fact.cut_to]
            assert estimate_tokens(kept) <= cap
            assert fact.cut_to < len(fact.text)

    def _check_usage(self, usage: Usage) -> None:
        """A usage is what was reported, or an estimate that says so: never nothing."""
        assert isinstance(self.command, AcceptReply)
        reported, prompt = self.command.usage, self.settled.reserved.prompt_tokens
        text = estimate_tokens(self.command.text.replace("\x00", "").strip())
        came = text + self.command.thought_tokens
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens > 0
        if reported is None:
            assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, came)
            assert usage.source == "estimated"
            return
        counts = can_be(reported.prompt_tokens, self.sent), can_be(reported.completion_tokens, came)
        sums = reported.reasoning_tokens or reported.total_tokens or self.command.thought_tokens
        if sums:
            for count in (reported.total_tokens, reported.reasoning_tokens):
                assert usage.total >= (count if can_be(count, self.sent + came) else 0)
            return
        assert usage.prompt_tokens == (reported.prompt_tokens if counts[0] else prompt)
        assert usage.completion_tokens == (reported.completion_tokens if counts[1] else came)
        sources = {2: "reported", 1: "partly_reported", 0: "estimated"}
        assert usage.source == sources[sum(counts)]

    def _check_charge(
        self, fact: AttemptFailed, reported: ReportedUsage, seen: int, *, is_free: bool
    ) -> None:
        """A failed call is charged what was reported of it, where that can be true."""
        assert self.open is not None
        reserved = self.open.reserved
        counts = (
            can_be(reported.prompt_tokens, self.sent),
            can_be(reported.completion_tokens, seen),
        )
        written = 0 if is_free else max(reserved.total - reserved.prompt_tokens, seen)
        if reported.reasoning_tokens or reported.total_tokens:
            assert fact.charged >= (seen + (0 if is_free else self.sent)) // 4
        elif counts[0] or (counts[1] and reported.completion_tokens):
            prompt = reported.prompt_tokens if counts[0] else reserved.prompt_tokens
            output = reported.completion_tokens if counts[1] else written
            assert fact.usage is not None
            assert (fact.usage.prompt_tokens, fact.usage.completion_tokens) == (prompt, output)
        else:
            assert fact.charged == (0 if is_free else reserved.prompt_tokens + written)

    def _check_retry(self, fact: AttemptFailed) -> None:
        """Check when the next attempt may start: after our wait and up to half of it, by chance."""
        wish = self.command.retry_after_seconds if isinstance(self.command, ReportFault) else None
        tries = self.tries.setdefault((fact.task, fact.agent_id), [])
        tries.append(fact.fault)
        since = tries[self.broken.get((fact.task, fact.agent_id), 0) :]
        row = sum(1 for _ in takewhile(lambda fault: fault is fact.fault, reversed(since)))
        is_over = len(tries) >= self.config.max_attempts or row >= MAX_IN_A_ROW.get(fact.fault, 10)
        if fact.fault is FaultClass.CONTEXT_TOO_LONG:
            is_over = is_over or self.settled.manifest.tokens == self.min_tokens_of_settled
        if is_over:
            assert fact.retry_at is None
            return
        min_wait = FIRST_WAIT.get(fact.fault, 0.0) * 2 ** (row - 1)
        waits = [max(min(wait, MAX_WAIT), wish or 0.0) for wait in (min_wait, 1.5 * min_wait)]
        first, last = (self.now + timedelta(seconds=wait) for wait in waits)
        if fact.retry_at is None:
            latest = self.deadline(fact.task) - self.min_time
            assert last >= latest, "it was given up too early"
        else:
            assert first <= fact.retry_at <= last
            assert fact.retry_at < self.deadline(fact.task) - self.min_time

    @property
    def min_tokens_of_settled(self) -> int:
        assert self.before is not None
        task, agent_id = self.settled.task, self.settled.agent_id
        return CostOracle(self.before, task, agent_id, self.settled.model).min_tokens

    def _end_turn(self, task: TurnTask, fact: TurnCompleted | TurnSkipped) -> None:
        assert self.open is None
        assert task not in self.endings, "a turn ended twice"
        self.unreachable.pop(task, None)
        self.is_task_over = True
        assert (task.round_num, task.agent_id) == (len(self.rounds), self.next_speaker)
        self.endings[task] = fact

    def _can_pay_for_next(self) -> bool:
        assert self.before is not None
        speaker = self._order(len(self.rounds))[self.before.round_turns]
        model = self.model_of(speaker)
        oracle = CostOracle(self.before, TurnTask(len(self.rounds), speaker), speaker, model)
        wanted = self.config.max_tokens_per_turn
        return any(oracle.is_useful(wanted, pot) for pot in self._pots(model))

    def _pots(self, model: str) -> list[Money]:
        """What a turn may cost: its share of what is left for all to come, or for this round."""
        return [self._share(self._turns_to_come()), self._share(self._turns_to_come(later=False))]

    def _turns_to_come(self, *, later: bool = True) -> list[Task]:
        assert self.before is not None
        now = len(self.rounds)
        is_open = self.rounds[-1] is None or self.before.rounds[-1].ending is None
        present = self._order(now)[self.before.round_turns :] if is_open else []
        rounds = range(now + 1, self.config.num_rounds + 1) if later else ()
        tasks: list[Task] = [TurnTask(now, agent) for agent in present]
        return tasks + [TurnTask(n, agent) for n in rounds for agent in self._order(n)]

    def _order(self, round_num: int) -> list[AgentId]:
        agents = deque(each.agent_id for each in self.config.participants)
        if self.config.order == "rotate":
            agents.rotate(1 - round_num)
        return list(agents)

    def _share(self, tasks: list[Task]) -> Money:
        """Return a share: each call gets its lowest cost, and all share the rest evenly."""
        config, author = self.config, self.model_of(self._authors[0])
        assert self.before is not None
        profile = {each.model: each for each in self.before.model_profiles}.get(author)
        prompt, written = config.context_tokens, config.synthesis_max_tokens
        if profile is not None:
            prompt += profile.prompt_beyond_tokens
            written = profile.reasoning_tokens + max(written, profile.text_tokens)
        closing = price(config, author, prompt, written)
        left = left_of(config, self.spent, self.reserved, closing)
        floors = [self._floor(task) for task in tasks]
        needed = [sum(floor[n] for floor in floors) for n in (0, 1)]
        first, calls = floors[0], len(tasks)
        return (
            first[0] + (left[0] - needed[0]) // calls,
            first[1] + (left[1] - needed[1]) // calls,
        )

    def _floor(self, task: Task) -> Money:
        assert self.before is not None
        agent_id = task.agent_id if isinstance(task, TurnTask) else self._authors[0]
        model = self.model_of(agent_id)
        oracle = CostOracle(self.before, task, agent_id, model)
        cap = min(self.config.min_tokens_per_turn, self.config.max_tokens_per_turn)
        prompt = oracle.prompt(oracle.min_tokens)
        return price(self.config, model, prompt, oracle.written(cap))

    def _author(self, pot: Money) -> AgentId:
        """The draft's author, or the first who can be paid for and sees something."""
        assert self.before is not None
        if self.draft is not None:
            return self.draft.agent_id
        for agent_id in self._authors:
            if agent_id not in self.given_up:
                model = self.model_of(agent_id)
                oracle = CostOracle(self.before, SynthesisTask(), agent_id, model)
                if oracle.sees_something(self.config.synthesis_max_tokens, pot):
                    return agent_id
        raise AssertionError("nobody can write")

    @property
    def _authors(self) -> list[AgentId]:
        agents = [each.agent_id for each in self.config.participants]
        first = self.config.synthesizer
        return sorted(agents, key=lambda agent_id: agent_id != first) if first else agents

    def participant(self, agent_id: AgentId) -> Participant:
        return next(each for each in self.config.participants if each.agent_id == agent_id)

    def model_of(self, agent_id: AgentId) -> str:
        return self._models_left(agent_id)[0]

    def _models_left(self, agent_id: AgentId) -> list[str]:
        participant, passed = self.participant(agent_id), self.rejected | self.set_aside
        models = (participant.model, *participant.fallback_models)
        return [model for model in models if (agent_id, model) not in passed]

    def _is_model_unavailable(self, fact: AttemptFailed) -> bool:
        """Whether nothing came of a call, because the gateway served other models only."""
        return (
            isinstance(self.command, ReportFault)
            and (self.command.is_model_unavailable or self.command.is_unreachable)
            and (not self.command.is_unreachable or self._asks_another(fact))
            and not self._seen
            and fact.fault is FaultClass.UNAVAILABLE
        )

    @property
    def next_speaker(self) -> AgentId | None:
        held = sum(task.round_num == len(self.rounds) for task in self.endings)
        order = self._order(len(self.rounds))
        return order[held] if held < len(order) else None

    @property
    def rounds_end(self) -> datetime:
        seconds = self.config.meeting_timeout_seconds - self.config.synthesis_timeout_seconds
        return self.convened_at + timedelta(seconds=seconds)

    @property
    def min_time(self) -> timedelta:
        return timedelta(seconds=self.config.min_attempt_seconds)

    def deadline(self, task: Task) -> datetime:
        if isinstance(task, SynthesisTask):
            return self.clocks[task] + timedelta(seconds=self.config.synthesis_timeout_seconds)
        turn_ends = self.clocks[task] + timedelta(seconds=self.config.turn_timeout_seconds)
        return min(turn_ends, self.rounds_end)
