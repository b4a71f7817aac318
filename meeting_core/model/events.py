"""The facts of a meeting: what happened, in the past tense, never changed once stored.

Each fact has a stored name with a version (`meeting.turn_completed.v1`). A new shape is a new
version; unknown fields are tolerated on reading, unknown names are not. Long because every fact
stands here.
"""

from datetime import datetime
from typing import ClassVar, TypeAlias
from uuid import UUID

from meeting_core.model.configuration import Configuration
from meeting_core.model.token_factors import NO_SCRIPTS, ModelFactors, ScriptTokens
from meeting_core.model.values import (
    AbandonCause,
    AdoptCause,
    AgentId,
    BudgetReduction,
    EndCause,
    FailReason,
    FaultClass,
    Manifest,
    MeetingId,
    Outcome,
    PauseCause,
    Phase,
    Reply,
    Reservation,
    RoundEnding,
    SkipReason,
    Task,
    Timing,
    Usage,
    UtcTime,
    Value,
)


class Convened(Value, frozen=True, omit_defaults=True):
    """The meeting was called, with this configuration.

    `request_digest` names the request that called it, so that a repeated request is recognised.
    Units: `document_tokens` is the estimate for the quoted documents, which every brief holds, and
    `document_scripts` are its parts by script. `token_factors` are what each model is taken to
    count at the start; without them, every model counts as our estimate does.
    """

    TOPIC: ClassVar[str] = "meeting.convened.v1"
    configuration: Configuration
    request_digest: str = ""
    document_tokens: int = 0
    document_scripts: ScriptTokens = NO_SCRIPTS
    token_factors: tuple[ModelFactors, ...] = ()


class RoundOpened(Value, frozen=True):
    """A round began; every participant now gets one turn, in this order."""

    TOPIC: ClassVar[str] = "meeting.round_opened.v1"
    round_num: int
    order: tuple[AgentId, ...]


class AttemptStarted(Value, frozen=True, omit_defaults=True):
    """One call to a gateway is about to be made; committed before the call.

    Shape: `digest` is the SHA-256 of the exact messages, which `rebuild_brief` builds again from
    the history and the `manifest`. `budget_reductions` says what was reduced
    because the budget ran short.
    """

    TOPIC: ClassVar[str] = "meeting.attempt_started.v1"
    task: Task
    number: int
    agent_id: AgentId
    reserved: Reservation
    manifest: Manifest
    digest: str
    model: str = ""
    budget_reductions: tuple[BudgetReduction, ...] = ()


class AttemptFailed(Value, frozen=True, omit_defaults=True):
    """A call ended without a usable reply.

    Units: `charged` in tokens. `retry_at` is when the next attempt may start, and `give_up_at`, if
    the gateway is unreachable, how long the meeting waits for it; with neither this was the last.
    `is_model_unavailable` says that the gateway answers and does not serve this model at present:
    if the participant has another, the next attempts of this task go through that.
    """

    TOPIC: ClassVar[str] = "meeting.attempt_failed.v1"
    task: Task
    number: int
    agent_id: AgentId
    fault: FaultClass
    detail: str
    charged: int
    usage: Usage | None = None
    retry_at: UtcTime | None = None
    give_up_at: UtcTime | None = None
    timing: Timing | None = None
    is_model_unavailable: bool = False


class AttemptAbandoned(Value, frozen=True):
    """A call's outcome will never be known; its whole reservation stays charged.

    Units: `charged` in tokens.
    """

    TOPIC: ClassVar[str] = "meeting.attempt_abandoned.v1"
    task: Task
    number: int
    agent_id: AgentId
    cause: AbandonCause
    charged: int


class TurnCompleted(Value, frozen=True):
    """A participant spoke."""

    TOPIC: ClassVar[str] = "meeting.turn_completed.v1"
    round_num: int
    agent_id: AgentId
    number: int
    reply: Reply


class TurnSkipped(Value, frozen=True, omit_defaults=True):
    """A participant did not speak in this round."""

    TOPIC: ClassVar[str] = "meeting.turn_skipped.v1"
    round_num: int
    agent_id: AgentId
    reason: SkipReason
    detail: str = ""


class RoundClosed(Value, frozen=True, omit_defaults=True):
    """A round ended; `cause` says what ended it, and ends all rounds when it is not the agenda."""

    TOPIC: ClassVar[str] = "meeting.round_closed.v1"
    round_num: int
    ending: RoundEnding
    cause: EndCause = "agenda"


