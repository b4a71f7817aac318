"""`POST /api/meetings/start`: from a body to a running meeting, once for each idempotency key."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any
from uuid import UUID, uuid5

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody
from msgspec.structs import replace

from meeting_core.errors import InvalidConfiguration, Problem
from meeting_core.model import (
    Configuration,
    Convene,
    Meeting,
    MeetingId,
    Participant,
    PriceTable,
)
from meeting_core.projector import fold
from meeting_service.command_handler import MeetingNotFound
from meeting_service.http.bodies import ParticipantBody, StartBody
from meeting_service.http.json_body import JsonRequest
from meeting_service.http.path_prefix import PREFIX_KEY
from meeting_service.http.problems import (
    KEY_REUSED,
    NO_AGENT,
    NO_MEETING,
    NOT_COMPLETE,
    HttpProblem,
    invalid,
)
from meeting_service.http.service_context import ServiceContext, stopping
from meeting_service.ports import VersionConflict
from meeting_service.settings import RemoteGateway
from meeting_service.views.meeting_status import output_md
from meeting_service.views.started_meeting import StartedView, started_view

ACTOR = "http"
KEY_HEADER = "Idempotency-Key"
KEY_NAMESPACE = UUID("6f1d3c1e-8c0f-4e57-9d5a-0b6f6f0f7c11")
"""Fixed for ever: the same key always names the same meeting. Source: ADR 0009."""

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_BODY_FIELDS = {
    # A request has no time limits, only a size that must fit into the operator's.
    "meeting_timeout_seconds": "num_rounds",
    "parent_minutes": "parent_meeting_id",
}
"""Fields of the body for those fields of the configuration that have another name there."""


class StartRequest(JsonRequest):
    """A request to start a meeting."""

    body_type = StartBody


@post(
    "/api/meetings/start",
    request_class=StartRequest,
    status_code=201,
    operation_id="start_meeting",
    tags=["meetings"],
)
async def start_meeting(
    request: Request[Any, Any, Any],
    data: JSONBody[StartBody],
    context: NamedDependency[ServiceContext],
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(name=KEY_HEADER, description="1 to 255 printable ASCII characters."),
    ] = None,
) -> StartedView:
    """Start a meeting; the answer comes at once, and the meeting runs on.

    With an `Idempotency-Key`, the same request again gives the same answer and starts nothing.
    """
    if not context.is_open:
        raise stopping()
    prefix = str(request.scope.get(PREFIX_KEY, ""))
    if idempotency_key is None:
        return started_view(await _convene(context, data, context.meetings.new_id(), ""), prefix)
    _check_key(request, idempotency_key)
    meeting_id = uuid5(KEY_NAMESPACE, idempotency_key)
    convened = await _as_convened(context, meeting_id)
    if convened is None:
        try:
            convened = await _convene(context, data, meeting_id, data.digest)
        except VersionConflict:
            # A concurrent request with the same key has just convened the meeting.
            convened = await _as_convened(context, meeting_id)
            if convened is None:
                raise
    if convened.request_digest != data.digest:
        detail = f"this {KEY_HEADER} was used for another request; use a new one"
        raise HttpProblem(KEY_REUSED, detail, meeting_id=meeting_id)
    return started_view(convened, prefix)


async def configuration_from_body(context: ServiceContext, body: StartBody) -> Configuration:
    """Return the configuration of the meeting that a body asks for.

    Raises: `HttpProblem` for an unknown agent or gateway, or for an unusable parent meeting.
    """
    settings = context.settings
    if body.round_topics == ():
        problem = "has no topics; leave it out for the usual ones"
        raise invalid(Problem("round_topics", problem))
    participants = _participants(context, body.participants)
    parent_id, parent_minutes = await _parent(context, body.parent_meeting_id)
    min_tokens_per_turn = body.min_tokens_per_turn
    if min_tokens_per_turn is None:
        # An operator's default must not refuse the cap that a client asks for.
        min_tokens_per_turn = max(1, min(settings.min_tokens_per_turn, body.max_tokens_per_turn))
    return Configuration(
        participants=participants,
        title=body.title,
        goal=body.goal,
        room_id=body.room_id,
        project_id=body.project_id,
        parent_meeting_id=parent_id,
        parent_minutes=parent_minutes,
        document_context=body.document_context or "",
        num_rounds=body.num_rounds,
        round_topics=body.round_topics or (),
        order=body.order,
        max_tokens_per_turn=body.max_tokens_per_turn,
        synthesis_max_tokens=body.synthesis_max_tokens,
        context_tokens=body.context_tokens,
        meeting_tokens=body.meeting_tokens,
        meeting_cost=body.meeting_cost,
        prices=_prices(context.price_table, participants),
        min_tokens_per_turn=min_tokens_per_turn,
        on_budget=body.on_budget or settings.on_budget,
        digest_rounds=settings.digest_rounds if body.digest_rounds is None else body.digest_rounds,
        synthesizer=body.synthesizer,
        max_attempts=settings.max_attempts,
        attempt_timeout_seconds=settings.attempt_timeout_seconds,
        min_attempt_seconds=settings.min_attempt_seconds,
        max_reply_bytes=settings.max_reply_bytes,
        gateway_reconnect_timeout_seconds=settings.gateway_reconnect_timeout_seconds,
        turn_timeout_seconds=settings.turn_timeout_seconds,
        synthesis_timeout_seconds=settings.synthesis_timeout_seconds,
        meeting_timeout_seconds=settings.meeting_timeout_seconds,
    )


async def _convene(
    context: ServiceContext, body: StartBody, meeting_id: MeetingId, digest: str
) -> Meeting:
    config = await configuration_from_body(context, body)
    command = Convene(meeting_id, config, context.settings.limits, digest)
    try:
        return await context.supervisor.convene(command, ACTOR)
    except InvalidConfiguration as error:
        raise invalid(*_in_body_fields(error.problems)) from None


async def _as_convened(context: ServiceContext, meeting_id: MeetingId) -> Meeting | None:
    """Return a meeting as its first event made it, or None if there is no such meeting."""
    events = await context.meetings.events(meeting_id, limit=1)
    return fold(events) if events else None


def _check_key(request: Request[Any, Any, Any], key: str) -> None:
    if len(request.headers.getall(KEY_HEADER)) > 1:
        raise invalid(Problem(KEY_HEADER, "is given more than once"))
    if not _KEY.fullmatch(key) or not key.strip():
        raise invalid(Problem(KEY_HEADER, "must be 1 to 255 printable ASCII characters"))


def _in_body_fields(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield problems of a configuration under the names of the body's fields."""
    for problem in problems:
        yield replace(problem, field=_BODY_FIELDS.get(problem.field, problem.field))


