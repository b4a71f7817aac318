"""The agenda: who speaks next, and what the shell must do next, as data."""

from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from meeting_core.brief import rebuild_brief
from meeting_core.commands import (
    CloseRound,
    Command,
    Fail,
    GiveUpSynthesis,
    OpenRound,
    StartAttempt,
    StartSynthesis,
)
from meeting_core.meeting import Meeting, OpenAttempt, Slot
from meeting_core.minutes import outcome_of, render_minutes
from meeting_core.vocabulary import (
    AgentId,
    Message,
    Participant,
    Phase,
    SynthesisTask,
    Task,
    TurnTask,
    Value,
    call_key,
)


class Record(Value, frozen=True):
    """Give this command: nothing outside is needed first."""

    command: Command


class Ask(Value, frozen=True):
    """Call the participant's gateway, then give `AcceptReply` or `ReportFault`.

    Units: `output_tokens` is the cap to send. `deadline_at` bounds the call.
    """

    task: Task
    number: int
    participant: Participant
    messages: tuple[Message, ...]
    output_tokens: int
    deadline_at: datetime
    call_key: str


class WaitUntil(Value, frozen=True):
    """Wait until this time, then give this command."""

    at: datetime
    command: Command


class SaveMinutes(Value, frozen=True):
    """Save the minutes wherever they belong, then give `Complete`."""

    markdown: str


class Rest(Value, frozen=True):
    """The meeting is paused: wait for somebody else's command."""


class Ended(Value, frozen=True):
    """There is nothing left to do."""


Step: TypeAlias = Record | Ask | WaitUntil | SaveMinutes | Rest | Ended


def next_step(meeting: Meeting) -> Step:
    """Say what the shell must do next, and nothing else."""
    if meeting.slot is not None and meeting.slot.open is not None and not meeting.has_ended:
        return _ask(meeting, meeting.slot, meeting.slot.open)
    match meeting.phase:
        case Phase.COMPLETE | Phase.CANCELLED | Phase.ERROR:
            return Ended()
        case Phase.PAUSED:
            return Rest()
        case Phase.GATHERING:
            return Record(OpenRound(1))
        case Phase.IN_ROUND:
            return _in_round(meeting)
        case Phase.SYNTHESIZING:
            return _synthesizing(meeting)
        case _:
            assert_never(meeting.phase)


def next_speaker(meeting: Meeting) -> AgentId | None:
    """Say whose turn it is in the open round; none when all have had theirs."""
    spoken = meeting.round_turns
    seats = meeting.config.participants
    return seats[spoken].agent_id if spoken < len(seats) else None


def next_author(meeting: Meeting) -> AgentId | None:
    """Say who writes the minutes: the first participant who has not given up on it."""
    given_up = meeting.slot.given_up if meeting.slot is not None else ()
    seats = meeting.config.participants
    return next((seat.agent_id for seat in seats if seat.agent_id not in given_up), None)


def turn_deadline(meeting: Meeting, clock_from: datetime) -> datetime:
    """Say when a task whose clock runs from `clock_from` must be over."""
    if meeting.synthesis_clock_from is not None:
        return meeting.deadline_at
    at = clock_from + timedelta(seconds=meeting.config.turn_timeout_seconds)
    return min(at, meeting.deadline_at)


def _in_round(meeting: Meeting) -> Step:
    current = meeting.rounds[-1]
    if current.ending is None:
        speaker = next_speaker(meeting)
        if speaker is None:
            return Record(CloseRound(current.round_num))
        return _attempt(meeting, TurnTask(current.round_num, speaker))
    if current.cause == "agenda" and current.round_num < meeting.config.num_rounds:
        return Record(OpenRound(current.round_num + 1))
    if all(turn.text is None for turn in meeting.turns):
        return Record(Fail("nobody_spoke", _first_cause(meeting)))
    return Record(StartSynthesis())


def _synthesizing(meeting: Meeting) -> Step:
    if meeting.synthesis is not None:
        return SaveMinutes(render_minutes(meeting, outcome_of(meeting)))
    if next_author(meeting) is None:
        return Record(GiveUpSynthesis())
    return _attempt(meeting, SynthesisTask())


def _attempt(meeting: Meeting, task: Task) -> Step:
    slot = meeting.slot
    if slot is not None and slot.task == task and slot.retry_at is not None:
        return WaitUntil(slot.retry_at, StartAttempt(task))
    return Record(StartAttempt(task))


def _ask(meeting: Meeting, slot: Slot, attempt: OpenAttempt) -> Ask:
    brief = rebuild_brief(meeting, slot.task, attempt.agent_id, attempt.manifest)
    return Ask(
        slot.task,
        attempt.number,
        meeting.participant(attempt.agent_id),
        brief.messages,
        attempt.reserved.output_tokens,
        turn_deadline(meeting, slot.clock_from),
        call_key(meeting.id, slot.task, attempt.number),
    )


def _first_cause(meeting: Meeting) -> str:
    for turn in meeting.turns:
        if turn.skipped_reason is not None:
            return f"{turn.skipped_reason}: {turn.skipped_detail}".rstrip(": ")
    return f"the {meeting.ended_by} ended the rounds before anybody could speak"
