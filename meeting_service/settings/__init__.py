"""The service's settings: defaults, then `meetings.toml`, then the environment, then flags."""

from meeting_service.settings.gateways import (
    AnthropicGateway,
    CallBounds,
    CustomGateway,
    GatewaySettings,
    OpenAICompatibleGateway,
    RemoteGateway,
    ScriptedGateway,
    Secret,
)
from meeting_service.settings.loading import load_settings
from meeting_service.settings.model import (
    DEFAULT_AGENTS,
    DEFAULT_FILE,
    AgentSettings,
    DatabaseUrl,
    Settings,
    SettingsError,
)
from meeting_service.settings.price_list import ModelPriceSettings, PriceList
from meeting_service.settings.proxies import is_path_prefix, networks_of
from meeting_service.settings.reference_rows import SettingDescription, describe_settings

__all__ = [
    "DEFAULT_AGENTS",
    "DEFAULT_FILE",
    "AgentSettings",
    "AnthropicGateway",
    "CallBounds",
    "CustomGateway",
    "DatabaseUrl",
    "GatewaySettings",
    "ModelPriceSettings",
    "OpenAICompatibleGateway",
    "PriceList",
    "RemoteGateway",
    "ScriptedGateway",
    "Secret",
    "SettingDescription",
    "Settings",
    "SettingsError",
    "describe_settings",
    "is_path_prefix",
    "load_settings",
    "networks_of",
]
