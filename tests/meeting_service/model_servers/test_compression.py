"""Compressed answers, though none was asked for: decoded within the bound, or refused clearly."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.meeting_service.gateways.wire_peer import (
    DONE,
    END,
    Script,
    chunked,
    counts,
    ends,
    head,
    says,
)
from tests.meeting_service.model_servers.meetings import FIRST, SECOND, hold, spoken

pytestmark = pytest.mark.anyio

TEXT = "I would ship on Monday."
ANSWER = (says(TEXT[:9]) + says(TEXT[9:]) + ends() + counts(300, 9) + DONE).encode()


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def in_members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[n : n + 50]) for n in range(0, len(data), 50))


def compressed(coding: str, body: bytes) -> Script:
    return [head(content_encoding=coding), *map(chunked, (body[:9], body[9:20], body[20:])), END]


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", in_members),
        ("deflate", zlib.compress),
        ("deflate", bare),
        ("identity", bytes),
    ],
)
async def test_an_answer_is_decoded(
    database_url: str, tmp_path: Path, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    held = await hold(database_url, tmp_path, {FIRST: compressed(coding, pack(ANSWER))})
    held.assert_whole(TEXT)
    assert {asked.headers["accept-encoding"] for asked in held.peer.asked} == {"identity"}


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br"])
async def test_what_was_not_offered_is_refused_with_its_name(
    database_url: str, tmp_path: Path, coding: str
) -> None:
    held = await hold(database_url, tmp_path, {FIRST: compressed(coding, b"\x0b\x02" * 20)})
    assert held.turn["skipped_reason"] == "rejected"
    assert f"content-encoding {coding}" in held.details[0]
    assert "turn compression off" in held.details[0]


@pytest.mark.parametrize("bomb", ["comments", "one line", "text"])
async def test_a_bomb_is_bounded(database_url: str, tmp_path: Path, bomb: str) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    line = {
        "comments": b": " + b" " * 998 + b"\n",
        "one line": b" " * 1_000,
        "text": says("and so on " * 100).encode(),
    }[bomb]
    million = line * (1_000_000 // len(line))
    body = packer.compress(b"data: " if bomb == "one line" else b"")
    body += b"".join(packer.compress(million) for _ in range(60)) + packer.flush()
    answers = {FIRST: compressed("gzip", body), SECOND: spoken(TEXT)}
    tracemalloc.start()
    try:
        held = await hold(database_url, tmp_path, answers, service={"max_reply_bytes": 8_192})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000
    assert held.status["state"] == "complete"
