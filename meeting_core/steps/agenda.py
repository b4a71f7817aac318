"""The agenda: who speaks next, and what the shell must do next, as data."""

from collections.abc import Iterator
from datetime import datetime
from typing import TypeAlias, assert_never

from msgspec.structs import replace

from meeting_core.model.commands import (
    CloseRound,
    Command,
    Fail,
    GiveUpSynthesis,
    OpenRound,
    StartAttempt,
    StartSynthesis,
)
from meeting_core.model.meeting import Meeting, OpenAttempt, TaskState
from meeting_core.model.values import (
    AgentId,
    DigestTask,
    Message,
    Participant,
    Phase,
    SynthesisTask,
    Task,
    TurnTask,
    Value,
    call_key,
    duration,
)
from meeting_core.prompt.brief import messages_shown
from meeting_core.prompt.minutes import outcome_of, render_minutes


class GiveCommand(Value, frozen=True):
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


class BeginAttempt(Value, frozen=True):
    """Give this command as soon as the gateway takes another call.

    Shape: `gateway` is the participant's, by its configured name.
    """

    gateway: str
    command: StartAttempt


class WaitUntil(Value, frozen=True):
    """Wait until this time, then take this step."""

    at: datetime
    then: BeginAttempt


class WaitForGateway(Value, frozen=True):
    """Wait until the gateway can be reached, then take this step; from `until` on, the other.

    Shape: `gateway` is the participant's, by its configured name.
    """

    gateway: str
    until: datetime
    then: BeginAttempt
    otherwise: GiveCommand | BeginAttempt


class SaveMinutes(Value, frozen=True):
    """Save the minutes wherever they belong, then give `Complete`."""

    markdown: str


class Idle(Value, frozen=True):
    """The meeting is paused: wait for somebody else's command."""


class Ended(Value, frozen=True):
    """There is nothing left to do."""


Step: TypeAlias = (
    GiveCommand | BeginAttempt | Ask | WaitUntil | WaitForGateway | SaveMinutes | Idle | Ended
)


def next_step(meeting: Meeting) -> Step:
    """Say what the shell must do next, and nothing else."""
    if (
        meeting.task_state is not None
        and meeting.task_state.open is not None
        and not meeting.has_ended
    ):
        return _ask(meeting, meeting.task_state, meeting.task_state.open)
    match meeting.phase:
        case Phase.COMPLETE | Phase.CANCELLED | Phase.ERROR:
            return Ended()
        case Phase.PAUSED:
            return Idle()
        case Phase.GATHERING:
            return GiveCommand(OpenRound(1))
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


def turns_to_come(
    meeting: Meeting, last_round: int | None = None
) -> Iterator[tuple[TurnTask, AgentId]]:
    """List the turns that have not ended, up to a round's end; in the order of their coming."""
    config = meeting.config
    seats = [seat.agent_id for seat in config.participants]
    now = meeting.round_num
    if meeting.rounds[-1].ending is None:
        for agent_id in seats[meeting.round_turns :]:
            yield TurnTask(now, agent_id), agent_id
    for n in range(now + 1, (last_round or config.num_rounds) + 1):
        for agent_id in seats:
            yield TurnTask(n, agent_id), agent_id


def next_author(meeting: Meeting) -> AgentId | None:
    """Say who writes the minutes: the first who has not given up on it, or the draft's author."""
    authors = authors_left(meeting)
    return authors[0] if authors else None


def authors_left(meeting: Meeting) -> list[AgentId]:
    """List who may write the minutes, in their order; a draft's author alone if there is one."""
    if meeting.draft is not None:
        return [meeting.draft.agent_id]
    given_up = meeting.task_state.given_up if meeting.task_state is not None else ()
    return [agent for agent in _authors(meeting) if agent not in given_up]


def digest_author(meeting: Meeting) -> AgentId:
    """Say who digests the closed round: whoever would write the minutes."""
    return _authors(meeting)[0]


def awaits_digest(meeting: Meeting) -> bool:
    """Say whether the round last closed is to be digested before the next one opens."""
    last = meeting.rounds[-1]
    return (
        meeting.config.digest_rounds
        and last.digest is None
        and last.ending in ("complete", "partial")
        and last.cause == "agenda"
        and last.round_num < meeting.config.num_rounds
    )


