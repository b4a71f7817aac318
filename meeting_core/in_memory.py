"""A whole meeting in memory, with a plain function as the model: no store and no service."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from meeting_core.decider import decide_events
from meeting_core.errors import WrongPhase
from meeting_core.model.commands import AcceptReply, Command, Complete, Convene
from meeting_core.model.configuration import Configuration
from meeting_core.model.events import EventMetadata, MeetingEvent
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import Value
from meeting_core.steps import (
    Ask,
    BeginAttempt,
    Ended,
    GiveCommand,
    Idle,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    next_step,
)


class HeldMeeting(Value, frozen=True):
    """A meeting that was held to its end: where it stands, its history, its minutes."""

    meeting: Meeting
    events: tuple[MeetingEvent, ...]
    minutes: str


def hold_meeting(
    configuration: Configuration,
    model: Callable[[Ask], str],
    *,
    clock: Callable[[], datetime],
    new_id: Callable[[], UUID],
) -> HeldMeeting:
    """Hold a meeting from its first fact to its last.

    Units: `clock` gives UTC. Raises: `InvalidConfiguration`, every error of `model`, and
    `ValueError` for a clock without a time zone, before the model is asked.
    """
    meeting_id = new_id()
    events: list[MeetingEvent] = []
    minutes = ""
    meeting: Meeting | None = None
    command: Command = Convene(meeting_id, configuration)
    while True:
        metadata = EventMetadata(clock(), new_id(), "in-memory")
        decision = decide_events(meeting, command, metadata, new_id)
        events.extend(decision.events)
        meeting = decision.meeting
        match step := next_step(meeting, decision.brief):
            case Ended():
                return HeldMeeting(meeting, tuple(events), minutes)
            case GiveCommand() | BeginAttempt():
                command = step.command
            case WaitUntil() | WaitForGateway():
                command = step.then.command
            case Ask():
                command = AcceptReply(step.task, step.number, model(step), "stop")
            case SaveMinutes():
                minutes = step.markdown
                command = Complete()
            case Idle():
                raise WrongPhase("a meeting held in memory is paused, and nothing can resume it")
