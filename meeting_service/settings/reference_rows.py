"""Every setting as a row, for the reference page."""

import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo, fields

from meeting_core.model import Limits
from meeting_service.settings.gateways import GATEWAY_KINDS
from meeting_service.settings.loading import ENVIRONMENT_PREFIX, SCALARS
from meeting_service.settings.model import AgentSettings
from meeting_service.settings.price_list import ModelPriceSettings, PriceList


class SettingDescription(Struct, frozen=True):
    """One setting, in words.

    Shape: `table` is empty for what stands above every table of the file; `default` is as written
    in the file, empty where there is none; `environment` is empty for what only the file can hold.
    """

    table: str
    name: str
    type: str
    default: str
    environment: str
    text: str


def describe_settings() -> tuple[SettingDescription, ...]:
    """List every setting there is, in the order of the reference page."""
    return tuple(_rows())


def _rows() -> Iterator[SettingDescription]:
    for known in SCALARS.values():
        variable = ENVIRONMENT_PREFIX + known.name.upper()
        also = ", DATABASE_URL" if known.name == "database_url" else ""
        yield _row("", known, variable + also)
    for known in fields(Limits):
        words = known.name.removeprefix("max_").replace("_", " ")
        yield _row("[limits]", known, "", f"Most {words} a meeting may ask for.")
    for known in fields(PriceList):
        if known.name != "models":
            yield _row("[prices]", known, "")
    for known in fields(ModelPriceSettings):
        yield _row('[prices.models."NAME"]', known, "")
    for kind, shape in GATEWAY_KINDS.items():
        table = f'[gateways.NAME] with kind = "{kind}"'
        yield SettingDescription(table, "kind", f'"{kind}"', "", "", (shape.__doc__ or "").strip())
        for known in fields(shape):
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
    least = [m for meta in _metas(annotation) for m in (meta.ge, meta.gt) if m is not None]
    above = any(meta.gt is not None for meta in _metas(annotation))
    most = [meta.le for meta in _metas(annotation) if meta.le is not None]
    # The tightest bound counts, as it does when a value is read.
    bounds = [f"{'above' if above and max(least) == 0 else 'from'} {max(least):g}"] if least else []
    bounds += [f"to {min(most):g}"] if most else []
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
