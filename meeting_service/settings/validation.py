"""Checks across settings, and API keys read from the environment or from files."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import assert_never
from urllib.parse import urlsplit

from msgspec import structs

from meeting_core.model import MAX_FALLBACK_MODELS, Limits
from meeting_service.http_proxy import UnusableProxy, proxy_for
from meeting_service.settings.gateways import (
    AnthropicGateway,
    CustomGateway,
    GatewaySettings,
    OpenAICompatibleGateway,
    RemoteGateway,
    ScriptedGateway,
    Secret,
)
from meeting_service.settings.http_addresses import http_address_problem, without_secrets
from meeting_service.settings.model import Settings, SettingsError
from meeting_service.settings.proxies import is_path_prefix, networks_of
from meeting_service.text_input import UnreadableText, clean_key, read_text

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TIMEOUTS = (
    "attempt_timeout_seconds",
    "turn_timeout_seconds",
    "synthesis_timeout_seconds",
    "meeting_timeout_seconds",
    "gateway_reconnect_timeout_seconds",
)


def check_settings(settings: Settings, sources: Mapping[str, str], otherwise: str) -> None:
    """Check that settings can work together.

    Shape: `sources` says where a top-level setting was read from, `otherwise` where to add one.
    Raises: `SettingsError` with the first problem.
    """
    for problem in _problems(settings):
        name = re.split(r"[.:]", problem, maxsplit=1)[0]
        raise SettingsError(f"{sources.get(name, otherwise)}: {problem}")


def with_api_keys(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return settings with every API key filled in; check that replies files exist.

    Raises: `SettingsError`.
    """
    gateways = {
        name: _with_api_key(name, gateway, environ) for name, gateway in settings.gateways.items()
    }
    return structs.replace(settings, gateways=gateways)


def _problems(settings: Settings) -> Iterator[str]:
    yield from _folder_problems(settings)
    if settings.direct_database_url is not None and settings.database_url is None:
        yield (
            "direct_database_url: is set without database_url; the address through the pooler goes "
            "there, or this one if there is no pooler"
        )
    yield from _gateway_problems(settings)
    yield from _agent_problems(settings)
    yield from _limit_problems(settings.limits)
    yield from _timeout_problems(settings)
    yield from _proxy_problems(settings)
    if settings.url is not None and (wrong := http_address_problem(settings.url)):
        yield f"url: is {without_secrets(settings.url)!r}; it {wrong}"


def _folder_problems(settings: Settings) -> Iterator[str]:
    for name, folder in (("output_dir", settings.output_dir), ("data_dir", settings.data_dir)):
        # Those of pathlib fail for a folder that this user may not look into.
        if folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
            yield f"{name}: {folder} is not a folder; name a folder, existing or new"


def _proxy_problems(settings: Settings) -> Iterator[str]:
    if settings.root_path and not is_path_prefix(settings.root_path):
        yield (
            f"root_path: is {settings.root_path!r}; write a path such as /meetings, of letters, "
            "digits, '-', '_' and '.', without a '/' at its end"
        )
    for each in settings.trusted_proxies:
        try:
            networks_of([each])
        except ValueError:
            yield f"trusted_proxies: {each!r} is no address and no network such as 10.0.0.0/8"


def _gateway_problems(settings: Settings) -> Iterator[str]:
    names = ", ".join(settings.gateways)
    if not settings.default_gateway:
        yield f"default_gateway: is missing with several gateways ({names}); name one of them"
    elif settings.default_gateway not in settings.gateways:
        yield f"default_gateway: is {settings.default_gateway!r}; the gateways are {names}"
    for name, gateway in settings.gateways.items():
        at = f"gateways.{name}"
        if not _ID.fullmatch(name):
            yield f"{at}: is no name; use letters, digits, '_', '.' and '-'"
        if not isinstance(gateway, RemoteGateway):
            continue
        if wrong := http_address_problem(gateway.base_url):
            yield f"{at}.base_url: {wrong}"
        elif urlsplit(gateway.base_url).username is not None:
            yield f"{at}.base_url: must not hold credentials; name their variable: api_key_env"
        try:
            proxy_for(gateway.base_url, {}, gateway.proxy)
        except UnusableProxy as error:
            yield f'{at}.proxy: {error}, or "none" or "environment"'
        yield from _tokenize_url_problems(f"{at}.tokenize_url", gateway.tokenize_url)
        if gateway.api_key_env is not None and gateway.api_key_file is not None:
            yield f"{at}: has both api_key_env and api_key_file; keep one"


