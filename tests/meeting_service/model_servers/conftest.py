"""One service for the tests of a module that need no settings of their own."""

from collections.abc import AsyncIterator

import pytest

from tests.meeting_service.model_servers.refusing_peer import (
    SharedService,
    model_server,
    service,
    speaks_openai,
)


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SharedService]:
    folder = tmp_path_factory.mktemp("shared")
    async with model_server() as peer, service(speaks_openai(peer), folder) as client:
        yield SharedService(client, peer)
