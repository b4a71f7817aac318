"""The meeting: what the facts so far add up to. Only `fold` makes one."""

from datetime import datetime

from msgspec.structs import replace

from meeting_core.model.configuration import Configuration
from meeting_core.model.ledger import Ledger
from meeting_core.model.model_profile import ModelProfile
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
    RoundEnding,
    SkipReason,
    Task,
    UsageSource,
    Value,
    Version,
    duration,
)


class Turn(Value, frozen=True):
    """One participant's ended slot in one round: a text, or the reason why there is none.

    Units: tokens, over all attempts; `usage_source` is the least certain of them. `text` is as it
    may be quoted: within its cap; `text_tokens` are its own, and `is_cut` says that it was longer.
    """

    version: Version
    round_num: int
    agent_id: AgentId
    text: str | None
    text_tokens: int
    skipped_reason: SkipReason | None
    skipped_detail: str
    prompt_tokens: int
    response_tokens: int
    usage_source: UsageSource
    attempts: int
    started_at: datetime
    ended_at: datetime
    is_cut: bool = False


class Remark(Value, frozen=True):
    """What a human said to the meeting."""

    version: Version
    round_num: int
    author: str
    text: str
    text_tokens: int


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
    may not try again. `clock_from` is when the time for the task began to run; an adoption starts
    it anew, and so does a gateway that is back. `give_up_at` is how long the meeting waits for a
    gateway that is away.
    """

    task: Task
    started_at: datetime
    clock_from: datetime
    number: int = 0
    tries: int = 0
    repeats: int = 0
    open: OpenAttempt | None = None
    retry_at: datetime | None = None
    give_up_at: datetime | None = None
    given_up: tuple[AgentId, ...] = ()
    fault: FaultClass | None = None
    detail: str = ""
    prompt_tokens: int = 0
    response_tokens: int = 0
    usage_source: UsageSource = "reported"


def repeats_with(task_state: TaskState, fault: FaultClass) -> int:
    """Count how often in a row the present speaker has met this fault, this time included."""
    return task_state.repeats + 1 if task_state.tries and task_state.fault is fault else 1


class Digest(Value, frozen=True):
    """What stands for a closed round in later briefs; without a text, nothing does."""

    version: Version
    text: str
    text_tokens: int
    agent_id: AgentId | None
    degraded: str


class Round(Value, frozen=True):
    """A round that was opened, and how it ended, if it has.

    `first_turn` is the index of its first turn among all turns of the meeting.
    """

    round_num: int
    opened_at: datetime
    first_turn: int
    ending: RoundEnding | None = None
    cause: EndCause | None = None
    digest: Digest | None = None


class Draft(Value, frozen=True):
    """A closing text that lacks the sections `missing`; `is_cut` says that it passed its cap."""

    version: Version
    text: str
    text_tokens: int
    agent_id: AgentId
    number: int
    missing: tuple[str, ...]
    is_cut: bool
    manifest: Manifest


class Synthesis(Value, frozen=True):
    """The closing text, or why there is none; `manifest` is of the brief it was written from."""

    text: str
    agent_id: AgentId | None
    degraded: str
    manifest: Manifest | None = None


class Meeting(Value, frozen=True, kw_only=True):
    """One meeting as it stands after `version` facts.

    `fallbacks` says how many of its models an agent has gone past because they were rejected.
    Invariant: only `evolve` makes one; equal histories give equal meetings.
    """

    id: MeetingId
    version: Version
    phase: Phase
    config: Configuration
    request_digest: str
    convened_at: datetime
    updated_at: datetime
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
    fallbacks: tuple[tuple[AgentId, int], ...] = ()
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
    def round_turns(self) -> int:
        """How many turns of the present round have ended."""
        return len(self.turns) - self.rounds[-1].first_turn if self.rounds else 0

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
            return self.synthesis_clock_from + duration(config.synthesis_timeout_seconds)
        return self.convened_at + duration(
            config.meeting_timeout_seconds - config.synthesis_timeout_seconds
        )

    def participant(self, agent_id: AgentId) -> Participant:
        """Find a seat.

        Raises: `KeyError` for an agent that has none.
        """
        for participant in self.config.participants:
            if participant.agent_id == agent_id:
                return participant
        raise KeyError(agent_id)

    def speaking(self, agent_id: AgentId) -> Participant:
        """Give a seat with the model it speaks through at present.

        Raises: `KeyError` for an agent that has none.
        """
        participant = self.participant(agent_id)
        passed = dict(self.fallbacks).get(agent_id, 0) if self.fallbacks else 0
        if passed == 0:
            return participant
        return replace(participant, model=participant.fallback_models[passed - 1])

    def has_fallback(self, agent_id: AgentId) -> bool:
        """Say whether the agent has another model to go on to."""
        passed = dict(self.fallbacks).get(agent_id, 0)
        return passed < len(self.participant(agent_id).fallback_models)
