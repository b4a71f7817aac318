"""The answer to a start: who takes part, and what the meeting is configured with."""

from msgspec import Struct

from meeting_core.model import Meeting, OnBudget, PriceTable, SpeakingOrder, milliseconds_utc
from meeting_service.views import Time


class ConfigView(Struct, frozen=True, kw_only=True):
    """What the meeting is configured with.

    Units: tokens, bytes and seconds, as the names say. `meeting_tokens` and `meeting_cost` are the
    ceilings as they stand; `prices` those of the models that may speak, for a million tokens.
    """

    num_rounds: int
    round_topics: tuple[str, ...]
    order: SpeakingOrder
    max_tokens_per_turn: int
    synthesis_max_tokens: int
    context_tokens: int
    meeting_tokens: int | None
    meeting_cost: float | None
    prices: PriceTable | None
    min_tokens_per_turn: int
    on_budget: OnBudget
    digest_rounds: bool
    synthesizer: str | None
    max_attempts: int
    attempt_timeout_seconds: float | None
    min_attempt_seconds: float
    turn_timeout_seconds: float
    synthesis_timeout_seconds: float
    meeting_timeout_seconds: float
    gateway_reconnect_timeout_seconds: float
    max_reply_bytes: int | None


class ParticipantView(Struct, frozen=True):
    """A participant; `sort_order` counts from 0 in speaking order."""

    agent_id: str
    name: str
    role: str
    sort_order: int


class StartedView(Struct, frozen=True):
    """The answer to a start, made of the meeting's first event alone."""

    id: str
    title: str
    state: str
    participants: tuple[ParticipantView, ...]
    config: ConfigView
    created_at: Time
    stream_url: str


def started_view(meeting: Meeting, path_prefix: str = "") -> StartedView:
    """Return a meeting as it was convened; `path_prefix` stands before the path of its feed."""
    return StartedView(
        str(meeting.id),
        meeting.config.title,
        meeting.state,
        participant_views(meeting),
        config_view(meeting),
        milliseconds_utc(meeting.convened_at),
        f"{path_prefix}/api/meetings/{meeting.id}/events",
    )


def participant_views(meeting: Meeting) -> tuple[ParticipantView, ...]:
    """Return the participants in speaking order."""
    return tuple(
        ParticipantView(participant.agent_id, participant.name, participant.role, n)
        for n, participant in enumerate(meeting.config.participants)
    )


def config_view(meeting: Meeting) -> ConfigView:
    """Return what a meeting is configured with."""
    return ConfigView(
        **{name: getattr(meeting.config, name) for name in ConfigView.__struct_fields__}
    )
