"""The input of a simulation: the meeting, and the assumed behaviour of its models."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from meeting_core.model import AgentId, Configuration, Limits
from meeting_service.settings import SettingsError
from meeting_service.simulation.lengths import Length, LogNormalLength

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Ratio = Annotated[float, Meta(ge=0.1, le=10)]
Rate = Annotated[float, Meta(gt=0, le=1_000_000)]
Runs = Annotated[int, Meta(ge=1, le=100_000)]

DEFAULT_REPLY = LogNormalLength(p50=120, p95=180)
DEFAULT_DIGEST = LogNormalLength(p50=80, p95=120)
DEFAULT_MINUTES = LogNormalLength(p50=300, p95=420)


class PlanError(SettingsError):
    """A plan is wrong; the text is one line that says where, what and what to do."""


class Replies(Struct, frozen=True, kw_only=True):
    """The lengths of turns without a cap, and how often a model ignores a lower cap."""

    tokens: Length = DEFAULT_REPLY
    ignores_cap_probability: Share = 0.0


class Digest(Struct, frozen=True, kw_only=True):
    """The lengths of the digests of rounds without a cap."""

    tokens: Length = DEFAULT_DIGEST


class Minutes(Struct, frozen=True, kw_only=True):
    """The lengths of the closing text without a cap, and how often it has all its sections."""

    tokens: Length = DEFAULT_MINUTES
    complete_sections_probability: Share = 1.0


class Latency(Struct, frozen=True, kw_only=True):
    """The times of calls; each varies by up to `jitter` of its time."""

    first_token_seconds: Seconds = 0.8
    tokens_per_second: Rate = 60.0
    jitter: Share = 0.3


class Faults(Struct, frozen=True, kw_only=True):
    """The share of all calls that fail, by class of fault.

    Units: `retry_after_seconds` is the wait that a rate limit asks for.
    """

    rate_limited: Share = 0.0
    unavailable: Share = 0.0
    timed_out: Share = 0.0
    context_too_long: Share = 0.0
    refused: Share = 0.0
    rejected: Share = 0.0
    truncated: Share = 0.0
    empty: Share = 0.0
    unsupported: Share = 0.0
    retry_after_seconds: Seconds | None = None


class Counting(Struct, frozen=True, kw_only=True):
    """The provider's counts: the share of calls with usage, and its tokens for one of ours.

    Units: `reasoning_tokens` are thoughts that each reply takes beside its cap.
    """

    reported: Share = 1.0
    factor: Ratio = 1.0
    reasoning_tokens: Annotated[int, Meta(ge=0, le=100_000)] = 0


class Outage(Struct, frozen=True, kw_only=True):
    """The share of meetings in which one gateway becomes unreachable, and for how long."""

    probability: Share = 0.0
    seconds: Seconds = 30.0


class Plan(Struct, frozen=True, kw_only=True):
    """Everything a simulation depends on: equal plans give equal numbers.

    Shape: `replies` has an entry for every participant of the meeting.
    """

    meeting: Configuration
    limits: Limits = Limits()
    replies: Mapping[AgentId, Replies]
    digest: Digest = Digest()
    synthesis: Minutes = Minutes()
    latency: Latency = Latency()
    faults: Faults = Faults()
    usage: Counting = Counting()
    outage: Outage = Outage()
    runs: Runs = 1_000
    seed: int = 1
