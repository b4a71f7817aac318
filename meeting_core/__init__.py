"""The core of a meeting of AI agents: pure functions over facts, and nothing else."""

from meeting_core.budget.spending_report import Spending, SpentAttempt, Subtotal, spending
from meeting_core.codec import MeetingMapper
from meeting_core.decider import Decision, decide, decide_events, wrap_facts
from meeting_core.errors import (
    CorruptHistory,
    InvalidConfiguration,
    MeetingError,
    Problem,
    Refusal,
)
from meeting_core.in_memory import HeldMeeting, hold_meeting
from meeting_core.minutes import outcome_of, parse_synthesis, render_minutes
from meeting_core.model.configuration import Configuration, Limits
from meeting_core.model.events import EventMetadata, Fact, MeetingEvent
from meeting_core.model.meeting import Meeting
from meeting_core.model.phases import allowed_actions
from meeting_core.model.prices import ModelPrice, PriceTable
from meeting_core.model.values import (
    Message,
    Outcome,
    Participant,
    Phase,
    Reply,
    ReportedUsage,
    Usage,
)
from meeting_core.projector import evolve, fold, project
from meeting_core.prompt.brief import Brief, build_brief
from meeting_core.prompt.brief_replay import rebuild_brief
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens
from meeting_core.steps import (
    Ask,
    BeginAttempt,
    Ended,
    GiveCommand,
    Idle,
    SaveMinutes,
    Step,
    WaitForGateway,
    WaitUntil,
    next_step,
)

__all__ = [
    "Ask",
    "BeginAttempt",
    "Brief",
    "Configuration",
    "CorruptHistory",
    "Decision",
    "Ended",
    "EventMetadata",
    "Fact",
    "GiveCommand",
    "HeldMeeting",
    "Idle",
    "InvalidConfiguration",
    "Limits",
    "Meeting",
    "MeetingError",
    "MeetingEvent",
    "MeetingMapper",
    "Message",
    "ModelPrice",
    "Outcome",
    "Participant",
    "Phase",
    "PriceTable",
    "Problem",
    "Refusal",
    "Reply",
    "ReportedUsage",
    "SaveMinutes",
    "Spending",
    "SpentAttempt",
    "Step",
    "Subtotal",
    "TokenCounter",
    "Usage",
    "WaitForGateway",
    "WaitUntil",
    "allowed_actions",
    "build_brief",
    "decide",
    "decide_events",
    "estimate_tokens",
    "evolve",
    "fold",
    "hold_meeting",
    "next_step",
    "outcome_of",
    "parse_synthesis",
    "project",
    "rebuild_brief",
    "render_minutes",
    "spending",
    "wrap_facts",
]
