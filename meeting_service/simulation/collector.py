"""Counts of one simulated meeting: what its facts cost, and which limits were hit."""

from collections import Counter

from meeting_core.budget import synthesis_share, synthesis_share_micros
from meeting_core.decider.call_plan import min_cost
from meeting_core.model import (
    AgentId,
    AttemptFailed,
    AttemptStarted,
    Configuration,
    DigestTask,
    Fact,
    Meeting,
    Phase,
    Reply,
    ReportFault,
    RoundClosed,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    SynthesisTask,
    Task,
    TurnCompleted,
    TurnSkipped,
    TurnTask,
    Usage,
    charged_usage,
    price_of,
    profile_of,
)
from meeting_core.steps import turns_to_come
from meeting_service.simulation.limit_hits import (
    BRIEF_DROPPED,
    BRIEF_REDUCED,
    BRIEF_SHORTENED,
    CAP_LOWERED,
    CAP_REACHED,
    COST_OVERRUN,
    CUT,
    DIGEST_LEFT_OUT,
    REPAIRED,
    RETRIED,
    SYNTHESIS_DEGRADED,
    TOKENS_OVERRUN,
    ended_early,
    skipped_for,
    timed_out_by,
)
from meeting_service.simulation.run_result import Needs, RunResult
from meeting_service.simulation.simulated_model import Answer, Call


