"""Takes the content coding off an answer, and bounds what comes of it."""

import zlib
from collections.abc import Iterable, Iterator

_PIECE_BYTES = 65_536
_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_BARE_DEFLATE = -zlib.MAX_WBITS
_GZIP_NAMES = frozenset({"gzip", "x-gzip"})
# Names of character sets and of nothing, which servers put there by mistake.
_NO_CODINGS = frozenset({"", "identity", "none", "chunked", "utf-8", "utf8", "binary", "8bit"})


class UnknownCoding(ValueError):
    """A server uses a content coding that it was not offered."""


class BodyTooLong(ValueError):
    """A body is longer than the bound."""


class BodyDecoder:
    """Turns the bytes of a body into those that were meant, a bounded piece at a time.

    A server is asked for the plain bytes; some proxies compress all the same. Units: `max_bytes`
    bounds the decoded body. Raises: `UnknownCoding`.
    """

    def __init__(self, coding: str, max_bytes: int) -> None:
        self._bytes_left = max_bytes
        names = [name.strip().lower() for name in coding.split(",")]
        codings = [name for name in names if name not in _NO_CODINGS]
        self._coding = codings[0] if codings else ""
        self._head = b""
        self._inflater: zlib._Decompress | None = None
        if codings and (len(codings) > 1 or self._coding not in {*_GZIP_NAMES, "deflate"}):
            raise UnknownCoding(
                f"sends content-encoding {coding.strip()}, though it was not offered; turn "
                "compression off there, or in the proxy before it"
            )

    def decode(self, data: bytes) -> Iterable[bytes]:
        """Return what the next bytes of the body mean.

        Raises: `BodyTooLong`; `zlib.error` for bytes that are not what the server says.
        """
        return self._inflated(data) if self._coding else (self._counted(data),)

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        while data:
            inflater = self._inflater
            if inflater is None:
                data = self._head + data
                if len(data) < 2:
                    self._head = data
                    return
                self._head = b""
                inflater = self._inflater = zlib.decompressobj(self._window_bits(data))
            piece = inflater.decompress(data, _PIECE_BYTES)
            if piece:
                yield self._counted(piece)
            data = inflater.unconsumed_tail
            # A full piece may leave some within, though all of the input has been taken.
            while not data and len(piece) == _PIECE_BYTES:
                piece = inflater.decompress(b"", _PIECE_BYTES)
                yield self._counted(piece)
                data = inflater.unconsumed_tail
            if inflater.eof:
                # What follows is another member, as from servers that compress each piece alone.
                data, self._inflater = inflater.unused_data.lstrip(b"\0"), None

    def _window_bits(self, head: bytes) -> int:
        if self._coding in _GZIP_NAMES:
            return _GZIP
        # RFC 9110 has it in zlib's envelope; many servers leave that out.
        is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        return _ZLIB if is_zlib else _BARE_DEFLATE

    def _counted(self, piece: bytes) -> bytes:
        self._bytes_left -= len(piece)
        if self._bytes_left < 0:
            raise BodyTooLong("the answer is longer than its bound")
        return piece
