"""Every setting as a row of the reference page."""

import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo, fields

from meeting_core.model import Limits
from meeting_service.settings.gateways import GATEWAY_KINDS
from meeting_service.settings.loading import ENVIRONMENT_PREFIX, SCALARS, VARIABLES
from meeting_service.settings.model import AgentSettings
from meeting_service.settings.price_list import ModelPriceSettings, PriceList


class SettingDescription(Struct, frozen=True):
    """One setting, described.

    Shape: `table` is empty for settings above the first table of the file; `default` is as written
    in the file, empty if there is none; `environment` is empty for settings of the file alone.
    """

    table: str
    name: str
    type: str
    default: str
    environment: str
    text: str


def describe_settings() -> tuple[SettingDescription, ...]:
    """List every setting in the order of the reference page."""
    return tuple(_rows())


def _rows() -> Iterator[SettingDescription]:
    for known in SCALARS.values():
        variable = ENVIRONMENT_PREFIX + known.name.upper()
        also = "".join(f", {other}" for other, name in VARIABLES.items() if name == known.name)
        yield _row("", known, variable + also)
    for known in fields(Limits):
        words = known.name.removeprefix("max_").replace("_", " ")
        yield _row("[limits]", known, "", f"Most {words} a meeting may ask for.")
    for known in fields(PriceList):
        if known.name != "models":
            yield _row("[prices]", known, "")
    for known in fields(ModelPriceSettings):
        yield _row('[prices.models."NAME"]', known, "")
    for kind, struct in GATEWAY_KINDS.items():
        table = f'[gateways.NAME] with kind = "{kind}"'
        yield SettingDescription(table, "kind", f'"{kind}"', "", "", (struct.__doc__ or "").strip())
        for known in fields(struct):
            if known.name != "api_key":
                yield _row(table, known, "")
    for known in fields(AgentSettings):
        yield _row("[agents.ID]", known, "")


def _row(table: str, known: FieldInfo, environment: str, text: str = "") -> SettingDescription:
    return SettingDescription(
        table=table,
        name=known.name,
        type=_type_name(known.type),
        default=_written(known.default),
        environment=environment,
        text=text or _description(known.type),
    )


def _metas(annotation: Any) -> list[Meta]:
    if get_origin(annotation) is not Annotated:
        return []
    return [extra for extra in get_args(annotation)[1:] if isinstance(extra, Meta)]


def _description(annotation: Any) -> str:
    return next((meta.description for meta in _metas(annotation) if meta.description), "")


def _type_name(annotation: Any) -> str:
    name = _plain_name(annotation)
    lower = [m for meta in _metas(annotation) for m in (meta.ge, meta.gt) if m is not None]
    is_exclusive = any(meta.gt is not None for meta in _metas(annotation))
    upper = [meta.le for meta in _metas(annotation) if meta.le is not None]
    # The tightest bound counts, as it does when a value is read.
    bounds = (
        [f"{'above' if is_exclusive and max(lower) == 0 else 'from'} {max(lower):g}"]
        if lower
        else []
    )
    bounds += [f"to {min(upper):g}"] if upper else []
    return f"{name}, {' '.join(bounds)}" if bounds else name


def _plain_name(annotation: Any) -> str:
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Annotated:
        return _plain_name(arguments[0])
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_plain_name(each) for each in arguments if each is not type(None))
    if origin is not None and issubclass(origin, Mapping):
        return "table"
    if origin is tuple:
        return f"list of {_plain_name(arguments[0])}s"
    names = {bool: "true or false", int: "integer", float: "number", Path: "path"}
    return names.get(annotation, "text")


def _written(default: Any) -> str:
    if default is NODEFAULT or default is None or default in ("", {}, ()):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f'"{default}"' if isinstance(default, str | Path) else str(default)
