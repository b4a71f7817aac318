"""One meeting as clients see it, folded from its events and so never stale."""

from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from meeting_core import Spending
from meeting_core.minutes import render_minutes
from meeting_core.model import (
    FailReason,
    Meeting,
    Phase,
    RoundEnding,
    SkipReason,
    SpeakingOrder,
    Turn,
    UsageSource,
    allowed_actions,
    milliseconds_utc,
)
from meeting_service.views import Time
from meeting_service.views.budget import TokensView, tokens_view
from meeting_service.views.outcome import OutcomeView, outcome_view
from meeting_service.views.spending import SpendingSummaryView, spending_summary
from meeting_service.views.started_meeting import (
    ConfigView,
    ParticipantView,
    config_view,
    participant_views,
)
from meeting_service.views.wait_reasons import WaitingView

RoundStatus: TypeAlias = Literal["pending", "in_progress", "complete", "skipped"]


class TurnView(Struct, frozen=True, kw_only=True):
    """An ended turn. Units: tokens over all its attempts.

    `is_cut` says that the response was longer and is shown up to its cap; `speaks_for` are the
    other participants in whose names lines of it begin.
    """

    agent_id: str
    agent_name: str
    response: str | None
    is_cut: bool
    speaks_for: tuple[str, ...]
    skipped_reason: SkipReason | None
    prompt_tokens: int
    response_tokens: int
    usage_source: UsageSource
    attempts: int
    started_at: Time
    completed_at: Time


class RoundView(Struct, frozen=True, kw_only=True):
    """A round, whether it was held or not.

    `ending` says how one that was closed ended; `digest` is what stands for it in later briefs,
    null if nothing does.
    """

    round_num: int
    topic: str
    status: RoundStatus
    ending: RoundEnding | None
    digest: str | None
    turns: tuple[TurnView, ...]


class StatusView(Struct, frozen=True, kw_only=True):
    """Everything about one meeting.

    Shape: `current_turn` counts from 1 in the open round, and is 0 between rounds and at the end;
    `current_agent_id` is whose answer is awaited. `allowed_actions` are what a client may do now,
    none while the meeting is in quarantine or cannot be read to its end. `order` is how the
    speaking order of each round is made.
    """

    id: str
    title: str
    state: str
    allowed_actions: tuple[str, ...]
    order: SpeakingOrder
    goal: str
    room_id: str | None
    project_id: str | None
    parent_meeting_id: str | None
    current_round: int
    current_turn: int
    current_agent_id: str | None
    total_rounds: int
    total_participants: int
    progress_pct: int
    participants: tuple[ParticipantView, ...]
    config: ConfigView
    rounds: tuple[RoundView, ...]
    output_md: str | None
    output_path: str | None
    outcome: OutcomeView | None
    error_message: str | None
    error_reason: FailReason | None
    tokens: TokensView
    spending: SpendingSummaryView
    waiting: WaitingView | None
    quarantined: str | None
    version: int
    created_at: Time
    started_at: Time | None
    updated_at: Time
    completed_at: Time | None
    cancelled_at: Time | None
    ended_at: Time | None


