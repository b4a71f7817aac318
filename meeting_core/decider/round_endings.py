"""How a round ends: when all have spoken, or early, with all that would follow."""

from typing import Literal

from meeting_core.errors import OutOfTurn, RoundUnfinished, WrongPhase
from meeting_core.model.commands import CloseRound
from meeting_core.model.events import Fact, Failed, Paused, RoundClosed, TurnSkipped
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import Phase, RoundEnding, SkipReason, TurnTask


def close_round(meeting: Meeting, command: CloseRound) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.IN_ROUND or not meeting.has_open_round:
        raise WrongPhase("no round is open")
    if command.round_num != meeting.round_num:
        raise OutOfTurn(f"round {command.round_num} is not the open round")
    if meeting.next_speaker is not None:
        raise RoundUnfinished(f"{meeting.next_speaker} has not had a turn")
    return (RoundClosed(command.round_num, _ending(meeting)),)


def out_of_budget(meeting: Meeting) -> tuple[Fact, ...]:
    match meeting.config.on_budget:
        case "wrap_up":
            return end_rounds(meeting, "budget")
        case "pause":
            return (Paused("raise the budget, or end the rounds", "budget"),)
        case "fail":
            return (Failed("budget", "what is left pays for no useful turn"),)


def end_rounds(
    meeting: Meeting, cause: Literal["budget", "deadline", "operator"]
) -> tuple[Fact, ...]:
    """Close the open round, and all that would follow; a turn that has begun has an ending too."""
    closed = RoundClosed(meeting.round_num, _ending(meeting), cause)
    task_state = meeting.task_state
    if task_state is None or not isinstance(task_state.task, TurnTask):
        return (closed,)
    reason: SkipReason = task_state.fault.value if task_state.fault is not None else cause
    return (
        TurnSkipped(task_state.task.round_num, task_state.task.agent_id, reason, task_state.detail),
        closed,
    )


def _ending(meeting: Meeting) -> RoundEnding:
    turns = [turn for turn in meeting.turns if turn.round_num == meeting.round_num]
    spoken = sum(turn.text is not None for turn in turns)
    if spoken == 0:
        return "silent"
    return "complete" if spoken == len(meeting.config.participants) else "partial"
