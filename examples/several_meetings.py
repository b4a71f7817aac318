"""Hold several meetings at once in an asynchronous program, each with a budget of its own.

    python examples/several_meetings.py

The core knows no event loop: this program waits and calls models in its own way, and the core only
says what comes next. The models answer concurrently, one call a meeting at a time.
"""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

from meeting_core import (
    Ask,
    BeginAttempt,
    Configuration,
    Ended,
    EventMetadata,
    GiveCommand,
    Idle,
    Meeting,
    Participant,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    decide,
    next_step,
    project,
    wrap_facts,
)
from meeting_core.model import AcceptReply, Command, Complete, Convene, FaultClass, ReportFault

GOALS = ("Agree on a name", "Choose a database", "Plan the release")
PARTICIPANTS = (Participant("ann", "Ann"), Participant("bob", "Bob"), Participant("eve", "Eve"))


class Model:
    """Stands for a remote model: slow, and at times unreachable."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, ask: Ask) -> str:
        """Return what the participant says."""
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.calls == 4:
            raise ConnectionError("the line broke")
        return f"{ask.participant.name} would begin with what was said last."


async def call(model: Model, ask: Ask) -> Command:
    """Call the model; return the command that reports its reply or its fault."""
    seconds = (ask.deadline_at - datetime.now(UTC)).total_seconds()
    try:
        async with asyncio.timeout(seconds):
            return AcceptReply(ask.task, ask.number, await model.answer(ask), "stop")
    except TimeoutError:
        return ReportFault(ask.task, ask.number, FaultClass.TIMED_OUT, "no answer in time")
    except OSError as error:
        return ReportFault(ask.task, ask.number, FaultClass.UNAVAILABLE, str(error))


async def hold(configuration: Configuration, model: Model) -> Meeting:
    """Hold one meeting to its end."""
    meeting_id = uuid4()
    meeting: Meeting | None = None
    command: Command = Convene(meeting_id, configuration)
    while True:
        metadata = EventMetadata(datetime.now(UTC), uuid4(), "this program")
        facts = decide(meeting, command, metadata.at)
        after = meeting.version if meeting else 0
        events = wrap_facts(facts, metadata, meeting_id=meeting_id, after=after, new_id=uuid4)
        meeting = project(meeting, events)  # a program that must not forget stores the events first
        assert meeting is not None
        step = next_step(meeting)
        if isinstance(step, WaitUntil):
            await asyncio.sleep((step.at - datetime.now(UTC)).total_seconds())
            step = step.then
        match step:
            case Ask():
                command = await call(model, step)
            case GiveCommand() | BeginAttempt():
                command = step.command
            case WaitForGateway():
                command = step.then.command
            case SaveMinutes():
                command = Complete()
            case Idle() | Ended():
                return meeting


async def main() -> None:
    """Hold all meetings at once."""
    model = Model()
    configurations = [
        Configuration(goal=goal, participants=PARTICIPANTS, num_rounds=2, meeting_tokens=30_000)
        for goal in GOALS
    ]
    meetings = await asyncio.gather(*(hold(each, model) for each in configurations))
    for meeting in meetings:
        spoken = sum(turn.text is not None for turn in meeting.turns)
        print(
            f"{meeting.config.goal}: {meeting.state}, {spoken} turns, {meeting.ledger.spent} tokens"
        )


if __name__ == "__main__":
    asyncio.run(main())
