"""The reader of event streams: however the bytes are cut, and what is beside the rules."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_service.event_stream import EventStreamReader, EventTooLong, ServerSentEvent


def read(*pieces: bytes) -> list[ServerSentEvent]:
    reader = EventStreamReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.end()


def each_byte(stream: bytes) -> list[bytes]:
    return [stream[n : n + 1] for n in range(len(stream))]


PRETTY = b'{\n  "error": {\n    "message": "busy",\n    "code": 502\n  }\n}'

STREAMS = [
    (b"data: a\n\ndata: b\n\n", ["a", "b"]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
    (b"data: a\r\rdata: b\r\r", ["a", "b"]),
    # A proxy ends the lines that it adds in its own way.
    (b"data: a\r\n\ndata: b\n\r\ndata: c\r\n\r", ["a", "b", "c"]),
    (b"\xef\xbb\xbfdata:a\n\n", ["a"]),
    (b": keep-alive\n\ndata: a\n\n:\n\n", ["a"]),
    (b"event: message\nid: 7\nretry: 10\ndata: a\ndata: b\n\n", ["a\nb"]),
    (b"data: a", ["a"]),
    (b"data: a\n", ["a"]),
    (b"data: \xe6\xbc\xa2\xe2\x80\xa8\xc2\x85\n\n", ["漢\u2028\u0085"]),
    (b"data:  two blanks\n\ndata\n\n", [" two blanks", ""]),
    (b'{"error":"busy"}\n', ['{"error":"busy"}']),
    (b'data: a\n\n[{"error":"busy"}]\ndata: b\n\n', ["a", '[{"error":"busy"}]', "b"]),
    (b"error: busy\n\n", ["busy"]),
    (b"data: a\n\n" + PRETTY, ["a", PRETTY.decode()]),
    (b"data: a\n\n" + PRETTY.replace(b"\n", b"\r\n") + b"\r\ndata: b\r\n\r\n", None),
    (b"{broken\ndata: a\n\n", ["{broken", "a"]),
    (b"{broken\n\ndata: a\n\n", ["{broken", "a"]),
    (b"<html>\n<body>busy</body>\n</html>\n", []),
]


@pytest.mark.parametrize(("stream", "data"), STREAMS)
def test_a_stream_means_the_same_byte_by_byte(stream: bytes, data: list[str] | None) -> None:
    expected = ["a", PRETTY.decode(), "b"] if data is None else data
    assert [event.data.decode() for event in read(stream)] == expected
    assert read(*each_byte(stream)) == read(stream)


@given(st.data())
def test_a_stream_means_the_same_however_it_is_cut(data: st.DataObject) -> None:
    lines = st.sampled_from(
        [
            "data: a",
            "data: {}",
            "event: e",
            ": c",
            "",
            "",
            "id: 1",
            "error: x",
            "{",
            "}",
            "[1]",
            "y",
        ]
    )
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    stream = "".join(
        data.draw(lines) + data.draw(ends) for _ in range(data.draw(st.integers(1, 12)))
    ).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == read(stream)


def test_names_and_ids_are_those_of_the_event() -> None:
    events = read(b"event: x\nid: 1\ndata: a\n\ndata: b\n\nerror: c\n\n")
    assert [(event.name, event.id) for event in events] == [("x", "1"), ("", "1"), ("error", "1")]


@pytest.mark.parametrize(
    "piece", [b"data: " + b"x" * 40, b"data: xxxxxxxxx\n", b"y" * 20, b"{\n" + b'"a":1,\n' * 20]
)
def test_an_event_without_end_is_bounded(piece: bytes) -> None:
    reader = EventStreamReader(max_event_bytes=32)
    with pytest.raises(EventTooLong):
        deque(map(reader.feed, [piece] * 5), maxlen=0)


def test_a_piece_that_looks_whole_within_another_event_only_goes_on_with_it() -> None:
    for before in (
        b"data: one\n",
        b"data: one\ndata: tw",
        b"event: odd\n",
        b"id: 7\n",
        b"\r",
        b"{\n",
    ):
        whole = before + b"data: {}\n\n"
        in_one, in_two = EventStreamReader(), EventStreamReader()
        expected = in_one.feed(b"data: first\n\n" + whole) + in_one.end()
        pieces = (b"data: first\n\n", before, b"data: {}\n\n")
        found = [event for piece in pieces for event in in_two.feed(piece)]
        assert found + in_two.end() == expected


def test_a_whole_event_in_one_piece_is_bounded_too() -> None:
    reader = EventStreamReader(max_event_bytes=32)
    reader.feed(b"data: first\n\n")
    with pytest.raises(EventTooLong):
        reader.feed(b"data: " + b"x" * 33 + b"\n\n")
