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
from meeting_core.budget.token_learning import (
    NOTHING_LEARNT,
    CountedCall,
    LearntFactors,
    counted_calls,
    learnt_from,
)

__all__ = [
    "NOTHING_LEARNT",
    "Allowance",
    "AttemptEnding",
    "CountedCall",
    "Key",
    "LearntFactors",
    "Spending",
    "SpentAttempt",
    "Subtotal",
    "counted_calls",
    "learnt_from",
    "micros_left",
    "spending",
    "synthesis_allowance",
    "synthesis_share",
    "synthesis_share_micros",
    "tokens_left",
    "turn_allowance",
]
