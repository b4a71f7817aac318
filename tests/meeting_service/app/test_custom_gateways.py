"""Gateways that the program which starts the service gives."""

import pytest

from meeting_service.app.gateways import open_gateways
from meeting_service.gateways.scripted import Scripted
from meeting_service.settings import CustomGateway, GatewaySettings, ScriptedGateway, SettingsError

pytestmark = pytest.mark.anyio

CUSTOM = CustomGateway()


async def test_a_custom_gateway_is_the_one_that_is_given():
    given = Scripted()
    async with open_gateways({"mine": CUSTOM, "other": ScriptedGateway()}, {"mine": given}) as made:
        assert made["mine"] is given
        assert made["other"] is not given


@pytest.mark.parametrize(
    ("named", "given", "problem"),
    [
        ({"mine": CUSTOM}, {}, "gateways.mine: is custom: start the service by a program"),
        (
            {"mine": CUSTOM},
            {"mien": Scripted()},
            "gateways.mien: is given, but not in the settings",
        ),
        ({"mine": ScriptedGateway()}, {"mine": Scripted()}, "its kind is 'scripted', not 'custom'"),
    ],
)
async def test_a_gateway_that_is_named_or_given_alone_is_an_error(
    named: dict[str, GatewaySettings], given: dict[str, Scripted], problem: str
):
    with pytest.raises(SettingsError, match=problem):
        async with open_gateways(named, given):
            pass
