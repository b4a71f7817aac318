"""The real model's server, one for all tests of this folder."""

from collections.abc import Iterator

import httpx2
import pytest

from meeting_service.local_model import running_local_model

CONTEXT_TOKENS = 2048


@pytest.fixture(scope="session")
def real_model_url() -> Iterator[str]:
    """The base URL of a server with a model that has read something, so that it is up to speed."""
    with running_local_model(context_tokens=CONTEXT_TOKENS) as base_url:
        body = {"messages": [{"role": "user", "content": "Hello."}], "max_tokens": 4}
        answer = httpx2.post(
            f"{base_url}/chat/completions", json=body, timeout=60.0, trust_env=False
        )
        answer.raise_for_status()
        yield base_url
