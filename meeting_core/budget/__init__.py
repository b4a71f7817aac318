"""The budget: what calls may cost, and what they did cost."""

from meeting_core.budget.allowance import (
    Allowance,
    micros_left,
    synthesis_allowance,
    synthesis_share,
    synthesis_share_micros,
    tokens_left,
    turn_allowance,
)
from meeting_core.budget.spending_report import (
    AttemptEnding,
    Key,
    Spending,
    SpentAttempt,
    Subtotal,
    spending,
)

__all__ = [
    "Allowance",
    "AttemptEnding",
    "Key",
    "Spending",
    "SpentAttempt",
    "Subtotal",
    "micros_left",
    "spending",
    "synthesis_allowance",
    "synthesis_share",
    "synthesis_share_micros",
    "tokens_left",
    "turn_allowance",
]
