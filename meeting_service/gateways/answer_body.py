"""Reads the body of an answer: the events of a stream, or what came in place of one."""

import json
import zlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import anyio
import msgspec
from msgspec.structs import replace

from meeting_service.event_stream import EventStreamReader, ServerSentEvent
from meeting_service.gateways.body_decoder import BodyDecoder, BodyTooLong, UnknownCoding
from meeting_service.gateways.provider_errors import ProviderError, error_in

if TYPE_CHECKING:
    import httpx2

MAX_ERROR_BYTES = 65_536
MAX_HEAD_BYTES = 1_048_576

_JSON_STARTS = frozenset('{["')
_NO_WORDS = (":", "data:", "event:", "id:", "retry:", "{", "[", "<", "}", "]")

LAST_BYTES_SECONDS = 0.5
"""How long to wait, after a whole answer, for the end of its body, so that the connection stays."""


class Said(Exception):
    """Inside this package: the server said, in place of an answer or within it, what went wrong."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(error.message)
        self.error = error


class Malformed(Exception):
    """Inside this package: what came is not what the protocol has there."""


class AnswerBody:
    """The body of one answer.

    Shape: `head` is what has come of it as long as nothing of it is understood; emptied, it stays
    so. `malformed` is what was not, until then. Units: `max_bytes` bounds the body.
    Raises: `UnknownCoding`.
    """

    def __init__(self, response: "httpx2.Response", max_bytes: int) -> None:
        self.head = bytearray()
        self.malformed: Malformed | None = None
        self._decoder = BodyDecoder(response.headers.get("content-encoding", ""), max_bytes)
        self._raw = response.aiter_raw()

    async def events(self) -> AsyncGenerator[list[ServerSentEvent]]:
        """Yield the events of the stream as they come, those that its end completes too.

        Raises: `BodyTooLong`, `EventTooLong`, `zlib.error`, and what the HTTP client raises.
        """
        reader = EventStreamReader()
        keeps_head = True
        async for data in self._raw:
            for n, piece in enumerate(self._decoder.decode(data)):
                if n:
                    # A few bytes may hold megabytes: others have their turn in between.
                    await anyio.lowlevel.checkpoint()
                if keeps_head:
                    self.head += piece
                if events := reader.feed(piece):
                    yield events
                    keeps_head = 0 < len(self.head) < MAX_HEAD_BYTES
        if events := reader.end():
            yield events

    async def read_to_end(self) -> None:
        """Read what follows the last event, which is mostly nothing, within a moment."""
        with anyio.move_on_after(LAST_BYTES_SECONDS):
            async for _ in self._raw:
                pass


async def refuse_errors(response: "httpx2.Response") -> None:
    """Raise what a server says with a status that is no success.

    Raises: `Said`, and what the HTTP client raises.
    """
    if response.is_success:
        return
    head = bytearray()
    try:
        decoder = BodyDecoder(response.headers.get("content-encoding", ""), MAX_ERROR_BYTES)
        async for data in response.aiter_raw():
            for piece in decoder.decode(data):
                head += piece
    except (BodyTooLong, UnknownCoding, zlib.error):
        pass  # What came of it says enough.
    headers = {name.lower(): value for name, value in response.headers.items()}
    error = error_in(json_or_text(head), response.status_code, headers)
    raise Said(error if error.message else replace(error, message=response.reason_phrase))


def json_or_text(data: bytes | bytearray) -> object:
    """Return what a body holds: its JSON, else its text."""
    try:
        return msgspec.json.decode(bytes(data))
    except (ValueError, RecursionError):
        return bytes(data).decode("utf-8", "replace")


def lenient_json(data: bytes) -> object:
    """Return what JSON holds, also such that msgspec refuses; None if it is none.

    That is halves of characters, NaN, control characters, bytes that are not UTF-8.
    """
    try:
        return json.loads(data.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def words_in(data: bytes) -> str:
    """Return what an event says in plain words, where JSON should stand.

    Raises: `Malformed` if it was meant to be JSON.
    """
    text = data.decode("utf-8", "replace").strip()
    if text[:1] in _JSON_STARTS:
        # Not quoted: it may be a thought.
        raise Malformed(f"an event of {len(data)} bytes is malformed JSON")
    return text


def plain_words(body: bytes | bytearray) -> str:
    """Return the lines of a body that are no fields of an event stream."""
    lines = (line.strip() for line in bytes(body).decode("utf-8", "replace").splitlines())
    return " ".join(line for line in lines if line and not line.startswith(_NO_WORDS))
