"""The core of a meeting of AI agents: pure functions over facts, and nothing else."""

from meeting_core.agenda import (
    Ask,
    BeginAttempt,
    Ended,
    Record,
    Rest,
    SaveMinutes,
    Step,
    WaitForGateway,
    WaitUntil,
    next_step,
)
from meeting_core.brief import Brief, build_brief, rebuild_brief
from meeting_core.configuration import Configuration, Limits
from meeting_core.decider import decide
from meeting_core.errors import (
    CorruptHistory,
    InvalidConfiguration,
    MeetingError,
    Problem,
    Refusal,
)
from meeting_core.events import Fact, MeetingEvent, Origin, envelop
from meeting_core.fold import evolve, fold, project
from meeting_core.in_memory import HeldMeeting, hold_meeting
from meeting_core.mapper import MeetingMapper
from meeting_core.meeting import Meeting
from meeting_core.minutes import outcome_of, parse_synthesis, render_minutes
from meeting_core.prices import ModelPrice, PriceTable
from meeting_core.spending import Spending, SpentAttempt, Tally, spending
from meeting_core.tokens import TokenCounter, estimate_tokens
from meeting_core.vocabulary import Message, Outcome, Participant, Phase, Usage

__all__ = [
    "Ask",
    "BeginAttempt",
    "Brief",
    "Configuration",
    "CorruptHistory",
    "Ended",
    "Fact",
    "HeldMeeting",
    "InvalidConfiguration",
    "Limits",
    "Meeting",
    "MeetingError",
    "MeetingEvent",
    "MeetingMapper",
    "Message",
    "ModelPrice",
    "Origin",
    "Outcome",
    "Participant",
    "Phase",
    "PriceTable",
    "Problem",
    "Record",
    "Refusal",
    "Rest",
    "SaveMinutes",
    "Spending",
    "SpentAttempt",
    "Step",
    "Tally",
    "TokenCounter",
    "Usage",
    "WaitForGateway",
    "WaitUntil",
    "build_brief",
    "decide",
    "envelop",
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
]
