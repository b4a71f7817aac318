"""The meeting: what the facts so far add up to. Only `fold` makes one.

Long because what follows from a meeting as it stands is asked of it.
"""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.model.accounting import (
    Amount,
    Ledger,
    ModelProfile,
    amount_of,
    profile_of,
    with_profile,
)
from meeting_core.model.configuration import (
    DEFAULT_REPLY_BYTES,
    REPLY_BYTES_PER_TOKEN,
    Configuration,
)
from meeting_core.model.token_factors import NO_SCRIPTS, ScriptTokens, weighted
from meeting_core.model.transcript import Draft, Remark, Round, Synthesis, Turn
from meeting_core.model.values import (
    FINAL_PHASES,
    AgentId,
    EndCause,
    FailReason,
    FaultClass,
    Manifest,
    MeetingId,
    Outcome,
    Participant,
    PauseCause,
    Phase,
    Reservation,
    Task,
    Usage,
    UsageSource,
    Value,
    Version,
)

_FROM_SURE_TO_UNKNOWN: tuple[UsageSource, ...] = (
    "reported",
    "partly_reported",
    "estimated",
    "unknown",
)


class OpenAttempt(Value, frozen=True):
    """The one call that may be under way."""

    version: Version
    number: int
    agent_id: AgentId
    model: str
    reserved: Reservation
    manifest: Manifest
    digest: str
    started_at: datetime


class TaskState(Value, frozen=True):
    """The task in hand: its attempts so far, and the open one.

    Units: tokens over all attempts. `tries` counts the present speaker's attempts that ended in a
    fault, and `repeats` how many of the last of them had the same; `given_up` are the speakers that
    may not try again. `clock_from` is when the task's own time began to run; an adoption starts it
    anew, and so does a gateway that can be reached again. `ready_at` is from when the next attempt
    may start, at `retry_at` if a wait was asked for. `give_up_at` is how long the meeting waits for
    an unreachable gateway. `unavailable_models` are those that a speaker has gone past in the task.
    """

    task: Task
    started_at: datetime
    clock_from: datetime
    ready_at: datetime
    number: int = 0
    tries: int = 0
    repeats: int = 0
    adaptations: int = 0
    open: OpenAttempt | None = None
    retry_at: datetime | None = None
    give_up_at: datetime | None = None
    given_up: tuple[AgentId, ...] = ()
    unavailable_models: tuple[tuple[AgentId, str], ...] = ()
    fault: FaultClass | None = None
    detail: str = ""
    prompt_tokens: int = 0
    response_tokens: int = 0
    usage_source: UsageSource = "reported"

    def repeats_with(self, fault: FaultClass) -> int:
        """Count how often in a row the present speaker has met this fault, this time included."""
        return self.repeats + 1 if self.tries and self.fault is fault else 1

    def clock_at(self, now: datetime) -> datetime:
        """Return from when the task's own time counts, if its next attempt starts now.

        A wait for a call slot, for an unreachable gateway or for the end of a pause is not part of
        that time; a wait that a provider asked for is.
        """
        if self.give_up_at is not None:
            return now
        return self.clock_from + (now - self.ready_at) if now > self.ready_at else self.clock_from


