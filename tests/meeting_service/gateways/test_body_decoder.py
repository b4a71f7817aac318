"""Content codings that nobody asked for: decoded piece by piece, bounded, or named."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_service.gateways.body_decoder import BodyDecoder, BodyTooLong, UnknownCoding

TEXT = b"data: a line of the answer\n\n" * 50


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def flushed(data: bytes) -> bytes:
    """As servers do that flush after each event."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    parts = [
        packer.compress(data[n : n + 28]) + packer.flush(zlib.Z_SYNC_FLUSH)
        for n in range(0, len(data), 28)
    ]
    return b"".join(parts) + packer.flush()


def in_members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[n : n + 28]) for n in range(0, len(data), 28))


def decoded(coding: str, pieces: list[bytes], max_bytes: int = 10_000_000) -> bytes:
    decoder = BodyDecoder(coding, max_bytes)
    return b"".join(part for piece in pieces for part in decoder.decode(piece))


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("GZIP", flushed),
    ("x-gzip", in_members),
    ("gzip, identity", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare),
    ("", bytes),
    ("identity", bytes),
    ("utf-8", bytes),
    ("none", bytes),
]


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_a_body_is_decoded_wherever_it_is_cut(
    coding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    body = pack(TEXT)
    assert decoded(coding, [body[n : n + size] for n in range(0, len(body), size)]) == TEXT


@given(st.binary(max_size=2_000), st.sampled_from(CODINGS), st.integers(1, 50))
def test_any_bytes_come_through(data, coding, size):
    body = coding[1](data)
    assert decoded(coding[0], [body[n : n + size] for n in range(0, len(body), size)]) == data


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 131_072, 1_000_003])
def test_no_byte_stays_behind_at_the_size_of_a_piece(length: int) -> None:
    for pack in (gzip.compress, zlib.compress, bare):
        data = (b"ab" * length)[:length]
        coding = "gzip" if pack is gzip.compress else "deflate"
        assert decoded(coding, [pack(data)]) == data


def test_what_was_flushed_is_there_at_once() -> None:
    body = flushed(TEXT)
    decoder = BodyDecoder("gzip", 10_000)
    came = b"".join(decoder.decode(body[: len(body) // 2]))
    assert TEXT.startswith(came)
    assert len(came) >= 28


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "dcb"])
def test_another_coding_is_named(coding: str) -> None:
    with pytest.raises(UnknownCoding, match=coding):
        BodyDecoder(coding, 100)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", bare)])
def test_a_bomb_ends_at_the_bound(coding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(b"\0" * 30_000_000)
    decoder, came = BodyDecoder(coding, 1_000_000), 0

    def explode() -> None:
        nonlocal came
        for part in decoder.decode(bomb):
            assert len(part) <= 65_536
            came += len(part)

    with pytest.raises(BodyTooLong):
        explode()
    assert 900_000 < came <= 1_000_000


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_not_compressed_is_an_error(coding: str) -> None:
    with pytest.raises(zlib.error):
        decoded(coding, [b"\xff\xff\xff" + TEXT])
