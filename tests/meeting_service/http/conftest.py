"""What the tests of the API share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from tests.meeting_service.http.service import STALLED, Client, served, settings_for


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    """A service whose model answers at once."""
    async with served(settings_for(database_url, tmp_path)) as made:
        yield made


@pytest.fixture
async def stalled(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    """A service whose model never answers, so that its meetings stay where they are."""
    async with served(settings_for(database_url, tmp_path, gateways=STALLED)) as made:
        yield made


@pytest.fixture(scope="module")
def llmock_started() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture
def model(llmock_started: LLMockServer) -> LLMock:
    """A model server that can be made to fail, and that judges its client."""
    return LLMock(llmock_started).reset()