def _prices(table: PriceTable | None, participants: tuple[Participant, ...]) -> PriceTable | None:
    """Return the prices of the models that may speak; a meeting stores no others."""
    if table is None:
        return None
    models = {model for each in participants for model in (each.model, *each.fallback_models)}
    return replace(table, models=tuple(price for price in table.models if price.model in models))


def _participants(
    context: ServiceContext, given: tuple[str | ParticipantBody, ...]
) -> tuple[Participant, ...]:
    unknown = [
        Problem(f"participants[{n}]", f"there is no agent {each[:80]!r}")
        for n, each in enumerate(given)
        if isinstance(each, str) and each not in context.agents
    ]
    if unknown:
        known = ", ".join(context.agents) or "none"
        problem = invalid(*unknown, kind=NO_AGENT)
        problem.detail += f"; the agents are: {known}"
        raise problem
    problems: list[Problem] = []
    participants = tuple(
        context.agents[each]
        if isinstance(each, str)
        else _participant(context, each, f"participants[{n}]", problems)
        for n, each in enumerate(given)
    )
    if problems:
        raise invalid(*problems)
    return participants


def _participant(
    context: ServiceContext, given: ParticipantBody, path: str, problems: list[Problem]
) -> Participant:
    """Return a participant with the defaults filled in; add what is wrong to `problems`."""
    name = given.gateway or context.settings.default_gateway
    gateway = context.settings.gateways.get(name)
    model = given.model or (gateway.model if isinstance(gateway, RemoteGateway) else "")
    if gateway is None:
        known = ", ".join(context.settings.gateways)
        detail = f"there is no gateway {name[:80]!r}; the gateways are: {known}"
        problems.append(Problem(f"{path}.gateway", detail))
    elif not model and isinstance(gateway, RemoteGateway):
        detail = f"is missing, and gateway {name!r} has no model of its own"
        problems.append(Problem(f"{path}.model", detail))
    return Participant(
        given.id, given.name, given.role, given.instructions, model, name, given.fallback_models
    )


async def _parent(context: ServiceContext, parent_id: UUID | None) -> tuple[MeetingId | None, str]:
    """Return the id and the minutes of the meeting that this one continues."""
    if parent_id is None:
        return None, ""
    try:
        parent = await context.meetings.load(parent_id)
    except MeetingNotFound as error:
        problem = Problem("parent_meeting_id", str(error))
        raise invalid(problem, kind=NO_MEETING) from None
    minutes = output_md(parent)
    if minutes is None:
        problem = Problem(
            "parent_meeting_id", f"meeting {parent_id} is not complete but {parent.state}"
        )
        raise invalid(problem, kind=NOT_COMPLETE)
    return parent.id, minutes
