"""The gateways that the settings name."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, assert_never

import anyio

from meeting_core.model import UNCALIBRATED, UNKNOWN_MODEL, TokenFactors, uniform
from meeting_service.gateways.anthropic import Anthropic
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.gateways.script_file import faults_by_task, load_script
from meeting_service.gateways.scripted import Scripted
from meeting_service.gateways.tokenize_probe import TokenizeProbe
from meeting_service.http_proxy import proxy_for
from meeting_service.ports import Gateway, Gateways
from meeting_service.runtime.rate_limiter import CallRules
from meeting_service.runtime.token_learning import KnownGateway
from meeting_service.settings import (
    AnthropicGateway,
    CallBounds,
    CustomGateway,
    GatewaySettings,
    OpenAICompatibleGateway,
    RemoteGateway,
    ScriptedGateway,
    SettingsError,
)


@asynccontextmanager
async def open_gateways(
    settings: Mapping[str, GatewaySettings], custom: Mapping[str, Gateway]
) -> AsyncIterator[Gateways]:
    """Make every gateway that the settings name; those of kind `custom` are given.

    Raises: `SettingsError` for one that can never work, and for a custom one that is not given or
    not named.
    """
    gateways: dict[str, Gateway] = {}
    try:
        for name in custom.keys() - settings.keys():
            raise SettingsError(
                f'gateways.{name}: is given, but not in the settings: kind = "custom"'
            )
        for name, each in settings.items():
            try:
                gateways[name] = _gateway(each, custom.get(name))
            except ValueError as error:
                raise SettingsError(f"gateways.{name}: {error}") from error
        yield gateways
    finally:
        with anyio.CancelScope(shield=True):
            for gateway in gateways.values():
                await gateway.aclose()


def known_gateways(settings: Mapping[str, GatewaySettings]) -> dict[str, KnownGateway]:
    """Give what the settings say of how each gateway's models count tokens."""
    return {
        name: KnownGateway(_start(each), _probe(each))
        for name, each in settings.items()
        if isinstance(each, RemoteGateway)
    }


def _start(settings: RemoteGateway) -> TokenFactors:
    factor = settings.token_factor
    return UNKNOWN_MODEL if factor is None else uniform(round(factor * UNCALIBRATED))


def _probe(settings: RemoteGateway) -> TokenizeProbe | None:
    if settings.tokenize_url is None:
        return None
    proxy = proxy_for(settings.tokenize_url, os.environ, settings.proxy)
    return TokenizeProbe(
        settings.tokenize_url,
        api_key=settings.api_key or "",
        headers=settings.headers,
        query=settings.query,
        auth_header=settings.auth_header,
        ca_file=settings.ca_file,
        proxy=None if proxy is None else proxy.url,
    )


def call_rules(settings: Mapping[str, GatewaySettings]) -> dict[str, CallRules]:
    """Give every gateway's bounds, by its name."""
    return {
        name: CallRules(each.max_calls_at_once, each.max_calls_per_minute)
        for name, each in settings.items()
    }


def _gateway(settings: GatewaySettings, custom: Gateway | None) -> Gateway:
    if custom is not None and not isinstance(settings, CustomGateway):
        raise ValueError(f"is given, but its kind is {settings.kind!r}, not 'custom'")
    match settings:
        case CustomGateway() if custom is not None:
            return custom
        case CustomGateway():
            raise ValueError("is custom: start the service by a program that gives this gateway")
        case ScriptedGateway():
            return _scripted(settings)
        case OpenAICompatibleGateway():
            return OpenAICompatible(**_arguments(settings))
        case AnthropicGateway():
            return Anthropic(**_arguments(settings))
        case _:
            assert_never(settings)


def _scripted(settings: ScriptedGateway) -> Scripted:
    script = load_script(settings.replies_file) if settings.replies_file is not None else None
    return Scripted(
        seed=settings.seed,
        script=script,
        faults=faults_by_task(settings.faults),
        fault_probability=settings.fault_probability,
        delay_seconds=settings.delay_seconds,
        chunk_delay_seconds=settings.chunk_delay_seconds,
        words_per_delta=settings.words_per_delta,
        reports_usage=settings.reports_usage,
        unreachable_file=settings.unreachable_file,
    )


def _arguments(settings: OpenAICompatibleGateway | AnthropicGateway) -> dict[str, Any]:
    """Give the arguments that a gateway to a server takes by the names of their settings."""
    not_arguments = {
        *("api_key_env", "api_key_file", "token_factor", "tokenize_url"),
        *CallBounds.__struct_fields__,
    }
    names = [each for each in settings.__struct_fields__ if each not in not_arguments]
    proxy = proxy_for(settings.base_url, os.environ, settings.proxy)
    given = {"api_key": settings.api_key or "", "proxy": None if proxy is None else proxy.url}
    return {**{name: getattr(settings, name) for name in names}, **given}
