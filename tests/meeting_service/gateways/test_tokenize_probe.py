"""Asking servers how they count: llama.cpp's form, vLLM's form, and all that may go wrong."""

import json
import logging
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from meeting_core.model import TokenFactors
from meeting_core.model.token_factors import values_of
from meeting_service.gateways.tokenize_probe import MAX_ANSWER_BYTES, TokenizeProbe
from tests.meeting_service.gateways.wire_peer import (
    END,
    Hangs,
    Repeats,
    Script,
    chunked,
    head,
    wire_peer,
)

pytestmark = pytest.mark.anyio

Reply = tuple[int, Any]


@asynccontextmanager
async def served(
    answer: Callable[[dict[str, Any]], Reply], asked: list[str] | None = None
) -> AsyncIterator[str]:
    """Answer every POST by a function of its body; give the address."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            head, _, rest = (await stream.receive()).partition(b"\r\n\r\n")
            (length,) = [
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ]
            while len(rest) < length:
                rest += await stream.receive()
            if asked is not None:
                asked.append(head.decode())
            status, body = answer(json.loads(rest))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            size = len(data)
            line = f"HTTP/1.1 {status} X\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n"
            await stream.send(line.encode() + data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        port = listener.extra(SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}/tokenize"
        tasks.cancel_scope.cancel()


def by_bytes(text: str) -> list[int]:
    """A vocabulary of bytes."""
    return list(text.encode())


def llama_cpp(body: dict[str, Any]) -> Reply:
    return 200, {"tokens": by_bytes(body.get("content", ""))}


def vllm(body: dict[str, Any]) -> Reply:
    if "prompt" not in body:
        return 400, {"message": "field required: prompt"}
    tokens = by_bytes(body["prompt"])
    return 200, {"count": len(tokens), "max_model_len": 4096, "tokens": tokens}


@pytest.mark.parametrize("server", [llama_cpp, vllm])
async def test_both_servers_are_understood(server: Callable[[dict[str, Any]], Reply]):
    async with served(server) as url:
        factors = await TokenizeProbe(url).measure("m")
    assert isinstance(factors, TokenFactors)
    # A token for each byte: about five for a word's token, two or three for a letter beyond.
    assert all(1_100 <= each <= 3_000 for each in values_of(factors))


async def test_the_model_the_key_and_the_headers_are_sent():
    models: list[str] = []
    asked: list[str] = []

    def answer(body: dict[str, Any]) -> Reply:
        models.append(body.get("model", ""))
        return vllm(body)

    async with served(answer, asked) as url:
        await TokenizeProbe(url, api_key="k-1", headers={"x-team": "a"}).measure("m-7")
    assert "m-7" in models
    assert all("authorization: Bearer k-1" in head for head in asked)
    assert all("x-team: a" in head for head in asked)


@pytest.mark.parametrize(
    "reply",
    [
        (404, b"not found"),
        (307, b""),
        (500, {"error": "x"}),
        (200, b"<html>"),
        (200, []),
        (200, {"tokens": []}),
        (200, {"count": 10**9}),
        (200, {"count": "12"}),
        (200, {"tokens": None}),
    ],
)
async def test_a_server_that_answers_otherwise_is_left_with_a_line_in_the_log(
    reply: Reply, caplog: pytest.LogCaptureFixture
):
    async with served(lambda _: reply) as url:
        with caplog.at_level(logging.WARNING):
            assert await TokenizeProbe(url).measure("m") is None
    assert "does not count tokens of 'm'" in caplog.text


async def test_a_server_that_is_not_there_is_left_with_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
):
    async with served(llama_cpp) as url:
        pass
    assert await TokenizeProbe(url).measure("m") is None
    assert "does not count tokens of 'm'" in caplog.text


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([head(), Repeats(chunked("x" * 65_536))], "longer than its bound"),
        (
            [
                head(content_encoding="gzip"),
                chunked(zlib.compress(b" " * (MAX_ANSWER_BYTES + 1), wbits=31)),
                END,
            ],
            "longer than its bound",
        ),
        ([head(), Hangs()], "no answer within 0.3 s"),
        ([Hangs()], "no answer within 0.3 s"),
        ([b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n{}"], "was not offered"),
    ],
)
async def test_an_answer_without_an_end_is_left_with_a_line_in_the_log(
    script: Script, reason: str, caplog: pytest.LogCaptureFixture
):
    async with wire_peer(script) as peer:
        with caplog.at_level(logging.WARNING):
            probe = TokenizeProbe(f"{peer.base_url}/tokenize", timeout_seconds=0.3)
            assert await probe.measure("m") is None
    assert reason in caplog.text


@pytest.mark.parametrize("host", ["xn--a", "a..b", "a" * 70, "127.0.0.1:1", "127.0.0.1:1/a b\x7f"])
async def test_an_address_that_cannot_be_asked_is_left_with_a_line_in_the_log(
    host: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        probe = TokenizeProbe(f"http://{host}/tokenize", timeout_seconds=2)
        assert await probe.measure("m") is None
    assert "does not count tokens of 'm'" in caplog.text


async def test_what_its_gateway_sends_is_sent_and_never_logged(caplog: pytest.LogCaptureFixture):
    asked: list[str] = []
    async with served(lambda _: (404, b"no key k-1234567"), asked) as url:
        with caplog.at_level(logging.WARNING):
            probe = TokenizeProbe(
                f"{url}?key=q-1234567",
                api_key="k-1234567",
                query={"api-version": "7"},
                auth_header="api-key",
            )
            assert await probe.measure("m") is None
    assert asked[0].startswith("POST /tokenize?key=q-1234567&api-version=7 ")
    assert "api-key: k-1234567" in asked[0]
    assert url in caplog.text
    assert "1234567" not in caplog.text


async def test_it_is_asked_through_the_proxy_of_its_gateway():
    asked: list[str] = []
    async with served(llama_cpp, asked) as url:
        proxy = url.removesuffix("/tokenize")
        assert await TokenizeProbe("http://model.invalid/tokenize", proxy=proxy).measure("m")
    assert asked[0].startswith("POST http://model.invalid/tokenize ")


async def test_certificates_that_are_none_are_said_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        probe = TokenizeProbe("https://127.0.0.1:1/tokenize", ca_file=tmp_path / "none.pem")
        assert await probe.measure("m") is None
    assert "ca_file" in caplog.text


async def test_the_form_that_a_server_took_is_asked_first():
    forms: list[bool] = []

    def answer(body: dict[str, Any]) -> Reply:
        forms.append("prompt" in body)
        return vllm(body)

    async with served(answer) as url:
        assert await TokenizeProbe(url).measure("m")
    assert forms.count(False) == 1
