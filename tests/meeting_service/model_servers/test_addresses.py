"""Addresses, headers and certificates of model servers, through the whole service."""

import json
import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.settings import AnthropicGateway, Secret
from tests.meeting_service.gateways.wire_peer import Drops, Script, error, whole
from tests.meeting_service.model_servers.certificates import self_signed, server_context
from tests.meeting_service.model_servers.refusing_peer import (
    KEY,
    Asked,
    Held,
    ModelServer,
    hold,
    model_server,
    refuses,
    service,
    speaks_openai,
    task_of,
)

pytestmark = pytest.mark.anyio

AZURE = "/openai/deployments/gpt-4o"
NEEDED = {
    *("host", "accept", "accept-encoding", "connection", "user-agent"),
    *("content-type", "content-length", "idempotency-key"),
}


def breaks_off_at_first() -> Any:
    """Drop the first call, so that the server is probed before the next."""
    left: list[Script] = [[Drops()]]

    def answer(asked: Asked) -> Script | None:
        return left.pop() if asked.method == "POST" and left else None

    return answer


async def met(folder: Path, path: str, /, **fields: Any) -> tuple[Held, ModelServer]:
    """Hold a meeting with a server whose address has this path."""
    async with model_server() as peer:
        url = f"http://127.0.0.1:{peer.port}{path}"
        gateway = speaks_openai(peer, **{"base_url": url, **fields})
        async with service(gateway, folder) as client:
            return await hold(client), peer


@pytest.mark.parametrize(
    ("path", "query", "asked"),
    [
        (f"{AZURE}?api-version=2024-10-21", {}, f"{AZURE}/chat/completions?api-version=2024-10-21"),
        (
            f"{AZURE}/chat/completions?api-version=2024-10-21",
            {},
            f"{AZURE}/chat/completions?api-version=2024-10-21",
        ),
        (AZURE, {"api-version": "2024-10-21"}, f"{AZURE}/chat/completions?api-version=2024-10-21"),
        (
            "/openai/v1/",
            {"api-version": "preview"},
            "/openai/v1/chat/completions?api-version=preview",
        ),
        ("/v1/", {}, "/v1/chat/completions"),
        ("/v1/chat/completions", {}, "/v1/chat/completions"),
        ("", {}, "/chat/completions"),
        ("/v1?tenant=a&sig=x%2Fy", {"code": "1"}, "/v1/chat/completions?tenant=a&sig=x%2Fy&code=1"),
    ],
)
async def test_a_call_goes_where_it_is_meant(
    tmp_path: Path, path: str, query: dict[str, str], asked: str
) -> None:
    secret = {name: Secret(value) for name, value in query.items()}
    meeting, peer = await met(tmp_path, path, query=secret)
    assert meeting.texts == ["Ann speaks.", "Bob speaks."]
    assert {call.path for call in peer.calls} == {asked}


