"""The pages about the HTTP API, made without a running service: OpenAPI document, errors."""

import json
import logging
from collections.abc import Iterator
from uuid import UUID

import msgspec
from eventsourcing.persistence import InterfaceError, OperationalError
from generator.markdown import code, table
from litestar import Litestar
from litestar.testing import RequestFactory

from meeting_core import errors
from meeting_core.errors import CorruptHistory, InvalidConfiguration, Problem, Refusal
from meeting_service.command_handler import MeetingNotFound
from meeting_service.http.application import describe
from meeting_service.http.problems import PROBLEM_TYPES, answer_exception
from meeting_service.ports import RoomTaken, TooManyLive, VersionConflict

SOME_ID = UUID(int=0)
_APP = Litestar(logging_config=None, openapi_config=None)
"""The application of the requests; the factory's own would configure logging for the process."""


def openapi() -> str:
    """Return the OpenAPI document."""
    return json.dumps(msgspec.to_builtins(describe()), indent=2, sort_keys=True) + "\n"


def problems_table() -> str:
    """List every kind of problem a client can get, with the errors that become one."""
    causes: dict[str, list[str]] = {}
    for error in _errors():
        causes.setdefault(_problem_type(error), []).append(code(type(error).__name__))
    rows = [
        (code(kind.uri), str(kind.status.value), kind.title, ", ".join(causes.get(kind.uri, ())))
        for kind in PROBLEM_TYPES
    ]
    return table(("type", "status", "title", "among others for"), rows)


def _problem_type(error: Exception) -> str:
    """Return the problem type with which an error is answered."""
    # The answer to some errors is logged, which is of no use here.
    logging.disable()
    try:
        answer = answer_exception(RequestFactory(_APP).get("/"), error)
    finally:
        logging.disable(logging.NOTSET)
    return str(json.loads(answer.content)["type"])


def _errors() -> Iterator[Exception]:
    """Yield one of each error that a request can end with."""
    yield InvalidConfiguration((Problem("field", "is wrong"),))
    for each in vars(errors).values():
        is_refusal = isinstance(each, type) and issubclass(each, Refusal)
        if is_refusal and each not in (Refusal, InvalidConfiguration):
            yield each("refused")
    yield MeetingNotFound(SOME_ID)
    yield RoomTaken("room", SOME_ID)
    yield TooManyLive(1_000)
    yield VersionConflict("another append was first")
    yield OperationalError("the database is unreachable")
    yield InterfaceError("the database is unreachable")
    yield CorruptHistory("it cannot have happened")