def status_view(
    meeting: Meeting,
    spent: Spending,
    waiting: WaitingView | None = None,
    quarantined: str | None = None,
    *,
    takes_commands: bool = True,
) -> StatusView:
    """Return a meeting as it stands, with what it spent and what it waits for.

    One in quarantine, or that cannot be read to its end, takes no commands.
    """
    config = meeting.config
    return StatusView(
        id=str(meeting.id),
        title=config.title,
        state=meeting.state,
        allowed_actions=allowed_actions(meeting) if takes_commands else (),
        order=config.order,
        goal=config.goal,
        room_id=config.room_id,
        project_id=config.project_id,
        parent_meeting_id=str(config.parent_meeting_id) if config.parent_meeting_id else None,
        current_round=meeting.round_num,
        current_turn=_current_turn(meeting),
        current_agent_id=_current_agent_id(meeting),
        total_rounds=config.num_rounds,
        total_participants=len(config.participants),
        progress_pct=meeting.progress_pct,
        participants=participant_views(meeting),
        config=config_view(meeting),
        rounds=tuple(_round(meeting, n) for n in range(1, config.num_rounds + 1)),
        output_md=output_md(meeting),
        output_path=meeting.output_path,
        outcome=outcome_view(meeting.outcome) if meeting.outcome else None,
        error_message=error_message(meeting),
        error_reason=meeting.failure,
        tokens=tokens_view(meeting),
        spending=spending_summary(spent),
        waiting=waiting,
        quarantined=quarantined,
        version=meeting.version,
        created_at=milliseconds_utc(meeting.convened_at),
        started_at=_time(meeting.rounds[0].opened_at if meeting.rounds else None),
        updated_at=milliseconds_utc(meeting.updated_at),
        completed_at=_time(meeting.ended_at if meeting.phase is Phase.COMPLETE else None),
        cancelled_at=_time(meeting.ended_at if meeting.phase is Phase.CANCELLED else None),
        ended_at=_time(meeting.ended_at),
    )


def output_md(meeting: Meeting) -> str | None:
    """Return the minutes of a complete meeting; None if it is not complete."""
    return None if meeting.outcome is None else render_minutes(meeting, meeting.outcome)


def error_message(meeting: Meeting) -> str | None:
    """Return why a meeting failed; None if it has not."""
    if meeting.failure is None:
        return None
    return f"{meeting.failure}: {meeting.failure_detail}".removesuffix(": ")


def _time(at: datetime | None) -> str | None:
    return None if at is None else milliseconds_utc(at)


def _current_turn(meeting: Meeting) -> int:
    is_open = bool(meeting.rounds) and meeting.rounds[-1].ending is None
    if meeting.has_ended or not is_open:
        return 0
    return min(meeting.round_turns + 1, len(meeting.config.participants))


def _current_agent_id(meeting: Meeting) -> str | None:
    task_state = meeting.task_state
    return (
        task_state.open.agent_id if task_state is not None and task_state.open is not None else None
    )


def _round(meeting: Meeting, round_num: int) -> RoundView:
    held = meeting.rounds[round_num - 1] if round_num <= meeting.round_num else None
    turns = [turn for turn in meeting.turns if turn.round_num == round_num]
    return RoundView(
        round_num=round_num,
        topic=meeting.config.round_topics[round_num - 1],
        status=_round_status(meeting, round_num, turns),
        ending=held.ending if held is not None else None,
        digest=held.digest.text or None if held is not None and held.digest is not None else None,
        turns=tuple(_turn(meeting, turn) for turn in turns),
    )


def _round_status(meeting: Meeting, round_num: int, turns: list[Turn]) -> RoundStatus:
    """Return a round's status; one that the meeting's end cut off is complete if it has a text."""
    is_over = meeting.has_ended or meeting.synthesis_clock_from is not None
    if round_num > meeting.round_num:
        return "skipped" if is_over else "pending"
    if meeting.rounds[round_num - 1].ending is None and not is_over:
        return "in_progress"
    return "complete" if any(turn.text is not None for turn in turns) else "skipped"


def _turn(meeting: Meeting, turn: Turn) -> TurnView:
    return TurnView(
        agent_id=turn.agent_id,
        agent_name=meeting.participant(turn.agent_id).name,
        response=turn.text,
        is_cut=turn.is_cut,
        speaks_for=turn.speaks_for,
        skipped_reason=turn.skipped_reason,
        prompt_tokens=turn.prompt_tokens,
        response_tokens=turn.response_tokens,
        usage_source=turn.usage_source,
        attempts=turn.attempts,
        started_at=milliseconds_utc(turn.started_at),
        completed_at=milliseconds_utc(turn.ended_at),
    )
