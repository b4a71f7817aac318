"""The transcript: what was said in a meeting, round by round, and what was written at its end."""

from datetime import datetime

from meeting_core.model.values import (
    AgentId,
    EndCause,
    Manifest,
    RoundEnding,
    SkipReason,
    UsageSource,
    Value,
    Version,
)


class Turn(Value, frozen=True):
    """One participant's ended turn in one round: a text, or the reason why there is none.

    Units: tokens, over all attempts; `usage_source` is the least certain of them. `text` is as it
    may be quoted: within its cap; `text_tokens` are its own, and `is_cut` says that it was longer.
    `speaks_for` are the others in whose names lines of it begin.
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
    speaks_for: tuple[AgentId, ...] = ()


class Remark(Value, frozen=True):
    """What a human said to the meeting."""

    version: Version
    round_num: int
    author: str
    text: str
    text_tokens: int


class Digest(Value, frozen=True):
    """What stands for a closed round in later briefs; without a text, its turns are shown."""

    version: Version
    text: str
    text_tokens: int
    agent_id: AgentId | None
    degraded: str


class Round(Value, frozen=True):
    """A round that was opened, and how it ended, if it has.

    `order` is who speaks in it, in this order; `first_turn` the index of its first turn among all
    turns of the meeting.
    """

    round_num: int
    opened_at: datetime
    order: tuple[AgentId, ...]
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
