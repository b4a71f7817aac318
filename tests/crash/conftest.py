"""What the crash tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.world import World
from tests.model_peer import ModelPeer


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    peer = ModelPeer()
    async with peer.listening() as url:
        made = World(tmp_path, database_url, peer, url)
        yield made
        made.service.kill()
