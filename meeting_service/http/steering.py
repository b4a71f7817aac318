"""Steering a meeting under way over HTTP: remark, pause, resume, wrap up, raise its budget."""

from collections.abc import Iterator

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from meeting_core.commands import Command, EndRounds, MakeRemark, Pause, RaiseBudget, Resume
from meeting_core.configuration import MOST_COST, Limits
from meeting_core.errors import Problem
from meeting_core.meeting import Meeting
from meeting_service.http.bodies import BudgetBody, PauseBody, RemarkBody, WrapUpBody
from meeting_service.http.problems import invalid
from meeting_service.http.requests import BudgetRequest, PauseRequest, RemarkRequest, WrapUpRequest
from meeting_service.http.starting import ACTOR
from meeting_service.http.surface import Surface, meeting_id_of
from meeting_service.read.terms import TokensView, tokens_view


class SteeredView(Struct, frozen=True):
    """Where a meeting stands after it was steered; repeating that gives the same."""

    id: str
    state: str


class BudgetView(Struct, frozen=True):
    """Where a meeting and its budget stand after that was raised."""

    id: str
    state: str
    tokens: TokensView


@post(
    "/api/meetings/{meeting_id:str}/pause",
    request_class=PauseRequest,
    status_code=200,
    operation_id="pause_meeting",
    tags=["meetings"],
)
async def pause_meeting(
    meeting_id: FromPath[str],
    surface: NamedDependency[Surface],
    data: JSONBody[PauseBody | None] = None,
) -> SteeredView:
    """Start nothing new until the meeting is resumed; a call under way may still end."""
    reason = data.reason if data is not None else ""
    return await _steered(surface, meeting_id, Pause(reason))


@post(
    "/api/meetings/{meeting_id:str}/resume",
    request_class=PauseRequest,
    status_code=200,
    operation_id="resume_meeting",
    tags=["meetings"],
)
async def resume_meeting(
    meeting_id: FromPath[str],
    surface: NamedDependency[Surface],
    data: JSONBody[PauseBody | None] = None,  # read so that a wrong one is refused
) -> SteeredView:
    """Go on after a pause; a meeting that is not paused goes on as it did."""
    return await _steered(surface, meeting_id, Resume())


@post(
    "/api/meetings/{meeting_id:str}/wrap-up",
    request_class=WrapUpRequest,
    status_code=200,
    operation_id="wrap_up_meeting",
    tags=["meetings"],
)
async def wrap_up_meeting(
    meeting_id: FromPath[str],
    surface: NamedDependency[Surface],
    data: JSONBody[WrapUpBody | None] = None,  # read so that a wrong one is refused
) -> SteeredView:
    """End the rounds now, and have the minutes written of what was said; a call for a turn is
    aborted, and stays charged.
    """
    return await _steered(surface, meeting_id, EndRounds())


@post(
    "/api/meetings/{meeting_id:str}/budget",
    request_class=BudgetRequest,
    status_code=200,
    operation_id="raise_budget",
    tags=["meetings"],
)
async def raise_budget(
    meeting_id: FromPath[str], data: JSONBody[BudgetBody], surface: NamedDependency[Surface]
) -> BudgetView:
    """Give a meeting more to spend; if it was paused for that, it goes on."""
    problems = tuple(_beyond(surface.settings.limits, data))
    if problems:
        raise invalid(*problems)
    command = RaiseBudget(data.meeting_tokens, data.meeting_cost)
    meeting = await _handled(surface, meeting_id, command)
    return BudgetView(str(meeting.id), meeting.state, tokens_view(meeting))


@post(
    "/api/meetings/{meeting_id:str}/remarks",
    request_class=RemarkRequest,
    status_code=200,
    operation_id="make_remark",
    tags=["meetings"],
)
async def make_remark(
    meeting_id: FromPath[str], data: JSONBody[RemarkBody], surface: NamedDependency[Surface]
) -> SteeredView:
    """Say something to a meeting as a human; each repetition is another remark."""
    return await _steered(surface, meeting_id, MakeRemark(data.author, data.text))


async def _steered(surface: Surface, meeting_id: str, command: Command) -> SteeredView:
    meeting = await _handled(surface, meeting_id, command)
    return SteeredView(str(meeting.id), meeting.state)


async def _handled(surface: Surface, meeting_id: str, command: Command) -> Meeting:
    """Have a command decided, and tell the runner, which may be waiting or in a call."""
    meeting = await surface.meetings.handle(meeting_id_of(meeting_id), command, ACTOR)
    surface.supervisor.notice(meeting)
    return meeting


def _beyond(limits: Limits, body: BudgetBody) -> Iterator[Problem]:
    """Name the ceilings that no meeting could have been started with."""
    most = limits.max_meeting_tokens
    if body.meeting_tokens is not None and body.meeting_tokens > most:
        yield Problem("meeting_tokens", f"is {body.meeting_tokens}; it may be {most} at most")
    if body.meeting_cost is not None and not body.meeting_cost <= MOST_COST:
        yield Problem("meeting_cost", f"is {body.meeting_cost:g}; it may be {MOST_COST:g} at most")


steering_routes: list[ControllerRouterHandler] = [
    pause_meeting,
    resume_meeting,
    wrap_up_meeting,
    raise_budget,
    make_remark,
]
