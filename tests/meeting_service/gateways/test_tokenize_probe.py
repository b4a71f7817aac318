"""Asking servers how they count: llama.cpp's form, vLLM's form, and all that may go wrong."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from meeting_core.model import TokenFactors
from meeting_core.model.token_factors import values_of
from meeting_service.gateways.tokenize_probe import TokenizeProbe

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
