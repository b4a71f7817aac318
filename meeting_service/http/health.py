"""The agents of the directory, and the health of the service."""

from typing import Literal

import anyio
from eventsourcing.persistence import OperationalError
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from meeting_service.http.problems import NOT_READY, HttpProblem
from meeting_service.http.service_context import ServiceContext, readable, stopping

PROBE_SECONDS = 2.0
NOT_READY_RETRY_SECONDS = 5


class AgentView(Struct, frozen=True):
    """An agent of the directory; its instructions are not shown."""

    id: str
    name: str
    role: str
    gateway: str
    model: str


class AgentsView(Struct, frozen=True):
    """The directory."""

    agents: tuple[AgentView, ...]


class HealthView(Struct, frozen=True):
    """The health of a process; `running_meetings` counts those that this process runs."""

    status: Literal["ok"]
    running_meetings: int


async def list_agents(context: NamedDependency[ServiceContext]) -> AgentsView:
    """List the agents that meetings can be held with."""
    return AgentsView(
        tuple(
            AgentView(agent.agent_id, agent.name, agent.role, agent.gateway, agent.model)
            for agent in context.agents.values()
        )
    )


async def is_live(context: NamedDependency[ServiceContext]) -> HealthView:
    """Answer as long as the process does."""
    return HealthView("ok", context.supervisor.running)


async def is_ready(context: NamedDependency[ServiceContext]) -> HealthView:
    """Answer 200 while meetings can be started: the service is open, its database answers, and
    none of its background loops has ended or keeps failing.
    """
    if not context.is_open:
        raise stopping()
    try:
        with anyio.fail_after(PROBE_SECONDS):
            await context.meetings.recorder.ping()
    except TimeoutError:
        raise OperationalError(f"no answer within {PROBE_SECONDS:g} s") from None
    if (problem := context.loops.problem) is not None:
        raise HttpProblem(NOT_READY, problem, retry_seconds=NOT_READY_RETRY_SECONDS)
    return HealthView("ok", context.supervisor.running)


operation_routes: list[ControllerRouterHandler] = [
    *readable("/api/agents", list_agents, operation_id="list_agents", tags=["agents"]),
    *readable("/health/live", is_live, operation_id="is_live", tags=["health"]),
    *readable("/health/ready", is_ready, operation_id="is_ready", tags=["health"]),
]
