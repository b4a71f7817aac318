"""What the routes work with, given to each of them by name, and how they are declared."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from litestar import get
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from meeting_core.model import AgentId, MeetingId, Participant
from meeting_service.http.problems import NO_MEETING, STOPPING, HttpProblem
from meeting_service.meetings import Meetings
from meeting_service.runtime.supervisor import Supervisor
from meeting_service.settings import Settings

STOPPING_RETRY_SECONDS = 2


class ServiceContext:
    """The service as its routes see it. `is_open` while meetings may be started."""

    def __init__(self, meetings: Meetings, supervisor: Supervisor, settings: Settings) -> None:
        self.meetings = meetings
        self.supervisor = supervisor
        self.settings = settings
        self.directory: dict[AgentId, Participant] = {
            participant.agent_id: participant for participant in settings.directory
        }
        self.is_open = False

    def check_open(self) -> None:
        """Return if meetings may be started. Raises: `HttpProblem` 503."""
        if not self.is_open:
            detail = "the service is starting or stopping; try again when it is ready"
            raise HttpProblem(STOPPING, detail, retry_seconds=STOPPING_RETRY_SECONDS)


def meeting_id_of(text: str) -> MeetingId:
    """Read an id from a path.

    Raises: `HttpProblem` 404, since no meeting has an id that is none.
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
