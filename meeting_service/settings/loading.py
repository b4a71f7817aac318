"""Loading settings: defaults < TOML file < environment < flags; errors name the wrong setting."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields, replace

from meeting_core.model import Limits
from meeting_service.database_address.parsing import normalized, parse_address
from meeting_service.settings.gateways import GATEWAY_KINDS, GatewaySettings, Secret
from meeting_service.settings.model import (
    DEFAULT_FILE,
    AgentSettings,
    DatabaseUrl,
    Settings,
    SettingsError,
)
from meeting_service.settings.price_list import ModelPriceSettings, PriceList
from meeting_service.settings.validation import check_settings, with_api_keys
from meeting_service.text_input import UnreadableText, clean_value, read_text

ENVIRONMENT_PREFIX = "MEETINGS_"
TABLES = ("limits", "prices", "gateways", "agents")
SCALARS: dict[str, FieldInfo] = {
    known.name: known for known in fields(Settings) if known.name not in TABLES
}
# An API key in a file would be copied with it.
_NOT_IN_FILE = {"api_key": "an API key does not belong in the file; name its variable: api_key_env"}
# They exclude each other: either one in a later layer replaces the other of an earlier layer.
_DATABASE = ("database_url", "data_dir")
VARIABLES = {"DATABASE_URL": "database_url", "DIRECT_DATABASE_URL": "direct_database_url"}
# Their values may hold a password or a key.
_HIDDEN = (
    *("database_url", "direct_database_url", "headers", "query", "extra_body", "proxy"),
    *("url", "base_url", "tokenize_url", "api_key_env", "api_key_file"),
)


def load_settings(
    config: Path | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
    *,
    for_service: bool = True,
) -> Settings:
    """Load all settings; without `config`, from the default file if it exists.

    Shape: `flags` by setting name, None if not given. With `for_service` false, API keys and the
    files that only a running service needs are not read.
    Raises: `SettingsError`.
    """
    path = config if config is not None else DEFAULT_FILE
    tables = _read_file(path, is_wanted=config is not None)
    layers = {
        str(path): tables,
        "environment": _from_environment(environ, tables),
        "command line": _from_flags(flags),
    }
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers.items():
        both = [name for name in _DATABASE if name in layer]
        if len(both) > 1:
            raise SettingsError(
                f"{source}: database_url and data_dir are both set; keep one: data_dir is for "
                "the embedded database"
            )
        if both:
            found = _without_database(found, sources, both[0])
        found.update(layer)
        sources.update(dict.fromkeys(layer, source))
    settings = Settings(**found)
    check_settings(settings, sources, str(path))
    return with_api_keys(settings, environ) if for_service else settings


def _without_database(
    found: Mapping[str, Any], sources: Mapping[str, str], replacement: str
) -> dict[str, Any]:
    """Leave out the database of earlier layers, and the direct address that belongs to it."""
    replaced = set(_DATABASE)
    direct = sources.get("direct_database_url")
    if replacement == "data_dir" or direct == sources.get("database_url"):
        replaced.add("direct_database_url")
    return {name: value for name, value in found.items() if name not in replaced}


def _read_file(path: Path, *, is_wanted: bool) -> dict[str, Any]:
    try:
        raw = tomllib.loads(read_text(path))
    except FileNotFoundError:
        if not is_wanted:
            return {}
        raise SettingsError(f"{path}: no such file; name one that exists with --config") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnreadableText as error:
        raise SettingsError(f"{path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from error
    return _Reader(str(path), path.parent).settings(raw)


def _from_environment(environ: Mapping[str, str], tables: Mapping[str, Any]) -> dict[str, Any]:
    names = {ENVIRONMENT_PREFIX + name.upper(): name for name in SCALARS}
    key_variables = {
        getattr(each, "api_key_env", None) for each in tables.get("gateways", {}).values()
    }
    found: dict[str, Any] = {}
    # Some tools hand on the quotes of an env file. Empty counts as unset: `${VAR:-}` in a compose
    # file must not become a database's name.
    wanted = {name: clean_value(value) for name, value in environ.items() if _is_ours(name)}
    given = {name: value for name, value in wanted.items() if value}
    for variable, name in VARIABLES.items():
        if variable in given:
            found[name] = _converted(given[variable], SCALARS[name], variable)
    for name, value in given.items():
        if name in VARIABLES or name in key_variables:
            continue
        if name not in names:
            raise SettingsError(f"environment: {name} is no setting{_suggest(name, names)}")
        known = SCALARS[names[name]]
        given_value = _items(value) if isinstance(known.default, tuple) else value
        found[known.name] = _converted(given_value, known, name, strict=False)
    return found


def _items(value: str) -> list[str]:
    """Return the items of a list in a variable, which are separated by commas or blanks."""
    return [clean_value(item) for item in re.split(r"[,\s]+", value) if clean_value(item)]


def _is_ours(name: str) -> bool:
    return name.startswith(ENVIRONMENT_PREFIX) or name in VARIABLES


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in flags.items():
        if value is not None:
            found[name] = _converted(value, SCALARS[name], "--" + name.replace("_", "-"))
    return found


class _Reader:
    """Reads the tables of one file; paths in it are relative to the folder of the file."""

    def __init__(self, source: str, folder: Path) -> None:
        self.source = source
        self.folder = folder

    def settings(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        plain = {name: value for name, value in raw.items() if name not in TABLES}
        self._check_names("", plain, [*SCALARS, *TABLES])
        found = {name: self._value("", SCALARS[name], value) for name, value in plain.items()}
        if "limits" in raw:
            found["limits"] = self._table("limits", Limits, raw["limits"])
        if "prices" in raw:
            found["prices"] = self._prices(raw["prices"])
        if "gateways" in raw:
            found["gateways"] = {
                name: self._gateway(f"gateways.{name}", table)
                for name, table in self._entries("gateways", raw["gateways"])
            }
        if "agents" in raw:
            found["agents"] = {
                name: self._table(f"agents.{name}", AgentSettings, table)
                for name, table in self._entries("agents", raw["agents"])
            }
        return found

    def _entries(self, at: str, raw: Any) -> Iterable[tuple[str, Any]]:
        if not isinstance(raw, Mapping) or not raw:
            raise SettingsError(f"{self.source}: {at}: is no table; write [{at}.NAME] tables")
        return raw.items()

    def _gateway(self, at: str, raw: Any) -> GatewaySettings:
        table = dict(raw) if isinstance(raw, Mapping) else {}
        kind = table.pop("kind", None)
        if kind not in GATEWAY_KINDS:
            kinds = " or ".join(f'kind = "{known}"' for known in GATEWAY_KINDS)
            given = "is missing" if kind is None else f"is {kind!r}"
            raise SettingsError(f"{self.source}: {at}.kind: {given}; write {kinds}")
        gateway: GatewaySettings = self._table(at, GATEWAY_KINDS[kind], table)
        return gateway

    def _prices(self, raw: Any) -> PriceList:
        plain = dict(raw) if isinstance(raw, Mapping) else raw
        models = {}
        if isinstance(plain, dict) and "models" in plain:
            models = {
                name: self._table(f"prices.models.{name}", ModelPriceSettings, table)
                for name, table in self._entries("prices.models", plain.pop("models"))
            }
        prices: PriceList = self._table("prices", PriceList, plain)
        return replace(prices, models=models)

    def _table(self, at: str, struct: type[Struct], raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise SettingsError(f"{self.source}: {at}: is no table; write [{at}]")
        known = {each.name: each for each in fields(struct)}
        for name, remedy in _NOT_IN_FILE.items():
            if name in raw:
                raise SettingsError(f"{self.source}: {at}.{name}: {remedy}")
        self._check_names(f"{at}.", raw, known)
        for name, each in known.items():
            is_required = each.default is NODEFAULT and each.default_factory is NODEFAULT
            if is_required and name not in raw:
                raise SettingsError(f"{self.source}: {at}.{name}: is missing; add it")
        values = {name: self._value(f"{at}.", known[name], value) for name, value in raw.items()}
        return struct(**values)

    def _check_names(self, at: str, raw: Mapping[str, Any], known: Iterable[str]) -> None:
        names = list(known)
        for name in raw:
            if name not in names:
                raise SettingsError(
                    f"{self.source}: {at}{name}: is no setting{_suggest(name, names)}"
                )

    def _value(self, at: str, known: FieldInfo, value: Any) -> Any:
        converted = _converted(value, known, f"{self.source}: {at}{known.name}")
        return self.folder / converted if isinstance(converted, Path) else converted


def _converted(value: Any, known: FieldInfo, where: str, *, strict: bool = True) -> Any:
    """Convert a value to its type. Raises: `SettingsError` beginning with `where`."""
    try:
        return msgspec.convert(value, known.type, strict=strict, dec_hook=_decode)
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "")
        problem = problem[:1].lower() + problem[1:]
        if choices := _choices(known.type):
            problem = f"must be {' or '.join(choices)}"
        plain = str(value) if isinstance(value, Path) else value
        shown = "" if known.name in _HIDDEN else f"is {plain!r}; "
        raise SettingsError(f"{where}: {shown}{problem}{_example(known)}") from None


def _choices(annotation: Any) -> list[str]:
    """Return the values a setting accepts, or an empty list if it is no enumeration."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return list(annotation)
    return [word for inner in get_args(annotation) for word in _choices(inner)]


def _example(known: FieldInfo) -> str:
    if isinstance(known.default, bool):
        return f"; for instance {known.name} = {str(known.default).lower()}"
    if isinstance(known.default, int | float) or (isinstance(known.default, str) and known.default):
        return f"; for instance {known.name} = {json.dumps(known.default)}"
    return ""


def _decode(wanted: type, value: Any) -> Any:
    if not isinstance(value, str | Path):
        raise ValueError(f"expected text, got {type(value).__name__}")  # noqa: TRY004
    if wanted is Path:
        return _expanded(Path(value))
    if wanted is Secret:
        return Secret(value)
    if wanted is DatabaseUrl:
        parse_address(str(value))
        return DatabaseUrl(normalized(str(value)))
    raise NotImplementedError(f"no way to read a {wanted.__name__}")


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("names a home folder that is not known here; write the path out") from None


def _suggest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; the settings are {', '.join(sorted(names))}"
