"""What the shell must do next, and who speaks and writes when."""

from meeting_core.steps.agenda import next_step
from meeting_core.steps.speaking_order import (
    authors_left,
    awaits_digest,
    digest_author,
    next_author,
    turns_to_come,
)
from meeting_core.steps.step import (
    Ask,
    BeginAttempt,
    Ended,
    GiveCommand,
    Idle,
    SaveMinutes,
    Step,
    WaitForGateway,
    WaitUntil,
)

__all__ = [
    "Ask",
    "BeginAttempt",
    "Ended",
    "GiveCommand",
    "Idle",
    "SaveMinutes",
    "Step",
    "WaitForGateway",
    "WaitUntil",
    "authors_left",
    "awaits_digest",
    "digest_author",
    "next_author",
    "next_step",
    "turns_to_come",
]
