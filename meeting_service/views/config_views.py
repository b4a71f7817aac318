"""What a meeting is configured with, how its budget stands, and how it ended."""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from meeting_core.budget import micros_left, tokens_left
from meeting_core.model import (
    EndCause,
    Meeting,
    OnBudget,
    Outcome,
    PriceTable,
    SpeakingOrder,
    milliseconds_utc,
)

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

MICROS = 1_000_000
"""Parts of the currency that amounts of money are counted in."""


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


class CostView(Struct, frozen=True):
    """The budget in money. Units: the currency; `left` is null without a ceiling for it."""

    currency: str
    spent: float
    reserved: float
    left: float | None


class TokensView(Struct, frozen=True):
    """The budget. Units: tokens; `left` is null without a ceiling, `cost` without prices."""

    spent: int
    reserved: int
    left: int | None
    cost: CostView | None


class OutcomeView(Struct, frozen=True, kw_only=True):
    """How a complete meeting ended, what was lost on the way, and who wrote the minutes.

    `silent` are the agents that never spoke; of the rounds, some were silent in a partial one, and
    all in a silent one.
    """

    ended_by: EndCause
    degraded: tuple[str, ...]
    author: str | None
    silent: tuple[str, ...]
    partial_rounds: tuple[int, ...]
    silent_rounds: tuple[int, ...]


def started_view(meeting: Meeting) -> StartedView:
    """Return a meeting as it was convened."""
    return StartedView(
        str(meeting.id),
        meeting.config.title,
        meeting.state,
        participant_views(meeting),
        config_view(meeting),
        milliseconds_utc(meeting.convened_at),
        f"/api/meetings/{meeting.id}/events",
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


def tokens_view(meeting: Meeting) -> TokensView:
    """Return how a meeting's budget stands."""
    config, ledger = meeting.config, meeting.ledger
    left = tokens_left(config, ledger)
    return TokensView(ledger.spent, ledger.reserved, left, _cost(meeting))


def outcome_view(outcome: Outcome) -> OutcomeView:
    """Return an outcome, with the parts that a stored one leaves out when they are empty."""
    return OutcomeView(
        **{name: getattr(outcome, name) for name in OutcomeView.__struct_fields__},
    )


def in_currency(micros: int) -> float:
    """Return an amount in the currency from one in its millionths."""
    return micros / MICROS


def _cost(meeting: Meeting) -> CostView | None:
    prices, ledger = meeting.config.prices, meeting.ledger
    if prices is None:
        return None
    left = micros_left(meeting.config, ledger)
    return CostView(
        prices.currency,
        in_currency(ledger.spent_micros),
        in_currency(ledger.reserved_micros),
        None if left is None else in_currency(left),
    )
