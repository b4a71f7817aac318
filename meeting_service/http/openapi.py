"""The OpenAPI document: the framework's, corrected.

Its components are replaced by msgspec's, which say where unknown fields are refused; its errors by
our problem documents; query parameters and optional bodies are added.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from meeting_service.http import problems
from meeting_service.http.bodies import (
    BudgetBody,
    CancelBody,
    PauseBody,
    RemarkBody,
    StartBody,
    WrapUpBody,
)
from meeting_service.http.control import BudgetView, ControlView
from meeting_service.http.health import AgentsView, HealthView
from meeting_service.http.history import JSON, NDJSON, HistoryView, StoredEventView
from meeting_service.http.meetings import CancelledView, OutputView
from meeting_service.http.problems import MEDIA_TYPE, ProblemDocument, ProblemType
from meeting_service.http.quarantine import QuarantineView, ReleasedView
from meeting_service.http.queries import HistoryQuery, ListQuery
from meeting_service.views.meeting_status import StatusView
from meeting_service.views.spending import SpendingView
from meeting_service.views.started_meeting import StartedView
from meeting_service.views.summaries import ListView

REFERENCE = "#/components/schemas/{name}"
DESCRIPTION = (
    "Structured meetings of AI agents: started, watched and proved over HTTP. Times are RFC 3339 "
    "in UTC with milliseconds. Every error is a problem document (RFC 9457)."
)
_SCHEMAS: tuple[type[Struct], ...] = (
    AgentsView,
    BudgetBody,
    RemarkBody,
    BudgetView,
    CancelBody,
    CancelledView,
    HealthView,
    HistoryView,
    ListView,
    QuarantineView,
    ReleasedView,
    OutputView,
    PauseBody,
    ProblemDocument,
    SpendingView,
    StartBody,
    StartedView,
    StatusView,
    ControlView,
    StoredEventView,
    WrapUpBody,
)
_OPTIONAL_BODIES: dict[str, type[Struct]] = {
    "cancel_meeting": CancelBody,
    "pause_meeting": PauseBody,
    "resume_meeting": PauseBody,
    "wrap_up_meeting": WrapUpBody,
}
_QUERIES: dict[str, type[Struct]] = {
    "list_meetings": ListQuery,
    "list_meetings_as_history": ListQuery,
    "read_history": HistoryQuery,
}
_OF_ONE = (problems.NO_MEETING, problems.STORE_UNAVAILABLE)
_WHOLE = (*_OF_ONE, problems.UNREADABLE_MEETING)
_CHANGING = (
    problems.INVALID,
    *_WHOLE,
    problems.MEETING_ENDED,
    problems.QUARANTINED,
    problems.TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
)
_PROBLEMS: dict[str, tuple[ProblemType, ...]] = {
    "start_meeting": (
        problems.INVALID,
        problems.NO_AGENT,
        problems.NO_MEETING,
        problems.ROOM_TAKEN,
        problems.NOT_COMPLETE,
        problems.TOO_LARGE,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.KEY_REUSED,
        problems.TOO_MANY,
        problems.STORE_UNAVAILABLE,
        problems.STOPPING,
    ),
    "cancel_meeting": _CHANGING,
    "pause_meeting": _CHANGING,
    "resume_meeting": _CHANGING,
    "wrap_up_meeting": (*_CHANGING, problems.NOT_NOW),
    "raise_budget": _CHANGING,
    "make_remark": (*_CHANGING, problems.NOT_NOW),
    "list_meetings": (problems.INVALID, problems.STORE_UNAVAILABLE),
    "list_meetings_as_history": (problems.INVALID, problems.STORE_UNAVAILABLE),
    "read_status": _WHOLE,
    "read_spending": _WHOLE,
    "read_output": (*_WHOLE, problems.NOT_COMPLETE),
    "read_history": (problems.INVALID, *_OF_ONE),
    "watch_meeting": (problems.INVALID, *_OF_ONE),
    "watch_meetings": (problems.INVALID, *_OF_ONE),
    "is_ready": (problems.STORE_UNAVAILABLE, problems.NOT_READY, problems.STOPPING),
    "list_quarantined": (problems.STORE_UNAVAILABLE,),
    "release_meeting": (*_OF_ONE, problems.NOT_QUARANTINED, problems.ROOM_TAKEN),
}
_SUCCESS = {
    "start_meeting": "The meeting as it was called.",
    "watch_meeting": "Named events, each with one JSON object as its data.",
    "watch_meetings": "Named events, each with one JSON object as its data.",
    "read_history": "A page of stored events, or all of them as lines.",
}


def openapi_document(
    routes: Iterable[ControllerRouterHandler], dependencies: Iterable[str]
) -> dict[str, Any]:
    """Return the OpenAPI document of the routes.

    Shape: `dependencies` names the parameters of handlers that no client sends.
    """
    app = Litestar(
        list(routes),
        dependencies={name: Provide(lambda: None, sync_to_thread=False) for name in dependencies},
        openapi_config=OpenAPIConfig(
            title="AI meetings",
            version=version("ai-meetings"),
            description=DESCRIPTION,
            use_handler_docstrings=True,
            render_plugins=[JsonRenderPlugin()],
        ),
        logging_config=None,
    )
    document: dict[str, Any] = app.openapi_schema.to_schema()
    _, components = msgspec.json.schema_components(_SCHEMAS, ref_template=REFERENCE)
    # Through JSON, in which a default that is a tuple is a list.
    schemas = msgspec.json.decode(msgspec.json.encode(components))
    for schema in schemas.values():
        schema["description"] = cleandoc(schema.get("description", ""))
    document["components"] = {"schemas": dict(sorted(schemas.items()))}
    for item in document["paths"].values():
        for operation in item.values():
            _repair(operation)
    return document


def _repair(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    parameters = [_repaired_parameter(each) for each in operation.get("parameters", ())]
    if name in _QUERIES:
        parameters += _query_parameters(_QUERIES[name])
    if parameters:
        operation["parameters"] = parameters
    operation["summary"] = name.replace("_", " ").capitalize()
    del operation["deprecated"]
    responses = operation["responses"]
    operation["responses"] = {
        status: {"description": _SUCCESS.get(name, "As asked."), **_content(answer)}
        for status, answer in responses.items()
        if status < "400"
    }
    if name in _OPTIONAL_BODIES:
        operation["requestBody"] = {
            "required": False,
            "content": {JSON: {"schema": _reference(_OPTIONAL_BODIES[name])}},
        }
    if name == "read_history":
        operation["responses"]["200"]["content"] = {
            JSON: {"schema": _reference(HistoryView)},
            NDJSON: {"schema": _reference(StoredEventView)},
        }
    if name == "watch_meeting":
        ended = "The meeting has ended, and nothing is left to send."
        operation["responses"]["204"] = {"description": ended}
    operation["responses"] |= _problem_responses(_PROBLEMS.get(name, ()))


def _content(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": answer["content"]} if "content" in answer else {}


def _repaired_parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("name", "in", "description", "required")
    known = {key: parameter[key] for key in kept if key in parameter}
    return {**known, "schema": _without_null(parameter["schema"])}


def _query_parameters(struct: type[Struct]) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([struct], ref_template=REFERENCE)
    return [
        {
            "name": name,
            "in": "query",
            "description": schema["description"],
            "required": False,
            "schema": _without_null(schema),
        }
        for name, schema in components[struct.__name__]["properties"].items()
    ]


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without null, which no path, header or query can hold."""
    choices = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    plain = {key: each for key, each in schema.items() if key not in ("oneOf", "anyOf")}
    for choice in choices:
        if choice.get("type") != "null":
            plain.update(choice)
    plain.pop("description", None)
    return {key: each for key, each in plain.items() if each is not None}


def _problem_responses(kinds: Iterable[ProblemType]) -> dict[str, Any]:
    titles: dict[str, list[str]] = {}
    for kind in kinds:
        titles.setdefault(str(kind.status.value), []).append(kind.title)
    return {
        status: {
            "description": "; ".join(each) + ".",
            "content": {MEDIA_TYPE: {"schema": _reference(ProblemDocument)}},
        }
        for status, each in sorted(titles.items())
    }


def _reference(struct: type[Struct]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=struct.__name__)}
