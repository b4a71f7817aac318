"""The page of types: everything that stands in a field, and the page that explains each name."""

from collections.abc import Iterable, Mapping
from enum import EnumType
from types import ModuleType
from typing import Any, get_args

from generator.markdown import code, linked, names_in, page, prose, table, typed
from generator.source import aliases_of, fields_of, text_of

import meeting_core
from meeting_core import errors, minutes
from meeting_core.budget import allowance, spending_report
from meeting_core.model import (
    accounting,
    commands,
    configuration,
    events,
    meeting,
    prices,
    transcript,
    values,
)
from meeting_core.steps import step

FACTS: tuple[type[Any], ...] = get_args(events.Fact)
COMMANDS: tuple[type[Any], ...] = get_args(commands.Command)

_MODULES: tuple[ModuleType, ...] = (
    values,
    configuration,
    accounting,
    prices,
    transcript,
    meeting,
    allowance,
    minutes,
    spending_report,
)
_ALIASES = {name: found for module in _MODULES for name, found in aliases_of(module).items()}
_ELSEWHERE = {
    **{each.__name__: f"events.md#{each.__name__.lower()}" for each in FACTS},
    **{each.__name__: f"commands.md#{each.__name__.lower()}" for each in COMMANDS},
    **{each.__name__: f"core-api.md#{each.__name__.lower()}" for each in get_args(step.Step)},
    "Meeting": "core-api.md#meeting",
    "Brief": "core-api.md#brief",
    "Message": "core-api.md#message",
    "Problem": "core-api.md#problem",
    "MeetingEvent": "events.md#meetingevent",
    "Fact": "events.md",
    "Command": "commands.md",
    **{name: "errors.md" for name in vars(errors) if name in str(errors.__doc__)},
}


def types_page() -> str:
    """Return the page."""
    intro = (
        "The types in the fields of [events](events.md), [commands](commands.md) and "
        "[the names of meeting_core](core-api.md). A type that is a `Literal` or an enumeration is "
        "a text in JSON, a time is RFC 3339 in UTC."
    )
    return page("Types", intro, *(f"## {name}\n\n{_type(name)}" for name in sorted(TYPES)))


def struct(described: type) -> str:
    """Describe a struct: what it means, and its fields."""
    rows = [
        (code(field.name), typed(field.type, PLACES), code(field.default) or "required")
        for field in fields_of(described)
    ]
    return f"{prose(text_of(described))}\n\n{table(('field', 'type', 'default'), rows)}".strip()


def one_of(members: Iterable[Any]) -> str:
    """List words, or types by name."""
    names = (getattr(each, "__name__", each) for each in members)
    return f"One of {', '.join(linked(name, PLACES) for name in names)}."


def _type(name: str) -> str:
    kind = _find(name)
    if name in _ALIASES:
        return _alias(name, kind)
    if isinstance(kind, EnumType):
        return f"{prose(text_of(kind))}\n\n{one_of(kind)}"
    notes = []
    if kind.__struct_config__.tag is not None:
        notes.append(f'In JSON an object whose `type` is `"{kind.__struct_config__.tag}"`.')
    if kind.__struct_config__.array_like:
        notes.append("In JSON an array of the fields in this order.")
    return "\n\n".join((struct(kind), *notes))


def _alias(name: str, kind: Any) -> str:
    written, text = _ALIASES[name]
    if written.startswith("Literal"):
        meaning = one_of(get_args(kind))
    elif written.startswith("NewType"):
        meaning = f"An `{kind.__supertype__.__name__}` of its own type."
    else:
        meaning = f"{typed(written, PLACES)}."
    return f"{text}\n\n{meaning}" if text else meaning


def _find(name: str) -> Any:
    return next((vars(module)[name] for module in _MODULES if name in vars(module)), None)


def _used_by(structs: Iterable[type]) -> set[str]:
    """Return the names of our types in the fields of structs, recursively."""
    found: set[str] = set()
    waiting = [field.type for described in structs for field in fields_of(described)]
    while waiting:
        for name in names_in(waiting.pop()):
            kind = _find(name)
            if name in found or name in _ELSEWHERE or not _is_ours(name, kind):
                continue
            found.add(name)
            if name in _ALIASES:
                waiting.append(_ALIASES[name][0])
            elif not isinstance(kind, EnumType):
                waiting.extend(field.type for field in fields_of(kind))
    return found


def _is_ours(name: str, kind: Any) -> bool:
    return name in _ALIASES or str(getattr(kind, "__module__", "")).startswith("meeting_core")


def _public_structs() -> list[type]:
    public = (getattr(meeting_core, name) for name in meeting_core.__all__)
    return [each for each in public if hasattr(each, "__struct_fields__")]


TYPES = _used_by([*FACTS, *COMMANDS, *_public_structs(), minutes.MinutesParts]) | {"MinutesParts"}
PLACES: Mapping[str, str] = {**{name: f"types.md#{name.lower()}" for name in TYPES}, **_ELSEWHERE}
