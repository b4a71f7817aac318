"""Calls to models with proxies and certificates in the environment."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meeting_core.model import Message
from meeting_service import http_proxy
from meeting_service.app.gateways import open_gateways
from meeting_service.gateways import http_client
from meeting_service.ports import GatewayReply, GatewayRequest, Unavailable
from meeting_service.settings import (
    AnthropicGateway,
    OpenAICompatibleGateway,
    Secret,
    SettingsError,
)
from tests.meeting_service.cli.fake_service import FakeService, Reply, fake_service
from tests.meeting_service.cli.socks_proxy import socks_proxy

pytestmark = pytest.mark.anyio

FAR = "http://models.example/v1"
CALL = GatewayRequest((Message("user", "Hello"),), 100, "small", 10.0, "m/turn/1")


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT_"):
            monkeypatch.delenv(name)
    http_proxy._warn_once.cache_clear()
    http_client._trust.cache_clear()
    yield
    http_client._trust.cache_clear()


@pytest.fixture
def model() -> Iterator[FakeService]:
    """A model server, which as a proxy answers for another one too."""
    chunk = {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}
    answer = Reply(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", "text/event-stream")
    with fake_service() as model:
        model.on("/v1/chat/completions", answer)
        model.on(f"{FAR}/chat/completions", answer)
        yield model


async def called(base_url: str, **settings: Any) -> GatewayReply:
    gateway = OpenAICompatibleGateway(base_url=base_url, model="small", **settings)
    async with open_gateways({"main": gateway}, {}) as gateways:
        return await gateways["main"].complete(CALL, lambda _: None)


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_PROXY": "http://127.0.0.1:1"},
        {"ALL_PROXY": "socks5://127.0.0.1:1"},
        {"all_proxy": "socks://127.0.0.1:1/", "NO_PROXY": "fd00::/8,[::1]"},
        {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "[::1"},
        {"http_proxy": "nonsense://", "no_proxy": "10.0.0.0/99"},
    ],
    ids=str,
)
async def test_a_model_on_this_machine_is_asked_straight(
    model: FakeService, monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert (await called(f"{model.url}/v1")).text == "Hello"
    assert (await called(f"{model.url}/v1".replace("127.0.0.1", "localhost"))).text == "Hello"


async def test_a_far_model_is_asked_through_the_proxy_of_the_environment(
    model: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", model.url)
    assert (await called(FAR)).text == "Hello"
    with socks_proxy(model.url) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"socks5://{proxy.place}")
        assert (await called(FAR)).text == "Hello"
        assert proxy.asked_for == ["models.example"]


async def test_the_setting_wins_over_the_environment(
    model: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert (await called(FAR, proxy=Secret(model.url))).text == "Hello"
    with pytest.raises(Unavailable) as refusal:
        await called("http://127.0.0.1:1/v1", proxy=Secret("none"))
    assert "proxy" not in str(refusal.value)


async def test_a_loopback_model_is_asked_through_a_proxy_if_told_so(model: FakeService) -> None:
    url = "http://localhost:9/v1"
    model.on(f"{url}/chat/completions", *model.replies["/v1/chat/completions"])
    assert (await called(url, proxy=Secret(model.url))).text == "Hello"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_call_that_fails_through_a_proxy_says_so(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://me:secret@127.0.0.1:1")
    with pytest.raises(Unavailable) as refusal:
        await called(FAR)
    assert "through the proxy http://127.0.0.1:1" in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["none", "empty", "other"])
async def test_certificates_that_are_none_keep_a_gateway_from_opening_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "some.pem").write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "some.pem"))
    with pytest.raises(SettingsError, match=r"^gateways.main: SSL_CERT_FILE is /.*; name a file"):
        async with open_gateways({"main": AnthropicGateway(model="any")}, {}):
            pass
