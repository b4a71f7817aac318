"""Takes the content coding off an answer, and bounds what comes of it."""

import zlib
from collections.abc import Iterable, Iterator

_PIECE_BYTES = 65_536
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


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
        self._inflater = None
        match coding.strip().lower():
            case "" | "identity":
                pass
            case known if known in _CODINGS:
                self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            case other:
                raise UnknownCoding(f"sends content-encoding {other}, though it was not offered")

    def decode(self, data: bytes) -> Iterable[bytes]:
        """Return what the next bytes of the body mean.

        Raises: `BodyTooLong`; `zlib.error` for bytes that are not what the server says.
        """
        if self._inflater is None:
            return (self._counted(data),)
        return self._inflated(self._inflater, data)

    def _inflated(self, inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
        while data:
            piece = inflater.decompress(data, _PIECE_BYTES)
            data = inflater.unconsumed_tail
            if piece:
                yield self._counted(piece)
            elif not data or inflater.eof:
                return

    def _counted(self, piece: bytes) -> bytes:
        self._bytes_left -= len(piece)
        if self._bytes_left < 0:
            raise BodyTooLong("the answer is longer than its bound")
        return piece
