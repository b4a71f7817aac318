"""Query parameters: read strictly by schema, with every wrong one named."""

import re
from typing import Annotated, Any, TypeVar

from litestar import Request
from msgspec import Meta, Struct
from msgspec.structs import fields

from meeting_core.errors import Problem
from meeting_service.http.json_body import read_fields
from meeting_service.http.problems import invalid

STATES = r"^(gathering|round_[1-9][0-9]{0,3}|synthesizing|paused|complete|error|cancelled)$"
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)

Query = TypeVar("Query", bound=Struct)


class ListQuery(Struct, frozen=True, kw_only=True):
    """Which meetings a list shows."""

    days: Annotated[
        int, Meta(ge=1, le=36_500, description="Convened in the last so many days.")
    ] = 30
    room_id: Annotated[str | None, Meta(description="In this room.")] = None
    project_id: Annotated[str | None, Meta(description="Of this project.")] = None
    state: Annotated[
        Annotated[str, Meta(pattern=STATES)] | None,
        Meta(description="In this state, `round_2` say."),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=100, description="Rows on a page.")] = 20
    offset: Annotated[int, Meta(ge=0, le=1_000_000_000, description="Rows to leave out.")] = 0
    cursor: Annotated[str | None, Meta(description="The `next_cursor` of the page before.")] = None


class HistoryQuery(Struct, frozen=True, kw_only=True):
    """Which events of a meeting a history shows."""

    after: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="The version to go on after.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1_000, description="Events on a page.")] = 100


def read_query(request: Request[Any, Any, Any], query_type: type[Query]) -> Query:
    """Return a request's query parameters.

    Raises: `HttpProblem` 400 naming every parameter that is wrong.
    """
    given: dict[str, Any] = {}
    known = {each.name: each for each in fields(query_type)}
    problems = []
    for name, text in request.query_params.multi_items():
        if name in given:
            problems.append(Problem(name, "is given more than once"))
        is_number = name in known and isinstance(known[name].default, int)
        given[name] = int(text) if is_number and _INTEGER.fullmatch(text) else text
    if problems:
        raise invalid(*problems)
    return read_fields(given, query_type)
