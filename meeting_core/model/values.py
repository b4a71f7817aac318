"""The words of a meeting: ids, phases, participants, tasks, usage.

Long because all that facts and commands are made of stands in one place.
"""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, NewType, TypeAlias
from uuid import UUID

from msgspec import Meta, Struct, to_builtins

MeetingId: TypeAlias = UUID
AgentId: TypeAlias = str

UtcTime: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""A stored time: one without a zone is refused on reading."""

Version = NewType("Version", int)
"""Place of an event in one meeting's stream: 1, 2, 3, without gaps."""

Position = NewType("Position", int)
"""Place of an event in the whole store: growing, in commit order."""


class Phase(StrEnum):
    """Where a meeting stands in its state machine."""

    GATHERING = "gathering"
    IN_ROUND = "in_round"
    SYNTHESIZING = "synthesizing"
    PAUSED = "paused"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    ERROR = "error"


FINAL_PHASES = frozenset({Phase.COMPLETE, Phase.CANCELLED, Phase.ERROR})


class FaultClass(StrEnum):
    """How a gateway call failed; `decider.fault_policy` says what to do about it."""

    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    TIMED_OUT = "timed_out"
    CONTEXT_TOO_LONG = "context_too_long"
    REFUSED = "refused"
    REJECTED = "rejected"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    UNSUPPORTED = "unsupported"


UsageSource: TypeAlias = Literal["reported", "partly_reported", "estimated", "unknown"]
RoundEnding: TypeAlias = Literal["complete", "partial", "silent"]
EndCause: TypeAlias = Literal["agenda", "budget", "deadline", "operator"]
AbandonCause: TypeAlias = Literal[
    "restart", "takeover", "cancel", "failure", "shutdown", "operator"
]
AdoptCause: TypeAlias = Literal["restart", "takeover"]
FailReason: TypeAlias = Literal[
    "nobody_spoke",
    "budget",
    "gateway_unreachable",
    "gateway_missing",
    "crash_loop",
    "orchestrator_restart",
    "internal_error",
]
PauseCause: TypeAlias = Literal["operator", "budget"]
OnBudget: TypeAlias = Literal["wrap_up", "pause", "fail"]
SpeakingOrder: TypeAlias = Literal["seat", "rotate"]
BudgetReduction: TypeAlias = Literal["brief", "cap"]
SkipReason: TypeAlias = Literal[
    "rate_limited",
    "unavailable",
    "timed_out",
    "context_too_long",
    "refused",
    "rejected",
    "truncated",
    "empty",
    "unsupported",
    "budget",
    "deadline",
    "operator",
]


class Value(Struct, frozen=True, gc=False):
    """Something that is only what it holds. It can be in no cycle, so no collector looks at it."""


class Participant(Value, frozen=True, omit_defaults=True, cache_hash=True):
    """A participant of a meeting: its name, its role, and the model it speaks through.

    Shape: `fallback_models` are tried in their order when the provider rejects the one before, or
    does not serve it at present.
    """

    agent_id: AgentId
    name: str
    role: str = ""
    instructions: str = ""
    model: str = ""
    gateway: str = ""
    fallback_models: tuple[str, ...] = ()


class TurnTask(Value, frozen=True, tag="turn"):
    """One participant's turn in one round."""

    round_num: int
    agent_id: AgentId

    @property
    def key(self) -> str:
        return f"round-{self.round_num}-{self.agent_id}"


class DigestTask(Value, frozen=True, tag="digest"):
    """The call that shortens a closed round to what later speakers need of it."""

    round_num: int

    @property
    def key(self) -> str:
        return f"digest-{self.round_num}"


class SynthesisTask(Value, frozen=True, tag="synthesis"):
    """The closing call, which writes the minutes."""

    @property
    def key(self) -> str:
        return "synthesis"


Task: TypeAlias = TurnTask | DigestTask | SynthesisTask


def call_key(meeting_id: MeetingId, task: Task, number: int) -> str:
    """Return the name of one attempt, for ever: `meeting/task/attempt`."""
    return f"{to_builtins(meeting_id)}/{task.key}/{number}"  # in a fifth of the time of `str`


class Message(Value, frozen=True):
    """One message of a brief, in the shape chat endpoints take."""

    role: Literal["system", "user"]
    content: str


