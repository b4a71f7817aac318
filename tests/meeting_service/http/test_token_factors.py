"""What one meeting teaches of a model, the next one begins with: through the whole service."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from meeting_core.model import UNKNOWN_MODEL
from tests.meeting_service.http.service import FAST, TIMEOUT_SECONDS, Client, served, settings_for

pytestmark = pytest.mark.anyio

START = {"goal": "회의록은 내일 보내 드리겠습니다. " * 30, "num_rounds": 2}


async def begun_with(client: Client, meeting_id: str) -> dict[str, Any]:
    """Return the factors that a meeting began with."""
    (convened, *_) = await client.facts(meeting_id)
    ((known,),) = (convened["data"]["token_factors"],)
    return dict(known["factors"])


async def begins_lower(client: Client) -> bool:
    """Start a meeting; return whether it begins lower than one of an unknown model."""
    factors = await begun_with(client, await client.start(**START))
    return bool(factors["hangul"] < UNKNOWN_MODEL.hangul)


async def test_a_meeting_begins_with_what_the_one_before_taught(database_url: str, tmp_path: Path):
    settings = settings_for(database_url, tmp_path, gateways=FAST)
    async with served(settings) as client:
        first = await client.start(**START)
        assert (await begun_with(client, first))["hangul"] == UNKNOWN_MODEL.hangul
        await client.ended(first)
        with anyio.fail_after(TIMEOUT_SECONDS):
            while not await begins_lower(client):
                pass
    async with served(settings) as client:
        assert await begins_lower(client)
