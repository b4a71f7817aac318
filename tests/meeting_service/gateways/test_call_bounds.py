"""What the settings say about how much gateways may be asked, and an outage that is played."""

from functools import partial
from pathlib import Path

import pytest

from meeting_service.app.gateways import call_rules, open_gateways
from meeting_service.ports import Unavailable
from meeting_service.runtime.rate_limiter import CallRules
from meeting_service.settings import SettingsError, load_settings
from tests.contracts.gateway_cases import fault_of, ignore, request

pytestmark = pytest.mark.anyio

SETTINGS = """
max_calls_at_once = 40
default_gateway = "free"

[gateways.free]
kind = "scripted"
unreachable_file = "away"

[gateways.bounded]
kind = "openai_compatible"
base_url = "http://127.0.0.1:9/v1"
max_calls_at_once = 3
max_calls_per_minute = 20

[gateways.rated]
kind = "anthropic"
max_calls_per_minute = 7
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "meetings.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


async def test_every_gateway_has_the_bounds_that_the_settings_give_it(config: Path) -> None:
    settings = load_settings(config, {}, {})
    assert settings.max_calls_at_once == 40
    assert call_rules(settings.gateways) == {
        "free": CallRules(None, None),
        "bounded": CallRules(3, 20),
        "rated": CallRules(None, 7),
    }
    async with open_gateways(settings.gateways, {}) as gateways:
        assert len({gateways[name] for name in settings.gateways}) == 3


@pytest.mark.parametrize("name", ["max_calls_at_once", "max_calls_per_minute"])
def test_no_bound_is_said_by_leaving_it_out_and_not_by_nought(tmp_path: Path, name: str) -> None:
    config = tmp_path / "meetings.toml"
    config.write_text(f'[gateways.main]\nkind = "scripted"\n{name} = 0\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=name):
        load_settings(config, {}, {})


async def test_a_scripted_gateway_is_unreachable_while_the_file_beside_the_settings_is_there(
    config: Path,
) -> None:
    async with open_gateways(load_settings(config, {}, {}).gateways, {}) as gateways:
        gateway = gateways["free"]
        await gateway.probe()
        (config.parent / "away").touch()
        for ask in (gateway.probe, partial(gateway.complete, request(), ignore)):
            fault = await fault_of(ask)
            assert isinstance(fault, Unavailable)
            assert fault.is_unreachable
        (config.parent / "away").unlink()
        await gateway.probe()
        assert (await gateway.complete(request(), ignore)).text