class ReportedUsage(Value, frozen=True, omit_defaults=True):
    """Tokens that a provider says a call took, as it said it, be it true or not.

    Units: tokens; None is what it did not say. `reasoning_tokens` are those of thoughts, which some
    providers count within `completion_tokens` and some beside them.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    reasoning_tokens: int = 0


class Usage(Value, frozen=True, omit_defaults=True):
    """Tokens one call took.

    Units: tokens; `completion_tokens` are all that the model wrote, of which `reasoning_tokens`
    were thoughts. `source` says whether the provider reported them, reported a part of them so that
    we estimated the rest, or whether we estimated them all.
    """

    prompt_tokens: int
    completion_tokens: int
    source: UsageSource
    reasoning_tokens: int = 0

    @property
    def total(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def text_tokens(self) -> int:
        """What the model wrote besides its thoughts."""
        return self.completion_tokens - self.reasoning_tokens


class Timing(Value, frozen=True, omit_defaults=True):
    """How long a call took.

    Units: milliseconds, of the whole call and until its first text came.
    """

    latency_ms: int
    first_token_ms: int | None = None


class Reply(Value, frozen=True, omit_defaults=True):
    """What a model wrote, as it is kept.

    Units: `text_tokens` is the estimate for `text`; `cleaned` counts the characters taken out
    because no store or terminal takes them. `cut_to` is set if the text passed the attempt's cap:
    only so many characters of it, and a mark, are quoted. `is_truncated` says that reading stopped
    before the reply's end, or that it passed the bound in bytes, and its rest was not kept.
    `thought` is what the model thought before the text, if its gateway keeps that; nothing quotes
    it. `label` is what stood before the text, as it came, to name the speaker; `speaks_for` are the
    other participants in whose names lines of the text begin.
    """

    text: str
    text_tokens: int
    usage: Usage
    finish_reason: str
    model: str = ""
    cleaned: int = 0
    cut_to: int | None = None
    timing: Timing | None = None
    is_truncated: bool = False
    thought: str = ""
    label: str = ""
    speaks_for: tuple[AgentId, ...] = ()

    @property
    def is_cut(self) -> bool:
        return self.cut_to is not None or self.is_truncated

    @property
    def quotable(self) -> str:
        """The text as it may be quoted: within its cap."""
        return self.text if self.cut_to is None else cut_to_characters(self.text, self.cut_to)


class Reservation(Value, frozen=True, omit_defaults=True):
    """Tokens set aside before a call: the estimated prompt, the output cap, and what the model is
    known to write beyond such a cap.
    """

    prompt_tokens: int
    output_tokens: int
    beyond_cap_tokens: int = 0

    @property
    def written_tokens(self) -> int:
        """All that the model may write: up to its cap, and what it is known to write beyond it."""
        return self.output_tokens + self.beyond_cap_tokens

    @property
    def total(self) -> int:
        return self.prompt_tokens + self.written_tokens


class EntryRange(Value, frozen=True, array_like=True):
    """The transcript entries whose versions lie between two, both included."""

    first: int
    last: int


class Manifest(Value, frozen=True, omit_defaults=True):
    """What went into a brief, so that an auditor can build it again.

    Units: `tokens` is the estimate for all messages together. Shape: an entry is a turn with a
    text, a remark, or a round's digest. `digested` are the entries that a digest stands for; of
    the others, the three ranges hold each that existed when the brief was built, once. `draft` is
    the version of the draft of the minutes that was shown, if one was.
    """

    template: int
    tokens: int
    whole: EntryRange | None = None
    shortened: EntryRange | None = None
    dropped: EntryRange | None = None
    digested: tuple[EntryRange, ...] = ()
    draft: int | None = None


class Outcome(Value, frozen=True, omit_defaults=True):
    """How a complete meeting ended, and what was lost on the way.

    `degraded` lists every loss in words; `author` is the agent that wrote the minutes, if any;
    `silent` are the agents that never spoke; a round is partial when some were silent in it, and
    silent when all were. Units: `overrun_tokens` is what single calls took beyond what was set
    aside for them, by their provider's count.
    """

    ended_by: EndCause
    degraded: tuple[str, ...] = ()
    author: AgentId | None = None
    silent: tuple[AgentId, ...] = ()
    partial_rounds: tuple[int, ...] = ()
    silent_rounds: tuple[int, ...] = ()
    overrun_tokens: int = 0


CUT_MARK = "\n[... cut here ...]"
"""Stands where the rest of a text was cut off."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Return whether a text is free of NUL and lone surrogates, which no database takes."""
    return _UNSTORABLE.search(text) is None


def clean_text(text: str) -> tuple[str, int]:
    """Return a text without what must not reach a store or a terminal, and how much was taken out.

    That is NUL, lone surrogates and control characters, but for tab, newline and carriage return.
    """
    if text.isprintable() or text.replace("\n", "").isprintable():
        return text, 0
    return _UNPRINTABLE.subn("", text)


def cut_to_characters(text: str, kept: int) -> str:
    """Return the first `kept` characters of a text with a visible mark; "" if `kept` is 0."""
    return f"{text[:kept]}{CUT_MARK}" if kept else ""


def milliseconds_utc(at: datetime) -> str:
    """Return a UTC time written as `2026-11-23T10:45:00.000Z`."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