class RoundDigested(Value, frozen=True, omit_defaults=True):
    """A closed round was shortened by `agent_id` for later briefs, or, without a reply, not.

    `degraded` says why there is no reply: the round's turns are then shown as before.
    """

    TOPIC: ClassVar[str] = "meeting.round_digested.v1"
    round_num: int
    agent_id: AgentId | None = None
    number: int = 0
    reply: Reply | None = None
    degraded: str = ""


class SynthesisStarted(Value, frozen=True):
    """The rounds are over; the minutes are being written."""

    TOPIC: ClassVar[str] = "meeting.synthesis_started.v1"


class SynthesisDrafted(Value, frozen=True):
    """A closing text came without all its sections; its author is asked once to complete it.

    `missing` names the sections.
    """

    TOPIC: ClassVar[str] = "meeting.synthesis_drafted.v1"
    agent_id: AgentId
    number: int
    reply: Reply
    missing: tuple[str, ...]


class SynthesisCompleted(Value, frozen=True, omit_defaults=True):
    """The closing text was written by `agent_id`; without one, no participant could write it.

    Without a `reply` the author's draft stands as the closing text. `degraded` says what is lost.
    """

    TOPIC: ClassVar[str] = "meeting.synthesis_completed.v1"
    agent_id: AgentId | None = None
    number: int = 0
    reply: Reply | None = None
    degraded: str = ""


class Completed(Value, frozen=True, omit_defaults=True):
    """The minutes exist and the meeting is over."""

    TOPIC: ClassVar[str] = "meeting.completed.v1"
    outcome: Outcome
    output_path: str | None = None


class Cancelled(Value, frozen=True, omit_defaults=True):
    """The meeting was called off; what was finished is kept."""

    TOPIC: ClassVar[str] = "meeting.cancelled.v1"
    reason: str = ""


class Failed(Value, frozen=True, omit_defaults=True):
    """The meeting cannot go on."""

    TOPIC: ClassVar[str] = "meeting.failed.v1"
    reason: FailReason
    detail: str = ""


class Paused(Value, frozen=True, omit_defaults=True):
    """Nothing new starts until the meeting is resumed; a call in flight may still end."""

    TOPIC: ClassVar[str] = "meeting.paused.v1"
    reason: str = ""
    cause: PauseCause = "operator"


class Resumed(Value, frozen=True):
    """The meeting goes on in the phase it was paused in."""

    TOPIC: ClassVar[str] = "meeting.resumed.v1"
    to: Phase


class Adopted(Value, frozen=True):
    """Another owner runs the meeting from here on."""

    TOPIC: ClassVar[str] = "meeting.adopted.v1"
    owner: str
    epoch: int
    cause: AdoptCause


class RemarkMade(Value, frozen=True):
    """A human said something to the meeting.

    Units: `text_tokens` is the estimate for `text`.
    """

    TOPIC: ClassVar[str] = "meeting.remark_made.v1"
    author: str
    text: str
    text_tokens: int


class BudgetRaised(Value, frozen=True, omit_defaults=True):
    """An operator gave the meeting more to spend.

    Units: the whole new ceilings, in tokens and in the currency of the price table; None if
    the ceiling is as it was.
    """

    TOPIC: ClassVar[str] = "meeting.budget_raised.v1"
    meeting_tokens: int | None = None
    meeting_cost: float | None = None


Fact: TypeAlias = (
    Convened
    | RoundOpened
    | AttemptStarted
    | AttemptFailed
    | AttemptAbandoned
    | TurnCompleted
    | TurnSkipped
    | RoundClosed
    | RoundDigested
    | SynthesisStarted
    | SynthesisDrafted
    | SynthesisCompleted
    | Completed
    | Cancelled
    | Failed
    | Paused
    | Resumed
    | Adopted
    | RemarkMade
    | BudgetRaised
)


class MeetingEvent(Value, frozen=True):
    """A fact with its place and its origin: what the eventsourcing library calls a domain event.

    Shape: `originator_version` counts from 1 without gaps; `command_id` is shared by all facts
    that one command led to; `timestamp` is UTC. Source: ADR 0002.
    """

    originator_id: MeetingId
    originator_version: int
    timestamp: datetime
    event_id: UUID
    command_id: UUID
    actor: str
    fact: Fact


class EventMetadata(Value, frozen=True):
    """What facts that are stored together have in common: the time, the command, the actor.

    Units: `at` is UTC.
    """

    at: datetime
    command_id: UUID
    actor: str
