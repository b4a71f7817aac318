"""A meeting played on a stage: the core says what is next, a test speaks for the models."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from meeting_core import (
    Ask,
    BeginAttempt,
    Brief,
    Configuration,
    Ended,
    EventMetadata,
    Fact,
    GiveCommand,
    Idle,
    Meeting,
    MeetingEvent,
    ReportedUsage,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    decide_events,
    next_step,
)
from meeting_core.model import (
    AcceptReply,
    AttemptStarted,
    Command,
    Complete,
    Convene,
    DigestTask,
    SynthesisTask,
    TurnTask,
)
from tests.builders import MEETING_ID, START, SYNTHESIS

Answer = Callable[[Ask, Meeting], Command]


def brief_speaker(ask: Ask, meeting: Meeting) -> Command:
    """Answer in a line; no usage is reported."""
    match ask.task:
        case TurnTask():
            text = f"{ask.participant.name} speaks in round {meeting.round_num}."
        case DigestTask():
            text = f"Round {meeting.round_num} in short."
        case SynthesisTask():
            text = SYNTHESIS
    return AcceptReply(ask.task, ask.number, text, "stop")


def long_speaker(ask: Ask, meeting: Meeting) -> Command:
    """Use, and report, all that was set aside."""
    assert meeting.task_state is not None
    assert meeting.task_state.open is not None
    reserved = meeting.task_state.open.reserved
    usage = ReportedUsage(reserved.prompt_tokens, reserved.output_tokens)
    text = "word " * (reserved.output_tokens * 4 // 5)
    if isinstance(ask.task, SynthesisTask):
        text = SYNTHESIS
    return AcceptReply(ask.task, ask.number, text, "length", usage)


class Stage:
    """One meeting under way; each answer takes a second, and outages of gateways are short."""

    def __init__(self, configuration: Configuration, answer: Answer = brief_speaker) -> None:
        self.answer = answer
        self.now = START
        self.events: list[MeetingEvent] = []
        self.asked: list[Ask] = []
        self._meeting: Meeting | None = None
        self._brief: Brief | None = None
        self._ids = 0
        self.give(Convene(MEETING_ID, configuration))

    @property
    def meeting(self) -> Meeting:
        assert self._meeting is not None
        return self._meeting

    @property
    def facts(self) -> list[Fact]:
        return [event.fact for event in self.events]

    @property
    def attempts(self) -> list[AttemptStarted]:
        return [fact for fact in self.facts if isinstance(fact, AttemptStarted)]

    def give(self, command: Command) -> tuple[Fact, ...]:
        """Apply a command; return the facts it led to."""
        metadata = EventMetadata(self.now, self._new_id(), "stage")
        decision = decide_events(self._meeting, command, metadata, self._new_id)
        self.events.extend(decision.events)
        self._meeting, self._brief = decision.meeting, decision.brief
        return tuple(event.fact for event in decision.events)

    def play(self, until: Callable[[Meeting], bool] = lambda _: False) -> "Stage":
        """Take the next steps until then, until the meeting is idle, or to its end."""
        while not until(self.meeting):
            match step := next_step(self.meeting, self._brief):
                case GiveCommand() | BeginAttempt():
                    self.give(step.command)
                case WaitUntil():
                    self.now = max(self.now, step.at)
                    self.give(step.then.command)
                case WaitForGateway():
                    self.give(step.then.command)
                case Ask():
                    self.asked.append(step)
                    self.now += timedelta(seconds=1)
                    self.give(self.answer(step, self.meeting))
                case SaveMinutes():
                    self.give(Complete("minutes.md"))
                case Idle() | Ended():
                    break
        return self

    def _new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)
