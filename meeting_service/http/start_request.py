"""From the body of a start to the configuration of a meeting: seats, parent, defaults."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from msgspec.structs import replace

from meeting_core.errors import Problem
from meeting_core.model import Configuration, MeetingId, Participant, PriceTable
from meeting_service.http.app_state import ServiceContext
from meeting_service.http.bodies import ParticipantBody, StartBody
from meeting_service.http.problems import (
    NO_AGENT,
    NO_MEETING,
    NOT_COMPLETE,
    invalid,
)
from meeting_service.meetings import MeetingNotFound
from meeting_service.settings import ScriptedGateway, Settings
from meeting_service.views.transcript import output_md

_CLIENT_FIELDS = {
    # The operator's time limits are no fields of a request, its size is.
    "meeting_timeout_seconds": "num_rounds",
    "parent_minutes": "parent_meeting_id",
}


async def configuration(context: ServiceContext, body: StartBody) -> Configuration:
    """Say what a meeting is to be held by.

    Raises: `HttpProblem` for an agent, a gateway or a parent that will not do.
    """
    settings = context.settings
    if body.round_topics == ():
        problem = "has no topics; leave it out for the usual ones"
        raise invalid(Problem("round_topics", problem))
    seats = _seats(context, body.participants)
    parent_id, parent_minutes = await _parent(context, body.parent_meeting_id)
    return Configuration(
        participants=seats,
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
        prices=_prices(settings.price_table, seats),
        min_tokens_per_turn=_least_tokens(settings, body),
        on_budget=body.on_budget or settings.on_budget,
        digest_rounds=settings.digest_rounds if body.digest_rounds is None else body.digest_rounds,
        synthesizer=body.synthesizer,
        max_attempts=settings.max_attempts,
        attempt_timeout_seconds=settings.attempt_timeout_seconds,
        min_attempt_seconds=settings.min_attempt_seconds,
        gateway_reconnect_timeout_seconds=settings.gateway_reconnect_timeout_seconds,
        turn_timeout_seconds=settings.turn_timeout_seconds,
        synthesis_timeout_seconds=settings.synthesis_timeout_seconds,
        meeting_timeout_seconds=settings.meeting_timeout_seconds,
    )


def in_client_terms(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Name problems by the fields a client sends."""
    for problem in problems:
        yield replace(problem, field=_CLIENT_FIELDS.get(problem.field, problem.field))


def _prices(kept: PriceTable | None, seats: tuple[Participant, ...]) -> PriceTable | None:
    """Give the prices of the models that may speak; a meeting keeps no others."""
    if kept is None:
        return None
    models = {model for seat in seats for model in (seat.model, *seat.fallback_models)}
    return replace(kept, models=tuple(price for price in kept.models if price.model in models))


def _least_tokens(settings: Settings, body: StartBody) -> int:
    """Say what a turn is at least worth: an operator's default never stands in a client's way."""
    if body.min_tokens_per_turn is not None:
        return body.min_tokens_per_turn
    return max(1, min(settings.min_tokens_per_turn, body.max_tokens_per_turn))


def _seats(
    context: ServiceContext, given: tuple[str | ParticipantBody, ...]
) -> tuple[Participant, ...]:
    unknown = [
        Problem(f"participants[{n}]", f"there is no agent {each[:80]!r}")
        for n, each in enumerate(given)
        if isinstance(each, str) and each not in context.directory
    ]
    if unknown:
        known = ", ".join(context.directory) or "none"
        problem = invalid(*unknown, kind=NO_AGENT)
        problem.detail += f"; the agents are: {known}"
        raise problem
    wrong: list[Problem] = []
    seats = tuple(_seat(context, n, each, wrong) for n, each in enumerate(given))
    if wrong:
        raise invalid(*wrong)
    return seats


def _seat(
    context: ServiceContext, n: int, given: str | ParticipantBody, wrong: list[Problem]
) -> Participant:
    if isinstance(given, str):
        return context.directory[given]
    seat = context.settings.seated(
        Participant(
            given.id,
            given.name,
            given.role,
            given.instructions,
            given.model,
            given.gateway,
            given.fallback_models,
        )
    )
    gateway = context.settings.gateways.get(seat.gateway)
    if gateway is None:
        known = ", ".join(context.settings.gateways)
        detail = f"there is no gateway {seat.gateway[:80]!r}; the gateways are: {known}"
        wrong.append(Problem(f"participants[{n}].gateway", detail))
    elif not seat.model and not isinstance(gateway, ScriptedGateway):
        detail = f"is missing, and gateway {seat.gateway!r} has no model of its own"
        wrong.append(Problem(f"participants[{n}].model", detail))
    return seat


async def _parent(context: ServiceContext, parent_id: UUID | None) -> tuple[MeetingId | None, str]:
    """Find the meeting this one continues, and its minutes."""
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
