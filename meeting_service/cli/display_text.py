"""Displays of a live meeting: JSON for programs, plain lines for pipes."""

from typing import Any, Protocol, Self

from meeting_service.cli.feed_client import FeedEvent
from meeting_service.cli.printable import json_line, one_line

DELTA = "meeting-turn-delta"


class Display(Protocol):
    """Shows a meeting's events in order, while it is entered as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: FeedEvent) -> None: ...

    def notify(self, text: str) -> None:
        """Show a notice about the connection, apart from the meeting's events."""


class _Streams:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def notify(self, text: str) -> None:
        import sys

        print(f"meetings: {text}", file=sys.stderr, flush=True)


class JsonLines(_Streams):
    """One event a line: `{"event": ..., "id": ..., "data": {...}}`, deltas included."""

    def show(self, event: FeedEvent) -> None:
        line = {"event": event.event, "id": event.version, "data": event.data}
        print(json_line(line), flush=True)


class PlainLines(_Streams):
    """One event a line in words; deltas are left out, the whole turn follows them."""

    def show(self, event: FeedEvent) -> None:
        if event.event != DELTA:
            print(sentence(event), flush=True)


def sentence(event: FeedEvent) -> str:
    """Return an event as one line of printable text."""
    data = _Words(event.data)
    match event.event:
        case "meeting-started":
            participants = ", ".join(
                one_line(str(each)) for each in event.data.get("participants", ())
            )
            return f"{data['title']}: {_counted(data['total_rounds'], 'round')} with {participants}"
        case "meeting-state":
            return f"{state_words(event.data)} ({percent(event.data)})"
        case "meeting-turn-start":
            return f"{data['agent_name']} speaks ({turn_words(event.data)})"
        case "meeting-turn" if event.data.get("response") is None:
            return f"{data['agent_name']} did not speak: {data['skipped_reason']}"
        case "meeting-turn":
            return f"{data['agent_name']}: {data['response']} ({percent(event.data)})"
        case "meeting-synthesis":
            return "the minutes are being written"
        case "meeting-warning":
            return f"warning: {data['message']}"
        case _:
            return ending_words(event)


def ending_words(event: FeedEvent) -> str:
    """Return the end of a meeting as one line; any other event is shown by its name."""
    data = _Words(event.data)
    match event.event:
        case "meeting-complete":
            saved = f"; minutes in {data['output_path']}" if data["output_path"] else ""
            tokens = f", {data['total_tokens']} tokens" if data["total_tokens"] else ""
            return f"complete after {data['duration_seconds']} s{tokens}{saved}"
        case "meeting-error":
            return f"failed: {data['error']}"
        case "meeting-cancelled":
            return f"cancelled at {data['cancelled_at']}"
        case _:
            return one_line(event.event.removeprefix("meeting-"))


def state_words(data: dict[str, Any]) -> str:
    """Return the state of a meeting in words."""
    words = _Words(data)
    if not str(data.get("state", "")).startswith("round_"):
        return words["state"]
    return f"round {words['current_round']} of {words['total_rounds']}: {words['round_topic']}"


def turn_words(data: dict[str, Any]) -> str:
    """Return the round and the number of a turn in words."""
    index = data.get("turn_index")
    turn = f"turn {index + 1} of {data.get('total_turns')}" if isinstance(index, int) else "turn"
    return f"round {data.get('round')}, {turn}"


def percent(data: dict[str, Any]) -> str:
    """Return the progress as text."""
    share = data.get("progress_pct")
    return f"{share:.0f} %" if isinstance(share, int | float) else "? %"


def _counted(count: str, word: str) -> str:
    return f"{count} {word}" if count == "1" else f"{count} {word}s"


class _Words:
    """Fields of an event as printable text, empty if missing."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def __getitem__(self, name: str) -> str:
        value = self._data.get(name)
        return "" if value is None else one_line(str(value))