def _authors(meeting: Meeting) -> list[AgentId]:
    config = meeting.config
    seats = [seat.agent_id for seat in config.participants]
    if config.synthesizer is None:
        return seats
    return [config.synthesizer, *(seat for seat in seats if seat != config.synthesizer)]


def turn_deadline(meeting: Meeting, clock_from: datetime) -> datetime:
    """Say when a task whose clock runs from `clock_from` must be over."""
    if meeting.synthesis_clock_from is not None:
        return meeting.deadline_at
    at = clock_from + duration(meeting.config.turn_timeout_seconds)
    return min(at, meeting.deadline_at)


def _in_round(meeting: Meeting) -> Step:
    current = meeting.rounds[-1]
    if current.ending is None:
        speaker = next_speaker(meeting)
        if speaker is None:
            return GiveCommand(CloseRound(current.round_num))
        return _attempt(meeting, TurnTask(current.round_num, speaker), speaker)
    if current.cause == "agenda" and current.round_num < meeting.config.num_rounds:
        if awaits_digest(meeting):
            return _attempt(meeting, DigestTask(current.round_num), digest_author(meeting))
        return GiveCommand(OpenRound(current.round_num + 1))
    if all(turn.text is None for turn in meeting.turns):
        return GiveCommand(Fail("nobody_spoke", _first_cause(meeting)))
    return GiveCommand(StartSynthesis())


def _synthesizing(meeting: Meeting) -> Step:
    if meeting.synthesis is not None:
        return SaveMinutes(render_minutes(meeting, outcome_of(meeting)))
    author = next_author(meeting)
    if author is None:
        return GiveCommand(GiveUpSynthesis())
    return _attempt(meeting, SynthesisTask(), author)


def _attempt(meeting: Meeting, task: Task, agent_id: AgentId) -> Step:
    task_state = meeting.task_state
    begin = BeginAttempt(meeting.participant(agent_id).gateway, StartAttempt(task))
    if task_state is not None and task_state.task == task:
        if task_state.retry_at is not None:
            return WaitUntil(task_state.retry_at, begin)
        if task_state.give_up_at is not None:
            return _wait_for_gateway(meeting, task_state, task_state.give_up_at, begin)
    return begin


def _wait_for_gateway(
    meeting: Meeting, task_state: TaskState, give_up_at: datetime, begin: BeginAttempt
) -> WaitForGateway:
    # The minutes are written without it, and the time for the rounds may run out first.
    if meeting.synthesis_clock_from is not None:
        return WaitForGateway(begin.gateway, give_up_at, begin, begin)
    if meeting.deadline_at < give_up_at:
        return WaitForGateway(begin.gateway, meeting.deadline_at, begin, begin)
    seconds = meeting.config.gateway_reconnect_timeout_seconds
    detail = f"gateway {begin.gateway!r} was away for {seconds:g} s: {task_state.detail}"
    gone = GiveCommand(Fail("gateway_unreachable", detail))
    return WaitForGateway(begin.gateway, give_up_at, begin, gone)


def _ask(meeting: Meeting, task_state: TaskState, attempt: OpenAttempt) -> Ask:
    participant = meeting.participant(attempt.agent_id)
    if attempt.model != participant.model:
        participant = replace(participant, model=attempt.model)
    deadline_at = turn_deadline(meeting, task_state.clock_from)
    seconds = meeting.config.attempt_timeout_seconds
    if seconds is not None and not isinstance(task_state.task, SynthesisTask):
        deadline_at = min(deadline_at, attempt.started_at + duration(seconds))
    return Ask(
        task_state.task,
        attempt.number,
        participant,
        messages_shown(meeting, task_state.task, attempt),
        attempt.reserved.output_tokens,
        deadline_at,
        call_key(meeting.id, task_state.task, attempt.number),
    )


def _first_cause(meeting: Meeting) -> str:
    for turn in meeting.turns:
        if turn.skipped_reason is not None:
            return f"{turn.skipped_reason}: {turn.skipped_detail}".rstrip(": ")
    return f"the {meeting.ended_by} ended the rounds before anybody could speak"
