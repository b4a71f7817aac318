"""Control of a live meeting over HTTP: remark, pause, resume, wrap up, raise its budget."""

from collections.abc import Iterator

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from meeting_core.errors import Problem
from meeting_core.model import (
    MAX_COST,
    Command,
    EndRounds,
    Limits,
    MakeRemark,
    Meeting,
    Pause,
    RaiseBudget,
    Resume,
)
from meeting_service.http.bodies import BudgetBody, PauseBody, RemarkBody, WrapUpBody
from meeting_service.http.json_body import JsonRequest, OptionalJsonRequest
from meeting_service.http.problems import QUARANTINED, HttpProblem, invalid
from meeting_service.http.service_context import ServiceContext, meeting_id_of
from meeting_service.http.start import ACTOR
from meeting_service.views.budget import TokensView, tokens_view


class ControlView(Struct, frozen=True):
    """The state of a meeting after a control request; repeating the request gives the same."""

    id: str
    state: str


class BudgetView(Struct, frozen=True):
    """The state of a meeting and of its budget after the budget was raised."""

    id: str
    state: str
    tokens: TokensView


class PauseRequest(OptionalJsonRequest):
    """A request to pause or to resume a meeting; it may have no body."""

    body_type = PauseBody


class WrapUpRequest(OptionalJsonRequest):
    """A request to end a meeting's rounds; it may have no body."""

    body_type = WrapUpBody


class BudgetRequest(JsonRequest):
    """A request to raise a meeting's budget."""

    body_type = BudgetBody


class RemarkRequest(JsonRequest):
    """A request to add a remark to a meeting."""

    body_type = RemarkBody


@post(
    "/api/meetings/{meeting_id:str}/pause",
    request_class=PauseRequest,
    status_code=200,
    operation_id="pause_meeting",
    tags=["meetings"],
)
async def pause_meeting(
    meeting_id: FromPath[str],
    context: NamedDependency[ServiceContext],
    data: JSONBody[PauseBody | None] = None,
) -> ControlView:
    """Pause a meeting: nothing new starts until it is resumed; a call under way may still end."""
    reason = data.reason if data is not None else ""
    return await _controlled(context, meeting_id, Pause(reason))


@post(
    "/api/meetings/{meeting_id:str}/resume",
    request_class=PauseRequest,
    status_code=200,
    operation_id="resume_meeting",
    tags=["meetings"],
)
async def resume_meeting(
    meeting_id: FromPath[str],
    context: NamedDependency[ServiceContext],
    data: JSONBody[PauseBody | None] = None,  # read so that a wrong one is refused
) -> ControlView:
    """Resume a paused meeting; a meeting that is not paused does not change."""
    return await _controlled(context, meeting_id, Resume())


@post(
    "/api/meetings/{meeting_id:str}/wrap-up",
    request_class=WrapUpRequest,
    status_code=200,
    operation_id="wrap_up_meeting",
    tags=["meetings"],
)
async def wrap_up_meeting(
    meeting_id: FromPath[str],
    context: NamedDependency[ServiceContext],
    data: JSONBody[WrapUpBody | None] = None,  # read so that a wrong one is refused
) -> ControlView:
    """End the rounds now and write the minutes of what was said; a call for a turn is aborted, and
    stays charged.
    """
    return await _controlled(context, meeting_id, EndRounds())


@post(
    "/api/meetings/{meeting_id:str}/budget",
    request_class=BudgetRequest,
    status_code=200,
    operation_id="raise_budget",
    tags=["meetings"],
)
async def raise_budget(
    meeting_id: FromPath[str], data: JSONBody[BudgetBody], context: NamedDependency[ServiceContext]
) -> BudgetView:
    """Raise a meeting's budget; a meeting that was paused for its budget goes on."""
    problems = tuple(_problems_of(context.settings.limits, data))
    if problems:
        raise invalid(*problems)
    command = RaiseBudget(data.meeting_tokens, data.meeting_cost)
    meeting = await handle_command(context, meeting_id, command)
    return BudgetView(str(meeting.id), meeting.state, tokens_view(meeting))


@post(
    "/api/meetings/{meeting_id:str}/remarks",
    request_class=RemarkRequest,
    status_code=200,
    operation_id="make_remark",
    tags=["meetings"],
)
async def make_remark(
    meeting_id: FromPath[str], data: JSONBody[RemarkBody], context: NamedDependency[ServiceContext]
) -> ControlView:
    """Add a human's remark to a meeting; each repetition is another remark."""
    return await _controlled(context, meeting_id, MakeRemark(data.author, data.text))


async def _controlled(context: ServiceContext, meeting_id: str, command: Command) -> ControlView:
    meeting = await handle_command(context, meeting_id, command)
    return ControlView(str(meeting.id), meeting.state)


async def handle_command(context: ServiceContext, meeting_id: str, command: Command) -> Meeting:
    """Handle a command, and notify the runner, which may be waiting or in a call.

    Raises: `HttpProblem` 409 for a meeting in quarantine.
    """
    found_id = meeting_id_of(meeting_id)
    reason = await context.meetings.recorder.quarantine_reason(found_id)
    if reason is not None:
        detail = f"the meeting is in quarantine and takes no commands until its release: {reason}"
        raise HttpProblem(QUARANTINED, detail)
    meeting = await context.meetings.handle(found_id, command, ACTOR)
    context.supervisor.on_change(meeting)
    return meeting


def _problems_of(limits: Limits, body: BudgetBody) -> Iterator[Problem]:
    """Yield the ceilings above the operator's limits, which no meeting could have started with."""
    max_tokens = limits.max_meeting_tokens
    if body.meeting_tokens is not None and body.meeting_tokens > max_tokens:
        yield Problem("meeting_tokens", f"is {body.meeting_tokens}; it may be {max_tokens} at most")
    if body.meeting_cost is not None and not body.meeting_cost <= MAX_COST:
        yield Problem("meeting_cost", f"is {body.meeting_cost:g}; it may be {MAX_COST:g} at most")


control_routes: list[ControllerRouterHandler] = [
    pause_meeting,
    resume_meeting,
    wrap_up_meeting,
    raise_budget,
    make_remark,
]
