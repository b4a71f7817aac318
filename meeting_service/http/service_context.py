"""What the routes share: the service as they see it, ids from paths, GET with HEAD."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from litestar import get
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from meeting_core.model import AgentId, MeetingId, Participant
from meeting_service.background_loops import BackgroundLoops
from meeting_service.command_handler import Meetings
from meeting_service.http.problems import NO_MEETING, STOPPING, HttpProblem
from meeting_service.runtime.supervisor import Supervisor
from meeting_service.runtime.token_learning import TokenLearning
from meeting_service.settings import Settings

STOPPING_RETRY_SECONDS = 2


class ServiceContext:
    """The service as its routes see it. `is_open` while meetings may be started."""

    def __init__(
        self,
        meetings: Meetings,
        supervisor: Supervisor,
        learning: TokenLearning,
        settings: Settings,
        loops: BackgroundLoops,
    ) -> None:
        self.meetings = meetings
        self.supervisor = supervisor
        self.learning = learning
        self.settings = settings
        self.loops = loops
        self.agents: dict[AgentId, Participant] = {
            participant.agent_id: participant for participant in settings.participants
        }
        self.price_table = settings.price_table
        self.is_open = False


def stopping() -> HttpProblem:
    """Return the refusal of a service that is not open for new meetings."""
    detail = "the service is starting or stopping; try again when it is ready"
    return HttpProblem(STOPPING, detail, retry_seconds=STOPPING_RETRY_SECONDS)


def meeting_id_of(text: str) -> MeetingId:
    """Parse an id from a path.

    Raises: `HttpProblem` 404 for a text that is no id, since no meeting has it.
    """
    try:
        return UUID(text)
    except ValueError:
        raise HttpProblem(NO_MEETING, f"there is no meeting {text[:80]}") from None


def readable(
    path: str, handler: Callable[..., Any], **options: Any
) -> tuple[ControllerRouterHandler, ControllerRouterHandler]:
    """Route GET to a handler, and HEAD, which the framework would refuse."""
    head = HTTPRouteHandler(path, http_method=HttpMethod.HEAD, include_in_schema=False)
    return get(path, **options)(handler), head(handler)
