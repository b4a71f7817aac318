"""What a meeting spent, call by call and summed up, as clients see it."""

from typing import Any

from msgspec import Struct

from meeting_core import Spending, SpentAttempt, Subtotal
from meeting_core.model import Meeting, SynthesisTask, UsageSource
from meeting_service.views.budget import TokensView, in_currency, tokens_view

SOURCES: tuple[UsageSource, ...] = ("reported", "partly_reported", "estimated", "unknown")


class SourcesView(Struct, frozen=True):
    """How sure the figures are. Units: tokens whose number the provider reported, of calls of
    which it reported a part, that we estimated, and that stay charged because the number is
    unknown.
    """

    reported: int
    partly_reported: int
    estimated: int
    unknown: int


class SpendingSummaryView(Struct, frozen=True):
    """What a meeting spent, in short. Units: tokens; wasted ones led to no text."""

    useful_tokens: int
    wasted_tokens: int
    by_source: SourcesView


class SubtotalView(Struct, frozen=True, kw_only=True):
    """The sum of some ended calls. Units: tokens, and the currency; costs are null without prices.

    What led to a text is useful; what was spent on failed and abandoned calls is wasted.
    """

    calls: int
    useful_tokens: int
    wasted_tokens: int
    useful_cost: float | None
    wasted_cost: float | None


class ParticipantSpendingView(Struct, frozen=True):
    """What one participant's calls took, for turns, digests and minutes together."""

    agent_id: str
    agent_name: str
    spent: SubtotalView


class RoundSpendingView(Struct, frozen=True):
    """What the turns of one round took."""

    round_num: int
    topic: str
    spent: SubtotalView


class ModelSpendingView(Struct, frozen=True):
    """What the calls to one model took; without a price it counts as costing nothing."""

    model: str
    has_price: bool
    spent: SubtotalView


class SpentAttemptView(Struct, frozen=True, kw_only=True):
    """One call.

    Units: tokens, milliseconds, and the currency; of `completion_tokens`, `reasoning_tokens` were
    thoughts. Shape: `task` is `round-1-dev`, `digest-1` or
    `synthesis`; `outcome` is `completed`, `drafted`, `open`, `failed:` with the fault, or
    `abandoned:` with the cause. An open call has taken nothing yet; costs are null where the model
    has no price.
    """

    task: str
    number: int
    agent_id: str
    round_num: int | None
    model: str
    answered_by: str
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    source: UsageSource | None
    charged_tokens: int
    reserved_tokens: int
    cost: float | None
    reserved_cost: float | None
    latency_ms: int | None
    first_token_ms: int | None


class SpendingView(Struct, frozen=True, kw_only=True):
    """What a meeting spent.

    Shape: `by_round` are the turns; with `digests` and `synthesis` they make up the `total`, and so
    do the participants, and the models. `tokens` is the budget as in the status.
    """

    id: str
    state: str
    currency: str | None
    prices_version: str | None
    tokens: TokensView
    total: SubtotalView
    by_source: SourcesView
    by_participant: tuple[ParticipantSpendingView, ...]
    by_round: tuple[RoundSpendingView, ...]
    digests: SubtotalView
    synthesis: SubtotalView
    by_model: tuple[ModelSpendingView, ...]
    attempts: tuple[SpentAttemptView, ...]


def spending_view(meeting: Meeting, spent: Spending) -> SpendingView:
    """Return what a meeting spent."""
    prices, has_prices = meeting.config.prices, spent.currency is not None
    return SpendingView(
        id=str(meeting.id),
        state=meeting.state,
        currency=spent.currency,
        prices_version=spent.prices_version,
        tokens=tokens_view(meeting),
        total=_subtotal(spent.total, has_prices),
        by_source=_sources(spent),
        by_participant=tuple(
            ParticipantSpendingView(
                agent_id, meeting.participant(agent_id).name, _subtotal(subtotal, has_prices)
            )
            for agent_id, subtotal in spent.by_participant
        ),
        by_round=tuple(
            RoundSpendingView(
                n, meeting.config.round_topics[n - 1], _subtotal(subtotal, has_prices)
            )
            for n, subtotal in spent.by_round
        ),
        digests=_subtotal(spent.digests, has_prices),
        synthesis=_subtotal(spent.synthesis, has_prices),
        by_model=tuple(
            ModelSpendingView(
                model,
                prices is not None and prices.of(model) is not None,
                _subtotal(subtotal, has_prices),
            )
            for model, subtotal in spent.by_model
        ),
        attempts=tuple(_attempt(attempt) for attempt in spent.attempts),
    )


def spending_summary(spent: Spending) -> SpendingSummaryView:
    """Return what a meeting spent, in short."""
    total = spent.total
    return SpendingSummaryView(total.useful.tokens, total.waste.tokens, _sources(spent))


def _sources(spent: Spending) -> SourcesView:
    found = {source: amount.tokens for source, amount in spent.by_source}
    return SourcesView(*(found.get(source, 0) for source in SOURCES))


def _subtotal(subtotal: Subtotal, has_prices: bool) -> SubtotalView:
    return SubtotalView(
        calls=subtotal.calls,
        useful_tokens=subtotal.useful.tokens,
        wasted_tokens=subtotal.waste.tokens,
        useful_cost=in_currency(subtotal.useful.micros) if has_prices else None,
        wasted_cost=in_currency(subtotal.waste.micros) if has_prices else None,
    )


def _attempt(attempt: SpentAttempt) -> SpentAttemptView:
    is_open = attempt.ending == "open"
    timing = attempt.timing
    costs: dict[str, Any] = {"cost": None, "reserved_cost": None}
    if attempt.has_price:
        costs["cost"] = in_currency(attempt.charged.micros)
        costs["reserved_cost"] = in_currency(attempt.reserved.micros)
    return SpentAttemptView(
        task=attempt.task.key,
        number=attempt.number,
        agent_id=attempt.agent_id,
        round_num=None if isinstance(attempt.task, SynthesisTask) else attempt.task.round_num,
        model=attempt.model,
        answered_by=attempt.answered_by,
        outcome=attempt.outcome,
        prompt_tokens=attempt.usage.prompt_tokens,
        completion_tokens=attempt.usage.completion_tokens,
        reasoning_tokens=attempt.usage.reasoning_tokens,
        source=None if is_open else attempt.usage.source,
        charged_tokens=attempt.charged.tokens,
        reserved_tokens=attempt.reserved.tokens,
        latency_ms=None if timing is None else timing.latency_ms,
        first_token_ms=None if timing is None else timing.first_token_ms,
        **costs,
    )