class Collector:
    """Counts the facts and answers of one meeting."""

    def __init__(self, config: Configuration) -> None:
        self._config = config
        self._author = config.synthesizer or config.participants[0].agent_id
        self._limit_hits: Counter[str] = Counter()
        self._calls = self._prompt = self._completion = self._wasted = 0
        self._needs_tokens = self._needs_micros = self._needs_context = 0
        self._rounds_ended: float | None = None
        self._wanted_tokens: list[int] = []
        self._wanted_minutes: list[int] = []
        self._wanted_seconds: list[float] = []

    def add_fact(self, meeting: Meeting, fact: Fact, seconds: float) -> None:
        """Count a fact.

        Units: `seconds` since the meeting began. Shape: `meeting` is as it was before the fact.
        """
        match fact:
            case AttemptStarted():
                self._add_attempt(meeting, fact)
            case AttemptFailed():
                self._add_failure(meeting, fact)
            case TurnCompleted() | SynthesisDrafted():
                self._add_reply(fact.reply)
            case RoundDigested():
                self._add_reply(fact.reply)
                self._limit_hits[DIGEST_LEFT_OUT] += fact.reply is None
            case SynthesisCompleted():
                self._add_reply(fact.reply)
                self._limit_hits[SYNTHESIS_DEGRADED] += bool(fact.degraded)
                self._limit_hits[REPAIRED] += meeting.draft is not None and not fact.degraded
            case TurnSkipped():
                self._limit_hits[skipped_for(fact.reason)] += 1
            case RoundClosed() if fact.cause != "agenda":
                self._limit_hits[ended_early(fact.cause)] += 1
            case SynthesisStarted():
                self._rounds_ended = seconds
            case _:
                pass

    def add_answer(self, meeting: Meeting, call: Call, answer: Answer) -> None:
        """Count what a call's reply would have taken without limits."""
        if not answer.wanted_tokens:
            return
        match call.task:
            case TurnTask():
                self._wanted_tokens.append(answer.wanted_tokens)
                self._wanted_seconds.append(answer.wanted_seconds)
            case SynthesisTask():
                self._wanted_minutes.append(answer.wanted_tokens)
            case DigestTask():
                pass
        if isinstance(answer.command, ReportFault):
            self._limit_hits[timed_out_by(_limit_of(meeting, call))] += 1

    def result(self, meeting: Meeting, seconds: float) -> RunResult:
        """Return the counts of a meeting that has ended or is paused."""
        config, ledger = self._config, meeting.ledger
        if config.meeting_tokens is not None:
            self._limit_hits[TOKENS_OVERRUN] += ledger.spent > config.meeting_tokens
        if config.meeting_cost is not None:
            self._limit_hits[COST_OVERRUN] += ledger.spent_micros > int(
                config.meeting_cost * 1_000_000
            )
        rounds = seconds if self._rounds_ended is None else self._rounds_ended
        return RunResult(
            ending=_ending_of(meeting),
            calls=self._calls,
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
            wasted_tokens=self._wasted,
            micros=ledger.spent_micros,
            seconds=seconds,
            limit_hits={name: times for name, times in self._limit_hits.items() if times},
            needs=Needs(
                self._needs_tokens,
                self._needs_micros,
                self._needs_context,
                rounds + config.synthesis_timeout_seconds,
            ),
            wanted_tokens=tuple(self._wanted_tokens),
            wanted_minutes=tuple(self._wanted_minutes),
            wanted_seconds=tuple(self._wanted_seconds),
        )

    def _add_attempt(self, meeting: Meeting, fact: AttemptStarted) -> None:
        self._calls += 1
        self._limit_hits[CAP_LOWERED] += "cap" in fact.budget_reductions
        if "brief" in fact.budget_reductions:
            self._limit_hits[BRIEF_REDUCED] += 1
        else:
            self._limit_hits[BRIEF_SHORTENED] += fact.manifest.shortened is not None
            self._limit_hits[BRIEF_DROPPED] += fact.manifest.dropped is not None
        needed = max(fact.reserved.prompt_tokens, fact.manifest.tokens)
        self._needs_context = max(self._needs_context, needed)
        self._add_need(meeting, fact)

    def _add_need(self, meeting: Meeting, fact: AttemptStarted) -> None:
        """Update the ceilings under which this call would have been unrestricted."""
        config, ledger, prompt = self._config, meeting.ledger, fact.reserved.prompt_tokens
        price = price_of(config, fact.model)
        synthesis = isinstance(fact.task, SynthesisTask)
        cap = config.synthesis_max_tokens if synthesis else config.max_tokens_per_turn
        written = cap + profile_of(meeting.model_profiles, fact.model).beyond_cap(cap)
        tokens = prompt + written
        micros = 0 if price is None else price.micros(prompt, written)
        if not synthesis:
            calls: list[tuple[Task, AgentId]] = [*turns_to_come(meeting)]
            if isinstance(fact.task, DigestTask):
                calls.insert(0, (fact.task, fact.agent_id))
            floors = [min_cost(meeting, task, agent_id) for task, agent_id in calls]
            # Each call has its floor, and all calls share evenly what is above the floors.
            tokens = len(calls) * (tokens - floors[0].tokens) + sum(each.tokens for each in floors)
            micros = len(calls) * (micros - floors[0].micros) + sum(each.micros for each in floors)
            author = profile_of(meeting.model_profiles, meeting.speaking(self._author).model)
            tokens += synthesis_share(config, author)
            micros += synthesis_share_micros(config, author)
        self._needs_tokens = max(self._needs_tokens, ledger.spent + tokens)
        self._needs_micros = max(self._needs_micros, ledger.spent_micros + micros)

    def _add_failure(self, meeting: Meeting, fact: AttemptFailed) -> None:
        assert meeting.task_state is not None
        assert meeting.task_state.open is not None
        self._add_usage(fact.usage or charged_usage(meeting.task_state.open.reserved, fact.charged))
        self._wasted += fact.charged
        self._limit_hits[RETRIED] += fact.retry_at is not None or fact.give_up_at is not None

    def _add_reply(self, reply: Reply | None) -> None:
        # A closing text without a reply is the draft, which was counted when it came, or none.
        if reply is not None:
            self._add_usage(reply.usage)
            self._limit_hits[CAP_REACHED] += reply.finish_reason == "length"
            self._limit_hits[CUT] += reply.is_cut

    def _add_usage(self, usage: Usage) -> None:
        self._prompt += usage.prompt_tokens
        self._completion += usage.completion_tokens


def _limit_of(meeting: Meeting, call: Call) -> str:
    """Return the limit that ends a call first."""
    if isinstance(call.task, SynthesisTask):
        return "synthesis_timeout_seconds"
    config, task_state = meeting.config, meeting.task_state
    assert task_state is not None
    assert task_state.open is not None
    on_turn = (task_state.open.started_at - task_state.clock_from).total_seconds()
    turn_left = config.turn_timeout_seconds - on_turn
    attempt = turn_left
    if config.attempt_timeout_seconds is not None:
        attempt = config.attempt_timeout_seconds
    if call.seconds_left < min(turn_left, attempt):
        return "meeting_timeout_seconds"
    if turn_left <= attempt:
        return "turn_timeout_seconds"
    return "attempt_timeout_seconds"


def _ending_of(meeting: Meeting) -> str:
    match meeting.phase:
        case Phase.COMPLETE:
            return f"complete by {meeting.ended_by}"
        case Phase.ERROR:
            return f"error: {meeting.failure}"
        case _:
            return meeting.phase.value
