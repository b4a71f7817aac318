"""Errors as clients see them: `application/problem+json` for every kind. Source: RFC 9457."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from eventsourcing.persistence import InterfaceError, OperationalError
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import UNSET, Struct, UnsetType

from meeting_core.errors import (
    CorruptHistory,
    InvalidConfiguration,
    MeetingEnded,
    MeetingError,
    Problem,
)
from meeting_core.model import MeetingId
from meeting_service.command_handler import MeetingNotFound
from meeting_service.http.path_prefix import full_path, prefix_of
from meeting_service.ports import RoomTaken, TooManyLive, VersionConflict

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
TOO_MANY_RETRY_SECONDS = 5
MAX_ERRORS_LISTED = 20


class ProblemType(Struct, frozen=True):
    """A kind of error, by which clients distinguish errors of the same status."""

    name: str
    status: HTTPStatus
    title: str

    @property
    def uri(self) -> str:
        """The link to its entry in the documentation."""
        return f"/docs#{self.name}"


INVALID = ProblemType("invalid", HTTPStatus.BAD_REQUEST, "A field or parameter is wrong")
BAD_REQUEST = ProblemType("bad-request", HTTPStatus.BAD_REQUEST, "The request is wrong")
NOTHING_HERE = ProblemType("nothing-here", HTTPStatus.NOT_FOUND, "There is nothing at this path")
NO_MEETING = ProblemType("no-such-meeting", HTTPStatus.NOT_FOUND, "There is no such meeting")
NO_AGENT = ProblemType("no-such-agent", HTTPStatus.NOT_FOUND, "There is no such agent")
WRONG_METHOD = ProblemType(
    "wrong-method", HTTPStatus.METHOD_NOT_ALLOWED, "This path does not take this method"
)
ROOM_TAKEN = ProblemType("room-taken", HTTPStatus.CONFLICT, "A live meeting holds the room")
MEETING_ENDED = ProblemType("meeting-ended", HTTPStatus.CONFLICT, "The meeting has ended")
NOT_COMPLETE = ProblemType("not-complete", HTTPStatus.CONFLICT, "The meeting is not complete")
QUARANTINED = ProblemType(
    "meeting-quarantined", HTTPStatus.CONFLICT, "The meeting is in quarantine"
)
NOT_QUARANTINED = ProblemType(
    "not-quarantined", HTTPStatus.CONFLICT, "The meeting is not in quarantine"
)
UNREADABLE_MEETING = ProblemType(
    "meeting-unreadable", HTTPStatus.CONFLICT, "The meeting's events cannot be read"
)
NOT_NOW = ProblemType("not-now", HTTPStatus.CONFLICT, "The meeting does not take this now")
TOO_LARGE = ProblemType("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "not-json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not application/json"
)
KEY_REUSED = ProblemType(
    "key-reused",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The Idempotency-Key was used for another request",
)
TOO_MANY = ProblemType(
    "too-many-meetings", HTTPStatus.TOO_MANY_REQUESTS, "Too many meetings are under way"
)
INTERNAL = ProblemType("internal", HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here")
STORE_UNAVAILABLE = ProblemType(
    "store-unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer"
)
NOT_READY = ProblemType(
    "not-ready", HTTPStatus.SERVICE_UNAVAILABLE, "A part of the service does not work"
)
STOPPING = ProblemType(
    "stopping", HTTPStatus.SERVICE_UNAVAILABLE, "The service is starting or stopping"
)

PROBLEM_TYPES = (
    INVALID,
    BAD_REQUEST,
    NOTHING_HERE,
    NO_MEETING,
    NO_AGENT,
    WRONG_METHOD,
    ROOM_TAKEN,
    MEETING_ENDED,
    NOT_COMPLETE,
    QUARANTINED,
    NOT_QUARANTINED,
    UNREADABLE_MEETING,
    NOT_NOW,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    KEY_REUSED,
    TOO_MANY,
    INTERNAL,
    STORE_UNAVAILABLE,
    NOT_READY,
    STOPPING,
)


class ProblemDocument(Struct, frozen=True, kw_only=True):
    """The body of every error.

    Shape: `errors` names each refused field or parameter; `meeting_id` is the meeting in the way.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[Problem, ...] | UnsetType = UNSET
    meeting_id: str | UnsetType = UNSET


def unreadable_request(path_prefix: str) -> bytes:
    """Return the body of the answer to bytes that are no HTTP request."""
    return msgspec.json.encode(
        ProblemDocument(
            type=path_prefix + BAD_REQUEST.uri,
            title=BAD_REQUEST.title,
            status=BAD_REQUEST.status.value,
            detail="this is no request of HTTP, or its method is unknown",
            instance=f"{path_prefix}/",
        )
    )


