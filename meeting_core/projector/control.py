"""What people and processes outside change: remarks, budgets, the end of a pause, new owners."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.model.events import Adopted, BudgetRaised, MeetingEvent, RemarkMade, Resumed
from meeting_core.model.meeting import Meeting
from meeting_core.model.transcript import Remark
from meeting_core.model.values import Version


def remark_made(meeting: Meeting, fact: RemarkMade, event: MeetingEvent) -> dict[str, Any]:
    version = Version(event.originator_version)
    remark = Remark(version, meeting.round_num, fact.author, fact.text, fact.text_tokens)
    return {"remarks": (*meeting.remarks, remark)}


def budget_raised(meeting: Meeting, fact: BudgetRaised) -> dict[str, Any]:
    raised = {}
    for field in ("meeting_tokens", "meeting_cost"):
        ceiling, wanted = getattr(meeting.config, field), getattr(fact, field)
        if wanted is not None:
            if ceiling is None or wanted <= ceiling:
                raise CorruptHistory(f"a ceiling of {ceiling} is raised to {wanted}")
            raised[field] = wanted
    return {"config": replace(meeting.config, **raised)}


def resumed(meeting: Meeting, fact: Resumed, at: datetime) -> dict[str, Any]:
    if fact.to is not meeting.paused_from:
        raise CorruptHistory(f"resumed to {fact.to}, paused from {meeting.paused_from}")
    return {"paused_from": None, "pause_cause": None, **_gateway_tried_again(meeting, at)}


def adopted(meeting: Meeting, fact: Adopted, at: datetime) -> dict[str, Any]:
    if fact.epoch <= meeting.epoch:
        raise CorruptHistory(f"epoch {fact.epoch} does not follow epoch {meeting.epoch}")
    task_state = meeting.task_state
    if task_state is not None:
        ready_at = max(at, task_state.ready_at)
        task_state = replace(task_state, clock_from=at, ready_at=ready_at)
    return {
        "epoch": fact.epoch,
        "adoptions": meeting.adoptions + 1,
        "task_state": task_state,
        "synthesis_clock_from": None if meeting.synthesis_clock_from is None else at,
        **_gateway_tried_again(meeting, at),
    }


def _gateway_tried_again(meeting: Meeting, at: datetime) -> dict[str, Any]:
    """Restart the wait for an unreachable gateway if it ran out while no call was tried."""
    task_state = meeting.task_state
    if task_state is None or task_state.give_up_at is None or at < task_state.give_up_at:
        return {}
    changes: dict[str, Any] = {
        "task_state": replace(task_state, give_up_at=None, clock_from=at, ready_at=at)
    }
    if meeting.synthesis_clock_from is not None:
        changes["synthesis_clock_from"] = at
    return changes
