"""Requests with a JSON body: read strictly by schema, with every wrong field named by its path."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import msgspec
from litestar import Request
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from meeting_core.errors import Problem
from meeting_core.model import is_storable
from meeting_service.http.problems import UNSUPPORTED_MEDIA_TYPE, HttpProblem, invalid

JSON = "application/json"
BODY = "body"
"""The name under which a body as a whole is refused."""

UNSTORABLE = "contains a NUL character or a lone surrogate; remove it"
MAX_NAME_CHARACTERS = 80
MAX_PROBLEMS_PER_KIND = 20
MAX_ITEMS = 1_000

_PATH = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<given>[^`]*)`")
_JSON_TYPES = {"int": "integer", "str": "string", "bool": "boolean", "float": "number"}

Body = TypeVar("Body", bound=Struct)


class OptionalJsonRequest(Request[Any, Any, Any]):
    """A request that may have a JSON body: "3" is not 3, and unknown fields are refused.

    The framework itself converts loosely, ignores the media type, and takes an empty body for null.
    """

    body_type: ClassVar[type[Struct]]

    async def json(self) -> Any:
        """Return the body's fields. Raises: `HttpProblem` 400 naming every wrong field."""
        self._check_media_type()
        return read_fields(read_object(await self.body()), self.body_type)

    def _check_media_type(self) -> None:
        media_type = self.content_type[0].lower()
        if media_type != JSON:
            shown = f"not {media_type[:80]}" if media_type else "and Content-Type must say so"
            raise HttpProblem(UNSUPPORTED_MEDIA_TYPE, f"the body must be {JSON}, {shown}")


class JsonRequest(OptionalJsonRequest):
    """A request that must have a JSON body."""

    async def body(self) -> bytes:
        """Return the body. Raises: `HttpProblem` 400 if it is empty, 415 if it is not JSON."""
        self._check_media_type()
        body = await super().body()
        if not body:
            raise invalid(Problem(BODY, "is empty; send a JSON object"))
        return body


def read_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    The standard library decodes it: msgspec cannot say which field has a lone surrogate.
    Raises: `HttpProblem` 400.
    """
    try:
        decoded = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise invalid(Problem(BODY, f"is not UTF-8 from byte {error.start} on")) from None
    except json.JSONDecodeError as error:
        detail = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise invalid(Problem(BODY, detail)) from None
    except (ValueError, RecursionError) as error:
        is_deep = isinstance(error, RecursionError)
        reason = "nested too deeply" if is_deep else str(error).partition(";")[0]
        raise invalid(Problem(BODY, f"is no JSON that is read here: {reason}")) from None
    if not isinstance(decoded, dict):
        raise invalid(Problem(BODY, f"must be a JSON object, not {type(decoded).__name__}"))
    return decoded


def read_fields(given: Mapping[str, Any], body_type: type[Body]) -> Body:
    """Convert each field on its own, so that one answer names everything that is wrong.

    Raises: `HttpProblem` 400.
    """
    known = {each.encode_name: each for each in fields(body_type)}
    unknown = (name for name in given if name not in known)
    problems = [
        Problem(_printable(name), f"is not known here{_suggestion(name, known)}")
        # Finding a close match takes time, and a body may hold a million names.
        for name in islice(unknown, MAX_PROBLEMS_PER_KIND)
    ]
    values: dict[str, Any] = {}
    for name, each in known.items():
        if name in given:
            problems.extend(_read_field(each, given[name], values))
        elif each.default is NODEFAULT and each.default_factory is NODEFAULT:
            problems.append(Problem(name, "is missing"))
    if problems:
        raise invalid(*problems)
    return body_type(**values)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _read_field(known: FieldInfo, value: Any, values: dict[str, Any]) -> Iterator[Problem]:
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        yield Problem(known.encode_name, f"has {len(value)} items, more than anything takes here")
        return
    try:
        values[known.name] = msgspec.convert(value, known.type, strict=True)
    except msgspec.ValidationError as error:
        if (choices := _choices(known.type)) and isinstance(value, str):
            yield Problem(known.encode_name, f"must be one of {', '.join(choices)}")
        else:
            yield _problem_from(str(error), known.encode_name)
        return
    except UnicodeEncodeError:
        pass  # a name in an object has a lone surrogate; the search below finds it
    for path in islice(_unstorable_paths(value, known.encode_name), MAX_PROBLEMS_PER_KIND):
        yield Problem(path, UNSTORABLE)


def _unstorable_paths(value: Any, path: str) -> Iterator[str]:
    match value:
        case str():
            if not is_storable(value):
                yield path
        case list():
            for n, each in enumerate(value):
                yield from _unstorable_paths(each, f"{path}[{n}]")
        case dict():
            for name, each in value.items():
                if not is_storable(name):
                    yield f"{path}.{_printable(name)}"
                yield from _unstorable_paths(each, f"{path}.{_printable(name)}")
        case _:
            return


def _problem_from(message: str, field: str) -> Problem:
    """Parse the path and the reason out of msgspec's message."""
    match = _PATH.fullmatch(message)
    assert match is not None
    reason, path = match["reason"], field + (match["path"] or "")
    if missing := _MISSING.fullmatch(reason):
        return Problem(f"{path}.{missing['name']}", "is missing")
    if unknown := _UNKNOWN.fullmatch(reason):
        return Problem(f"{path}.{_printable(unknown['name'])}", "is not known here")
    if wrong := _WRONG_TYPE.fullmatch(reason):
        expected, found = _json_types(wrong["expected"]), _json_types(wrong["given"])
        return Problem(path, f"must be {expected}, not {found}")
    return Problem(path, reason[:1].lower() + reason[1:].replace("`", ""))


def _choices(annotation: Any) -> list[str]:
    """Return the values that a field accepts, or an empty list if it is no enumeration."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return [choice for inner in get_args(annotation) for choice in _choices(inner)]
    return []


def _json_types(types: str) -> str:
    return " or ".join(_JSON_TYPES.get(each, each) for each in types.split(" | "))


def _printable(name: str) -> str:
    """Return a name that a client chose, truncated and with unprintable characters escaped."""
    text = name if len(name) <= MAX_NAME_CHARACTERS else f"{name[:MAX_NAME_CHARACTERS]}..."
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _suggestion(name: str, known: Mapping[str, FieldInfo]) -> str:
    close = difflib.get_close_matches(name[:MAX_NAME_CHARACTERS], known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
