"""How a meeting ended."""

from msgspec import Struct

from meeting_core.model import EndCause, Outcome


class OutcomeView(Struct, frozen=True, kw_only=True):
    """How a complete meeting ended, what was lost on the way, and who wrote the minutes.

    `silent` are the agents that never spoke; of the rounds, some were silent in a partial one, and
    all in a silent one. Units: `overrun_tokens` is what single calls took beyond what was set aside
    for them, by their provider's count.
    """

    ended_by: EndCause
    degraded: tuple[str, ...]
    author: str | None
    silent: tuple[str, ...]
    partial_rounds: tuple[int, ...]
    silent_rounds: tuple[int, ...]
    overrun_tokens: int


def outcome_view(outcome: Outcome) -> OutcomeView:
    """Return an outcome, with the parts that a stored one leaves out when they are empty."""
    return OutcomeView(
        **{name: getattr(outcome, name) for name in OutcomeView.__struct_fields__},
    )
