"""Reads a stream of server-sent events, as browsers do, and as the servers before models send it.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html. What goes beyond it: an
event without an empty line after it counts at the end of the stream, and a line that is no field
(a bare JSON object, over one line or many, `error: ...`) is an event of its own, for it is how some
servers say what went wrong.
"""

from msgspec import Struct

MAX_EVENT_BYTES = 4_194_304

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = b"\r", b"\n"
_JSON_ENDS = b"}", b"]"
_FIELDS = b"data:", b"event:", b"id:", b"retry:", b"error:", b":"


class EventTooLong(ValueError):
    """An event is longer than the reader's bound."""


class ServerSentEvent(Struct, frozen=True, gc=False):
    """One event. `name` is empty if the server gave none; `id` is the last one that it gave."""

    data: bytes
    name: str = ""
    id: str = ""


class EventStreamReader:
    """Turns the bytes of a stream into events, wherever the pieces are cut.

    Units: `max_event_bytes` bounds what is kept of an unfinished event.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        # The pieces of the line that has not ended yet.
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._is_after_cr = False
        self._is_first = True
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = ""
        self._id = ""
        # The lines of a bare JSON text that goes over several of them.
        self._json: list[bytes] = []

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that this piece completes.

        Raises: `EventTooLong`.
        """
        if self._is_after_cr and piece[:1] == b"\n":
            piece = piece[1:]
            self._is_after_cr = False
        if not piece:
            return []
        self._is_after_cr = piece[-1:] == b"\r"
        # Of bytes, only \n, \r and \r\n end a line.
        lines = piece.splitlines()
        if len(lines) == 2 and not lines[1] and self._is_mere_data(lines[0]):
            return [ServerSentEvent(lines[0][6:], "", self._id)]
        rest = b"" if piece[-1:] in _LINE_ENDS else lines.pop()
        if self._line and lines:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line, self._line_bytes = [], 0
        if rest:
            self._line.append(rest)
            self._line_bytes += len(rest)
            if self._line_bytes > self._max_event_bytes:
                raise EventTooLong(f"a line is longer than {self._max_event_bytes} bytes")
        return self._events_in(lines) if lines else []

    def end(self) -> list[ServerSentEvent]:
        """Return the events that the end of the stream completes."""
        lines, self._line, self._line_bytes = [b"".join(self._line), b""], [], 0
        return self._events_in(lines)

    def _is_mere_data(self, line: bytes) -> bool:
        """Return whether a line before an empty one is a whole event, as in most pieces."""
        return (
            line.startswith(b"data: ")
            and not (self._line or self._data or self._name or self._json or self._is_first)
            and len(line) <= self._max_event_bytes
        )

    def _events_in(self, lines: list[bytes]) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        if self._is_first:
            lines[0] = lines[0].removeprefix(_BOM)
            self._is_first = False
        for line in lines:
            if self._json and self._continues_json(line, events):
                continue
            if not line:
                self._end_event(events)
            elif line.startswith(b"data:"):
                self._add_data(line[6:] if line[5:6] == b" " else line[5:])
            elif line[:1] != b":":
                self._take_field(line, events)
        return events

    def _end_event(self, events: list[ServerSentEvent]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(ServerSentEvent(data, self._name, self._id))
            self._data, self._data_bytes = [], 0
        self._name = ""

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._count(value)

    def _count(self, value: bytes) -> None:
        self._data_bytes += len(value)
        if self._data_bytes > self._max_event_bytes:
            raise EventTooLong(f"an event is longer than {self._max_event_bytes} bytes")

    def _continues_json(self, line: bytes, events: list[ServerSentEvent]) -> bool:
        """Take a line of a bare JSON text; return false for a line that begins something else."""
        is_other = line.startswith(_FIELDS)
        if line and not is_other:
            self._json.append(line)
            self._count(line)
            if line[:1] not in _JSON_ENDS:
                return True
        events.append(ServerSentEvent(b"\n".join(self._json), self._name, self._id))
        self._json, self._data_bytes = [], 0
        return not is_other

    def _take_field(self, line: bytes, events: list[ServerSentEvent]) -> None:
        if line.lstrip()[:1] in (b"{", b"["):
            if line.rstrip()[-1:] in _JSON_ENDS:
                events.append(ServerSentEvent(line, self._name, self._id))
            else:
                self._json.append(line)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field.strip().lower():
            case b"event":
                self._name = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"data":
                self._add_data(value)
            case b"error":
                events.append(ServerSentEvent(value, "error", self._id))
            case _:
                pass  # `retry`, and what the specification asks readers to pass over.
