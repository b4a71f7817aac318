"""Tables of a file as structs, read strictly; errors name the wrong field."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from meeting_service.simulation.lengths import MAX_TOKENS, Length, WrittenLength
from meeting_service.simulation.plan import PlanError

_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<where>[^`]*)`)?", re.DOTALL)

Row = TypeVar("Row", bound=Struct)


class Tables:
    """Reads the tables of one file.

    Raises: `PlanError` from every method, for the first thing that is wrong.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def refuse(self, at: str, problem: str) -> PlanError:
        """Return the error about a field."""
        return PlanError(f"{self._source}: {at}: {problem}")

    def table(self, at: str, raw: Any) -> Mapping[str, Any]:
        """Return a value that is a table."""
        if not isinstance(raw, Mapping):
            raise self.refuse(at, f"is no table; write [{at}]")
        return raw

    def check_names(self, at: str, given: Iterable[str], known: Iterable[str]) -> None:
        """Check that every name is known."""
        names = list(known)
        for name in given:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
                raise self.refuse(joined(at, name), f"is not known here; {hint}")

    def struct(self, at: str, struct_type: type[Row], raw: Any, base: Row | None = None) -> Row:
        """Read a table; fields it leaves out are those of `base`, or the defaults."""
        given, known = self.table(at, raw), {each.name: each for each in fields(struct_type)}
        self.check_names(at, given, known)
        values = {} if base is None else {name: getattr(base, name) for name in known}
        for name, each in known.items():
            if name in given:
                values[name] = self.value(joined(at, name), each.type, given[name])
            elif each.required and each.default is NODEFAULT and name not in values:
                raise self.refuse(joined(at, name), "is missing; add it")
        return struct_type(**values)

    def value(self, at: str, wanted: Any, raw: Any) -> Any:
        """Read one value, as strictly as a start body is read."""
        if wanted == Length:
            return self.length(at, raw)
        try:
            return msgspec.convert(raw, wanted, strict=True)
        except msgspec.ValidationError as error:
            place = _PLACE.fullmatch(str(error))
            assert place is not None
            what = place["what"].replace("`", "")
            if get_origin(wanted) is Literal:
                *others, last = get_args(wanted)
                what = f"must be {', '.join(others)} or {last}"
            shown = "" if isinstance(raw, Mapping | list) else f"is {raw!r}; "
            raise self.refuse(
                at + (place["where"] or ""), f"{shown}{what[:1].lower()}{what[1:]}"
            ) from None

    def length(self, at: str, raw: Any) -> Length:
        """Read the lengths of replies: a number, or a table for a distribution."""
        try:
            if not isinstance(raw, Mapping):
                found: int = self.value(at, int, raw)
                return _checked(found)
            written: WrittenLength = self.value(at, WrittenLength, raw)
            return written.length()
        except ValueError as error:
            raise self.refuse(at, str(error)) from None


def joined(at: str, name: str) -> str:
    """Return the path of a field."""
    return f"{at}.{name}" if at else name


def _checked(tokens: int) -> int:
    if not 1 <= tokens <= MAX_TOKENS:
        raise ValueError(f"is {tokens}; it must be between 1 and {MAX_TOKENS}")
    return tokens