class Meeting(Value, frozen=True, kw_only=True):
    """One meeting as it stands after `version` facts.

    `rejected_models` are those that an agent has gone past for good.
    Units: `document_tokens` is what the quoted documents take in every brief, and
    `document_scripts` the parts of it by script.
    Invariant: only `evolve` makes one; equal histories give equal meetings.
    """

    id: MeetingId
    version: Version
    phase: Phase
    config: Configuration
    request_digest: str
    document_tokens: int
    convened_at: datetime
    updated_at: datetime
    document_scripts: ScriptTokens = NO_SCRIPTS
    epoch: int = 1
    adoptions: int = 0
    paused_from: Phase | None = None
    pause_cause: PauseCause | None = None
    rounds: tuple[Round, ...] = ()
    turns: tuple[Turn, ...] = ()
    remarks: tuple[Remark, ...] = ()
    task_state: TaskState | None = None
    ledger: Ledger = Ledger()
    model_profiles: tuple[ModelProfile, ...] = ()
    rejected_models: tuple[tuple[AgentId, str], ...] = ()
    synthesis_clock_from: datetime | None = None
    draft: Draft | None = None
    synthesis: Synthesis | None = None
    outcome: Outcome | None = None
    output_path: str | None = None
    failure: FailReason | None = None
    failure_detail: str = ""
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        return self.phase in FINAL_PHASES

    @property
    def open_attempt(self) -> OpenAttempt | None:
        """Return the call under way; None if there is no such call."""
        return None if self.task_state is None else self.task_state.open

    def require_open(self, task: Task, number: int, agent_id: AgentId) -> OpenAttempt:
        """Return the open attempt, which must be this one.

        Raises: `CorruptHistory` if another attempt is open, or no attempt.
        """
        attempt = self.open_attempt
        if (
            self.task_state is None
            or attempt is None
            or (self.task_state.task, attempt.number, attempt.agent_id) != (task, number, agent_id)
        ):
            raise CorruptHistory(f"attempt {number} of {agent_id} for {task.key} is not open")
        return attempt

    @property
    def round_num(self) -> int:
        """The round last opened; 0 before the first."""
        return len(self.rounds)

    @property
    def state(self) -> str:
        """The phase as clients spell it: `round_2` for the second round."""
        if self.phase is Phase.IN_ROUND:
            return f"round_{self.round_num}"
        return self.phase.value

    @property
    def has_open_round(self) -> bool:
        return bool(self.rounds) and self.rounds[-1].ending is None

    @property
    def round_turns(self) -> int:
        """Return how many turns of the present round have ended."""
        return len(self.turns) - self.rounds[-1].first_turn if self.rounds else 0

    @property
    def next_speaker(self) -> AgentId | None:
        """Return who speaks next in the round last opened; None if all have had their turn."""
        order, spoken = self.rounds[-1].order, self.round_turns
        return order[spoken] if spoken < len(order) else None

    @property
    def progress_pct(self) -> int:
        """Ended turns of all turns, times 90; 90 while synthesising, 100 when complete."""
        if self.phase is Phase.COMPLETE:
            return 100
        if self.synthesis_clock_from is not None:
            return 90
        return len(self.turns) * 90 // (self.config.num_rounds * len(self.config.participants))

    @property
    def ended_by(self) -> EndCause:
        """What ended the rounds, or will if nothing else does."""
        return (self.rounds[-1].cause if self.rounds else None) or "agenda"

    @property
    def deadline_at(self) -> datetime:
        """When the rounds, or the synthesis once it has started, must be over; a pause counts."""
        config = self.config
        if self.synthesis_clock_from is not None:
            return self.synthesis_clock_from + timedelta(seconds=config.synthesis_timeout_seconds)
        return self.convened_at + timedelta(
            seconds=config.meeting_timeout_seconds - config.synthesis_timeout_seconds
        )

    def task_deadline_at(self, clock_from: datetime) -> datetime:
        """Return when a task must be over whose own time runs from `clock_from`."""
        config = self.config
        if self.synthesis_clock_from is not None:
            return clock_from + timedelta(seconds=config.synthesis_timeout_seconds)
        at = clock_from + timedelta(seconds=config.turn_timeout_seconds)
        return min(at, self.deadline_at)

    def max_reply_bytes(self, output_tokens: int) -> int:
        """Return how many bytes are kept of a reply to an attempt with this cap.

        Units: bytes of UTF-8; the cap in tokens.
        """
        bound = self.config.max_reply_bytes
        return bound or max(DEFAULT_REPLY_BYTES, REPLY_BYTES_PER_TOKEN * output_tokens)

    def speaking_order(self, round_num: int) -> tuple[AgentId, ...]:
        """Return the order in which a round is spoken: as it was opened, or as it will be."""
        if round_num <= len(self.rounds):
            return self.rounds[round_num - 1].order
        agents = tuple([each.agent_id for each in self.config.participants])
        first = (round_num - 1) % len(agents) if self.config.order == "rotate" else 0
        return agents[first:] + agents[:first]

    def participant(self, agent_id: AgentId) -> Participant:
        """Return a participant.

        Raises: `KeyError` for an agent that takes no part.
        """
        for participant in self.config.participants:
            if participant.agent_id == agent_id:
                return participant
        raise KeyError(agent_id)

    def speaking(self, agent_id: AgentId) -> Participant:
        """Return a participant, with the model it speaks through at present."""
        participant = self.participant(agent_id)
        model = self._models_left(participant)[0]
        return participant if model == participant.model else replace(participant, model=model)

    def has_fallback(self, agent_id: AgentId) -> bool:
        """Return whether the agent has another model to go on to."""
        return len(set(self._models_left(self.participant(agent_id)))) > 1

    def _models_left(self, participant: Participant) -> tuple[str, ...]:
        task = self.task_state
        passed = self.rejected_models + (() if task is None else task.unavailable_models)
        models = (participant.model, *participant.fallback_models)
        return tuple([m for m in models if (participant.agent_id, m) not in passed]) or models[-1:]

    def prompt_beyond(self, attempt: OpenAttempt) -> int:
        """Return the tokens that were set aside for a prompt beside what the model is shown."""
        known, shown = profile_of(self.model_profiles, attempt.model), attempt.manifest
        prompt = known.prompt_tokens(shown.tokens, shown.scripts)
        return prompt - known.shown_tokens(shown.tokens, shown.scripts)

    def after_call(self, usage: Usage, at: datetime) -> dict[str, Any]:
        """Return what the end of the open call changes, from what it took.

        The call is closed, its reservation is replaced by what it took, and the model's profile
        learns from that how the model counts, what its provider counts beyond the prompt, and what
        it writes beyond its cap.
        """
        task_state, config, profiles = self.task_state, self.config, self.model_profiles
        assert task_state is not None
        attempt = task_state.open
        assert attempt is not None
        reserved = amount_of(config, attempt.model, attempt.reserved)
        charged = amount_of(config, attempt.model, usage) if usage.total else Amount()
        if usage.source != "unknown" and usage.total:
            known = profile_of(profiles, attempt.model)
            shown = attempt.manifest
            expected = weighted(shown.tokens, shown.scripts, known.token_factors)
            learnt = known.after_call(usage, attempt.reserved, expected)
            if learnt is not known:
                profiles = with_profile(profiles, learnt)
        source = task_state.usage_source
        if usage.source != source:
            source = max(source, usage.source, key=_FROM_SURE_TO_UNKNOWN.index)
        closed = replace(
            task_state,
            open=None,
            ready_at=at,
            prompt_tokens=task_state.prompt_tokens + usage.prompt_tokens,
            response_tokens=task_state.response_tokens + usage.completion_tokens,
            usage_source=source,
        )
        is_counted = usage.source in ("reported", "partly_reported")
        ledger = self.ledger.settle(reserved, charged, is_counted=is_counted)
        return {"task_state": closed, "ledger": ledger, "model_profiles": profiles}
