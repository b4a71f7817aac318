"""From plain data to a struct, strictly, with every wrong field named by its path."""

import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from meeting_core.errors import Problem
from meeting_core.model import is_storable
from meeting_service.http.problems import invalid

UNSTORABLE = "contains a NUL character or a lone surrogate; remove it"
MAX_NAME = 80
MAX_UNKNOWN = 20
MAX_ITEMS = 1_000

_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<where>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<given>[^`]*)`")
_JSON_WORDS = {"int": "integer", "str": "string", "bool": "boolean", "float": "number"}

Shape = TypeVar("Shape", bound=Struct)


def read_fields(given: Mapping[str, Any], shape: type[Shape]) -> Shape:
    """Convert each field by itself, so that all that is wrong is told at once.

    Raises: `HttpProblem` 400.
    """
    known = {each.encode_name: each for each in fields(shape)}
    unknown = (name for name in given if name not in known)
    problems = [
        Problem(_shown(name), f"is not known here{_suggestion(name, known)}")
        # Looking for what was meant takes time, and a body may hold a million names.
        for name in islice(unknown, MAX_UNKNOWN)
    ]
    values: dict[str, Any] = {}
    for name, each in known.items():
        if name in given:
            problems.extend(_read_field(each, given[name], values))
        elif each.default is NODEFAULT and each.default_factory is NODEFAULT:
            problems.append(Problem(name, "is missing"))
    if problems:
        raise invalid(*problems)
    return shape(**values)


def _read_field(known: FieldInfo, value: Any, values: dict[str, Any]) -> Iterator[Problem]:
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        yield Problem(known.encode_name, f"has {len(value)} items, more than anything takes here")
        return
    try:
        values[known.name] = msgspec.convert(value, known.type, strict=True)
    except msgspec.ValidationError as error:
        if (words := _words(known.type)) and isinstance(value, str):
            yield Problem(known.encode_name, f"must be one of {', '.join(words)}")
        else:
            yield _problem_of(str(error), known.encode_name)
        return
    except UnicodeEncodeError:
        pass  # a name in an object has a lone surrogate; the walk finds it
    for place in islice(_unstorable(value, known.encode_name), MAX_UNKNOWN):
        yield Problem(place, UNSTORABLE)


def _unstorable(value: Any, place: str) -> Iterator[str]:
    match value:
        case str():
            if not is_storable(value):
                yield place
        case list():
            for n, each in enumerate(value):
                yield from _unstorable(each, f"{place}[{n}]")
        case dict():
            for name, each in value.items():
                if not is_storable(name):
                    yield f"{place}.{_shown(name)}"
                yield from _unstorable(each, f"{place}.{_shown(name)}")
        case _:
            return


def _problem_of(message: str, field: str) -> Problem:
    """Read the path and the reason out of msgspec's message."""
    place = _PLACE.fullmatch(message)
    assert place is not None
    what, path = place["what"], field + (place["where"] or "")
    if missing := _MISSING.fullmatch(what):
        return Problem(f"{path}.{missing['name']}", "is missing")
    if unknown := _UNKNOWN.fullmatch(what):
        return Problem(f"{path}.{_shown(unknown['name'])}", "is not known here")
    if wrong := _WRONG_TYPE.fullmatch(what):
        return Problem(
            path, f"must be {_in_words(wrong['wanted'])}, not {_in_words(wrong['given'])}"
        )
    return Problem(path, what[:1].lower() + what[1:].replace("`", ""))


def _words(annotation: Any) -> list[str]:
    """List the words a field takes, if it takes certain words only."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return [word for inner in get_args(annotation) for word in _words(inner)]
    return []


def _in_words(types: str) -> str:
    return " or ".join(_JSON_WORDS.get(word, word) for word in types.split(" | "))


def _shown(name: str) -> str:
    """Cut a name that somebody else chose, and keep it printable."""
    text = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _suggestion(name: str, known: Mapping[str, FieldInfo]) -> str:
    close = difflib.get_close_matches(name[:MAX_NAME], known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