class HttpProblem(Exception):
    """An answer other than success.

    Units: `retry_seconds`, sent as `Retry-After`.
    """

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        errors: tuple[Problem, ...] = (),
        retry_seconds: int | None = None,
        meeting_id: MeetingId | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.retry_seconds = retry_seconds
        self.meeting_id = meeting_id


def invalid(*problems: Problem, kind: ProblemType = INVALID) -> HttpProblem:
    """Return the refusal of fields; the detail names each, up to `MAX_ERRORS_LISTED`."""
    listed = problems[:MAX_ERRORS_LISTED]
    detail = "; ".join(f"{problem.field}: {problem.detail}" for problem in listed)
    if len(problems) > len(listed):
        detail += f"; and {len(problems) - len(listed)} more"
    return HttpProblem(kind, detail, errors=listed)


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer an error of the framework with a problem document."""
    status = HTTPStatus(error.status_code)
    problem = _framework_problem(error, status)
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        problem.detail = f"this path does not take {request.method}; see the Allow header"
    elif status is HTTPStatus.NOT_FOUND and problem.kind is NOTHING_HERE:
        problem.detail = (
            f"there is nothing at {full_path(request)}; "
            f"{prefix_of(request)}/docs lists what there is"
        )
    return _answer(request, problem, error.headers or {})


def answer_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer any other error with a problem document."""
    return _answer(request, _own_problem(request, error), {})


def _answer(
    request: Request[Any, Any, Any], problem: HttpProblem, headers: Mapping[str, str]
) -> Response[bytes]:
    document = ProblemDocument(
        type=prefix_of(request) + problem.kind.uri,
        title=problem.kind.title,
        status=problem.kind.status.value,
        detail=problem.detail,
        instance=quote(full_path(request)),
        errors=problem.errors or UNSET,
        meeting_id=UNSET if problem.meeting_id is None else str(problem.meeting_id),
    )
    retry = {} if problem.retry_seconds is None else {"Retry-After": str(problem.retry_seconds)}
    return Response(
        msgspec.json.encode(document),
        status_code=document.status,
        media_type=MEDIA_TYPE,
        headers={**headers, **retry},
    )


def _own_problem(request: Request[Any, Any, Any], error: Exception) -> HttpProblem:
    match error:
        case HttpProblem():
            return error
        case MeetingError():
            return _meeting_problem(error)
        case RoomTaken():
            return HttpProblem(ROOM_TAKEN, str(error), meeting_id=error.meeting_id)
        case TooManyLive():
            detail = f"{error}; try again later"
            return HttpProblem(TOO_MANY, detail, retry_seconds=TOO_MANY_RETRY_SECONDS)
        case VersionConflict():
            detail = "others change this meeting too fast; try again"
            return HttpProblem(STORE_UNAVAILABLE, detail, retry_seconds=RETRY_SECONDS)
        case OperationalError() | InterfaceError():
            reason = " ".join(str(error).split())
            log.warning("%s %s: %s", request.method, request.url.path, reason)
            return HttpProblem(
                STORE_UNAVAILABLE, _unavailable_detail(request), retry_seconds=RETRY_SECONDS
            )
        case _:
            log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return HttpProblem(INTERNAL, "the service's log has the cause")


def _meeting_problem(error: MeetingError) -> HttpProblem:
    match error:
        case InvalidConfiguration():
            return invalid(*error.problems)
        case MeetingNotFound():
            return HttpProblem(NO_MEETING, str(error))
        case MeetingEnded():
            return HttpProblem(MEETING_ENDED, str(error))
        case CorruptHistory():
            return HttpProblem(UNREADABLE_MEETING, str(error))
        case _:
            return HttpProblem(NOT_NOW, str(error))


def _unavailable_detail(request: Request[Any, Any, Any]) -> str:
    if request.method == "POST":
        return (
            "the database does not answer, and whether this request took effect is not known; "
            "repeat it, a start with an Idempotency-Key"
        )
    return "the database does not answer; try again"


def _framework_problem(error: HTTPException, status: HTTPStatus) -> HttpProblem:
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        wrong = [(each.get("key"), each.get("message")) for each in error.extra]
        return invalid(*(Problem(str(key or "request"), str(what)) for key, what in wrong))
    match status:
        case HTTPStatus.NOT_FOUND if error.detail == status.phrase:
            return HttpProblem(NOTHING_HERE, "")
        case HTTPStatus.NOT_FOUND:
            return HttpProblem(NO_MEETING, error.detail)
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return HttpProblem(WRONG_METHOD, error.detail)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return HttpProblem(TOO_LARGE, "the body is larger than any meeting takes")
        case _ if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return HttpProblem(BAD_REQUEST, error.detail)
        case _:
            log.warning("the framework failed: %s", error.detail, exc_info=error)
            return HttpProblem(INTERNAL, "the service's log has the cause")