@pytest.mark.parametrize(
    "path", ["/v1?api-version=1", "/v1/chat/completions?api-version=1", "/v1/"]
)
async def test_a_probe_has_the_query_and_the_key_too(path: str) -> None:
    async with model_server() as peer:
        url = f"http://127.0.0.1:{peer.port}{path}"
        gateway = OpenAICompatible(
            base_url=url, api_key=KEY, auth_header="api-key", query={"b": "2"}
        )
        await gateway.probe()
        await gateway.aclose()
    (asked,) = peer.asked
    assert (asked.method, asked.headers["api-key"]) == ("GET", KEY)
    query = "api-version=1&b=2" if "?" in path else "b=2"
    assert asked.path == f"/v1/models?{query}"


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ({}, {"authorization": f"Bearer {KEY}"}),
        ({"api_key": None}, {}),
        ({"auth_header": "api-key"}, {"api-key": KEY}),
        ({"auth_header": "X-API-Key"}, {"x-api-key": KEY}),
        ({"auth_header": "Authorization"}, {"authorization": f"Bearer {KEY}"}),
        (
            {"headers": {"X-Team": Secret("blue"), "User-Agent": Secret("ours")}},
            {"authorization": f"Bearer {KEY}", "x-team": "blue", "user-agent": "ours"},
        ),
        (
            {"headers": {"Authorization": Secret("Token other-token")}},
            {"authorization": "Token other-token"},
        ),
    ],
)
async def test_the_headers_are_those_needed_and_those_set(
    tmp_path: Path, fields: dict[str, Any], added: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    meeting, peer = await met(tmp_path, "/v1", **fields)
    assert meeting.faults == []
    for call in peer.calls:
        headers = {name: value for name, value in call.headers.items() if name}
        assert headers.keys() == NEEDED | added.keys()
        assert added.items() <= headers.items()
        assert headers["accept-encoding"] == "identity"


async def test_anthropic_takes_its_key_in_its_own_header_or_in_another(tmp_path: Path) -> None:
    for auth_header, added in (
        ("", {"x-api-key": KEY}),
        ("authorization", {"authorization": f"Bearer {KEY}"}),
    ):
        async with model_server(lambda _: refuses(400, error("no"))) as peer:
            gateway = AnthropicGateway(
                base_url=f"http://127.0.0.1:{peer.port}/v1",
                model="model-a",
                api_key=Secret(KEY),
                auth_header=auth_header,
            )
            async with service(gateway, tmp_path) as client:
                await hold(client)
        headers = {name: value for name, value in peer.calls[0].headers.items() if name}
        assert headers.keys() == NEEDED | {"anthropic-version"} | added.keys()
        assert added.items() <= headers.items()
        assert {call.path for call in peer.calls} == {"/v1/messages"}


async def test_secrets_in_an_address_are_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ("sig-of/the test", "code-of-the-test", "password-of-it", KEY)

    def answer(asked: Asked) -> Script | None:
        said = f"{asked.path} {asked.headers} {' '.join(secrets)} is wrong"
        return refuses(400, error(said)) if task_of(asked) == "round-1-ann" else None

    async with model_server(answer) as peer:
        address = f"http://user:password-of-it@127.0.0.1:{peer.port}/v1?sig=sig-of%2Fthe%20test"
        query = {"code": Secret("code-of-the-test")}
        gateway = speaks_openai(peer, base_url=address, query=query, auth_header="api-key")
        async with service(gateway, tmp_path, log_level="debug") as client:
            meeting = await hold(client)
    assert meeting.skipped == ["rejected", None]
    assert "[secret]" in meeting.failed[0]["detail"]
    shown = json.dumps([meeting.facts, meeting.status]) + caplog.text
    for secret in (*secrets, "sig-of%2Fthe%20test", "sig-of%2Fthe+test"):
        assert secret not in shown


async def test_a_certificate_of_ones_own_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with model_server(tls=server_context(certificate, key)) as peer:
        url = f"https://127.0.0.1:{peer.port}/v1"
        named = speaks_openai(peer, base_url=url, ca_file=certificate)
        async with service(named, tmp_path) as client:
            meeting = await hold(client)
    assert meeting.texts == ["Ann speaks.", "Bob speaks."]


async def test_a_certificate_that_nobody_named_is_not_trusted(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with model_server(tls=server_context(certificate, key)) as peer:
        url = f"https://127.0.0.1:{peer.port}/v1"
        unnamed = speaks_openai(peer, base_url=url)
        changes = {"gateway_reconnect_timeout_seconds": 0.1}
        async with service(unnamed, tmp_path, **changes) as client:
            with anyio.fail_after(10):
                meeting = await hold(client)
    assert peer.calls == []
    assert meeting.status["state"] == "error"
    assert "certificate" in meeting.status["error_message"].lower()
    assert "ca_file" in meeting.status["error_message"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"auth_header": "api key"}, "'api key' cannot be the name of an HTTP header"),
        ({"auth_header": "api-key:"}, "cannot be the name"),
        ({"headers": {"X Team": "a"}}, "cannot be the name"),
        ({"headers": {"": "a"}}, "cannot be the name"),
        ({"ca_file": Path("/nowhere/ca.pem")}, "ca_file /nowhere/ca.pem cannot be used"),
        ({"ca_file": Path(__file__)}, "holds no certificate"),
        ({"base_url": "https://h:port/v1"}, "base_url must be an address"),
    ],
)
def test_what_can_never_work_is_said_at_the_start(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OpenAICompatible(**{"base_url": "http://h/v1", **fields})


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_beside_a_certificate_of_ones_own_the_machines_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    certificate, _ = self_signed(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, "/nope")
    with pytest.raises(ValueError, match=f"{variable} is /nope"):
        OpenAICompatible(base_url="https://h/v1", ca_file=certificate)


async def test_a_redirect_is_not_followed_and_says_what_to_set(tmp_path: Path) -> None:
    moved = whole("308 Permanent Redirect", "", location="http://127.0.0.1:1/v1")
    async with (
        model_server(lambda asked: moved) as peer,
        service(speaks_openai(peer), tmp_path) as client,
    ):
        meeting = await hold(client)
    assert meeting.skipped == ["rejected", "rejected"]
    assert "base_url leads elsewhere" in meeting.failed[0]["detail"]