def _tokenize_url_problems(at: str, url: str | None) -> Iterator[str]:
    if url is None:
        return
    if wrong := http_address_problem(url):
        yield f"{at}: {wrong}"
    elif urlsplit(url).username is not None:
        yield f"{at}: must not hold credentials; the gateway's API key is sent"


def _agent_problems(settings: Settings) -> Iterator[str]:
    for agent_id, agent in settings.agents.items():
        at = f"agents.{agent_id}"
        if not _ID.fullmatch(agent_id):
            yield f"{at}: is no id; use 1 to 64 letters, digits, '_', '.' or '-'"
        name = agent.gateway or settings.default_gateway
        gateway = settings.gateways.get(name)
        if gateway is None:
            yield f"{at}.gateway: is {name!r}; the gateways are {', '.join(settings.gateways)}"
        elif isinstance(gateway, RemoteGateway) and not (agent.model or gateway.model):
            yield f"{at}.model: is missing; name a model here or in [gateways.{name}]"
        length, max_length = len(agent.instructions), settings.limits.max_instructions_characters
        if length > max_length:
            yield f"{at}.instructions: is {length} characters long; at most {max_length} may be"
        if len(agent.fallback_models) > MAX_FALLBACK_MODELS:
            yield f"{at}.fallback_models: names more than {MAX_FALLBACK_MODELS} models"
        if not all(model.strip() for model in agent.fallback_models):
            yield f"{at}.fallback_models: has an empty name; name models only"


def _limit_problems(limits: Limits) -> Iterator[str]:
    for name in Limits.__struct_fields__:
        minimum = 2 if name == "max_participants" else 1
        # Written so that NaN is refused too.
        if not getattr(limits, name) >= minimum:
            yield f"limits.{name}: is {getattr(limits, name)}; it must be at least {minimum}"


def _timeout_problems(settings: Settings) -> Iterator[str]:
    max_timeout = settings.limits.max_timeout_seconds
    for name in _TIMEOUTS:
        if (getattr(settings, name) or 0) > max_timeout:
            yield f"{name}: is above limits.max_timeout_seconds ({max_timeout:g}); change either"
    attempt, turn = settings.attempt_timeout_seconds, settings.turn_timeout_seconds
    synthesis, meeting = settings.synthesis_timeout_seconds, settings.meeting_timeout_seconds
    if attempt is not None and attempt > turn:
        yield (
            f"attempt_timeout_seconds: is {attempt:g}, longer than a whole turn may take "
            f"(turn_timeout_seconds, {turn:g}); lower it or raise that"
        )
    min_meeting = 2 * turn + synthesis
    if meeting < min_meeting:
        yield (
            f"meeting_timeout_seconds: is {meeting:g}, but the shortest meeting (two turns and the "
            f"synthesis: 2 x {turn:g} + {synthesis:g}) may take {min_meeting:g}; raise it or lower "
            "those"
        )


def _with_api_key(
    name: str, gateway: GatewaySettings, environ: Mapping[str, str]
) -> GatewaySettings:
    match gateway:
        case ScriptedGateway():
            if gateway.replies_file is not None and not os.path.isfile(gateway.replies_file):
                raise SettingsError(
                    f"gateways.{name}.replies_file: {gateway.replies_file} is not there"
                )
            return gateway
        case CustomGateway():
            return gateway
        case OpenAICompatibleGateway() | AnthropicGateway():
            key = _api_key(name, gateway, environ)
            return gateway if key is None else structs.replace(gateway, api_key=key)
        case _:
            assert_never(gateway)


def _api_key(name: str, gateway: RemoteGateway, environ: Mapping[str, str]) -> Secret | None:
    if gateway.api_key_env is not None:
        variable = gateway.api_key_env
        value = _key("environment", variable, environ.get(variable, ""))
        if not value:
            raise SettingsError(
                f"environment: {variable} is not set; [gateways.{name}] takes its "
                f"API key from it: export {variable}=..."
            )
        return value
    if gateway.api_key_file is not None:
        return _key_in_file(f"gateways.{name}.api_key_file", gateway.api_key_file)
    return None


def _key_in_file(at: str, path: Path) -> Secret:
    try:
        content = read_text(path)
    except OSError as error:
        raise SettingsError(f"{at}: {path} cannot be read: {error.strerror}") from error
    except UnreadableText as error:
        raise SettingsError(f"{at}: {path} {error}") from error
    value = _key(at, str(path), content)
    if not value:
        raise SettingsError(f"{at}: {path} is empty; put the API key in it")
    return value


def _key(at: str, holder: str, text: str) -> Secret:
    try:
        return Secret(clean_key(text))
    except ValueError as error:
        raise SettingsError(f"{at}: {holder} {error}; put only the key in it") from None
