"""However much a provider sends, no more of it is kept than the request allows."""

import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest

from meeting_service.gateways.anthropic import Anthropic
from meeting_service.gateways.bounded_text import BoundedText
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.gateways.script_file import PlannedReply, Script
from meeting_service.gateways.scripted import Scripted
from meeting_service.ports import Gateway, GatewayFault
from tests.contracts.gateway_cases import ignore, request
from tests.meeting_service.gateways import test_anthropic as anthropic
from tests.meeting_service.gateways import test_openai_compatible as openai
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    END,
    chunked,
    head,
    stream,
    wire_peer,
)

pytestmark = pytest.mark.anyio

MAX_BYTES = 65_536
PIECE = "A word or two. " * 4_000
PIECES = 175
"""Together more than ten million bytes."""


@asynccontextmanager
async def openai_compatible(pieces: Sequence[str]) -> AsyncIterator[Gateway]:
    script = stream(*map(openai.says, pieces), openai.ends(), openai.counts(9, 200), DONE)
    async with wire_peer(script) as peer:
        gateway = OpenAICompatible(base_url=peer.base_url)
        yield gateway
        await gateway.aclose()


@asynccontextmanager
async def anthropic_messages(pieces: Sequence[str]) -> AsyncIterator[Gateway]:
    says = map(anthropic.says, pieces)
    script = stream(
        anthropic.starts(input_tokens=9), *says, anthropic.ends(output_tokens=200), anthropic.STOP
    )
    async with wire_peer(script) as peer:
        gateway = Anthropic(base_url=peer.base_url.removesuffix("/v1"))
        yield gateway
        await gateway.aclose()


@asynccontextmanager
async def scripted(pieces: Sequence[str]) -> AsyncIterator[Gateway]:
    yield Scripted(script=Script((PlannedReply(text="".join(pieces), ignores_cap=True),)))


@pytest.mark.parametrize("opened", [openai_compatible, anthropic_messages, scripted])
async def test_of_ten_megabytes_the_bound_is_kept_at_most(
    opened: Callable[[Sequence[str]], AbstractAsyncContextManager[Gateway]],
) -> None:
    deltas: list[str] = []
    async with opened([PIECE] * PIECES) as gateway:
        reply = await gateway.complete(
            request(output_tokens=200, max_reply_bytes=MAX_BYTES), deltas.append
        )
    assert len(PIECE) <= len(reply.text) <= MAX_BYTES + 1
    assert "".join(deltas) == reply.text
    assert (PIECE * PIECES).startswith(reply.text)


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (["abc", "def"], "abcdef"),
        (["abc", "defg", "h"], "abcdefg"),
        (["abcdefghi"], "abcdefg"),
        (["äöü"], "äöü"),
        (["äöü", "x", "y"], "äöüx"),
        (["漢字漢字"], "漢字漢"),
        (["a🙂🙂🙂"], "a🙂🙂"),
        (["abcde", "\ud800", "z"], "abcde\ud800"),
        ([""], ""),
    ],
)
def test_a_text_is_kept_up_to_the_character_that_passes_the_bound(
    pieces: list[str], kept: str
) -> None:
    text = BoundedText(6)
    assert "".join(text.add(piece) for piece in pieces) == kept == str(text)


BOMBS = {
    "comments": b": " + b" " * 998 + b"\n",
    "one line": b" " * 1_000,
    "letters": openai.says("and so on " * 100).encode(),
    "thoughts": openai.event(choices=[{"delta": {"reasoning": "hm " * 300}}]).encode(),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_sixty_megabytes_out_of_a_few_thousand_bytes_fill_no_memory(bomb: str) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    million = BOMBS[bomb] * (1_000_000 // len(BOMBS[bomb]))
    body = packer.compress(b"data: " if bomb == "one line" else b"")
    body += b"".join(packer.compress(million) for _ in range(60)) + packer.flush()
    async with wire_peer([head(content_encoding="gzip"), chunked(body), END]) as peer:
        gateway = OpenAICompatible(base_url=peer.base_url)
        tracemalloc.start()
        try:
            with suppress(GatewayFault):
                await gateway.complete(request(max_reply_bytes=8_192), ignore)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            await gateway.aclose()
    assert peak < 12_000_000
