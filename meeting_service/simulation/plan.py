"""What a simulation is given: the meeting, and how its models are taken to behave."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from meeting_core.model import AgentId, Configuration, Limits
from meeting_service.settings import SettingsError
from meeting_service.simulation.lengths import Length, Span

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Ratio = Annotated[float, Meta(ge=0.1, le=10)]
Rate = Annotated[float, Meta(gt=0, le=1_000_000)]
Runs = Annotated[int, Meta(ge=1, le=100_000)]

USUAL_REPLY = Span(p50=120, p95=180)
USUAL_DIGEST = Span(p50=80, p95=120)
USUAL_MINUTES = Span(p50=300, p95=420)


class PlanError(SettingsError):
    """A plan is wrong; the text is one line that says where, what and what to do."""


class Replies(Struct, frozen=True, kw_only=True):
    """How long turns want to be, and how often a model ignores its cap where that is less."""

    tokens: Length = USUAL_REPLY
    ignores_cap_probability: Share = 0.0


class Digest(Struct, frozen=True, kw_only=True):
    """How long the digests of rounds want to be."""

    tokens: Length = USUAL_DIGEST


class Minutes(Struct, frozen=True, kw_only=True):
    """How long the closing text wants to be, and how often it has all its sections."""

    tokens: Length = USUAL_MINUTES
    complete_sections_probability: Share = 1.0


class Latency(Struct, frozen=True, kw_only=True):
    """How long calls take: each by up to `jitter` of its time more or less."""

    first_token_seconds: Seconds = 0.8
    tokens_per_second: Rate = 60.0
    jitter: Share = 0.3


class Faults(Struct, frozen=True, kw_only=True):
    """Shares of all calls that fail so.

    Units: `retry_after_seconds` is what a provider that limits its rate asks for.
    """

    rate_limited: Share = 0.0
    unavailable: Share = 0.0
    timed_out: Share = 0.0
    context_too_long: Share = 0.0
    refused: Share = 0.0
    rejected: Share = 0.0
    truncated: Share = 0.0
    empty: Share = 0.0
    retry_after_seconds: Seconds | None = None


class Counting(Struct, frozen=True, kw_only=True):
    """How the provider counts: the share of calls it reports, and its tokens for one of ours."""

    reported: Share = 1.0
    factor: Ratio = 1.0


class Outage(Struct, frozen=True, kw_only=True):
    """In this share of meetings one gateway goes away at some call, for so long."""

    probability: Share = 0.0
    seconds: Seconds = 30.0


class Plan(Struct, frozen=True, kw_only=True):
    """Everything a simulation depends on: equal plans give equal numbers.

    Shape: `replies` has an entry for every seat of the meeting.
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
