"""A program that embeds the library, as mypy must see it: strict, and without a cast."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from meeting_core import (
    Ask,
    BeginAttempt,
    Configuration,
    Decision,
    Ended,
    EventMetadata,
    GiveCommand,
    HeldMeeting,
    Idle,
    Meeting,
    MeetingEvent,
    Participant,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    allowed_actions,
    decide_events,
    fold,
    hold_meeting,
    next_step,
)
from meeting_core.model import AcceptReply, Command, Complete, Convene, Resume

CONFIGURATION = Configuration(
    participants=(Participant("ann", "Ann"), Participant("bob", "Bob")), order="rotate"
)


def answer(ask: Ask) -> str:
    return f"{ask.participant.name}: {ask.messages[-1].content[:10]}"


def in_memory() -> HeldMeeting:
    return hold_meeting(CONFIGURATION, answer, clock=lambda: datetime.now(UTC), new_id=uuid4)


def with_a_shell_of_its_own() -> Meeting:
    command: Command = Convene(uuid4(), CONFIGURATION)
    meeting: Meeting | None = None
    stored: list[MeetingEvent] = []
    while True:
        metadata = EventMetadata(datetime.now(UTC), uuid4(), "a program")
        decision: Decision = decide_events(meeting, command, metadata, uuid4)
        stored.extend(decision.events)
        meeting = decision.meeting
        match next_step(meeting, decision.brief):
            case GiveCommand() | BeginAttempt() as step:
                command = step.command
            case Ask() as ask:
                command = AcceptReply(ask.task, ask.number, answer(ask), "stop")
            case WaitUntil() | WaitForGateway() as wait:
                command = wait.then.command
            case SaveMinutes():
                command = Complete()
            case Idle():
                command = Resume()
            case Ended():
                break
    actions: tuple[str, ...] = allowed_actions(meeting)
    meeting_id: UUID = meeting.id
    assert (actions, meeting_id) == ((), fold(stored).id)
    return meeting
