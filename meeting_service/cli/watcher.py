"""Watching a meeting to its end, with the display that fits the output."""

from contextlib import aclosing

from rich.console import Console

from meeting_service.cli.client import ServiceClient, meeting_path
from meeting_service.cli.display_live import LiveDisplay
from meeting_service.cli.display_text import Display, JsonLines, PlainLines
from meeting_service.cli.exit_codes import Exit
from meeting_service.cli.feed_client import feed_events

STATES = {"complete": Exit.COMPLETE, "error": Exit.FAILED, "cancelled": Exit.CANCELLED}


async def watch_meeting(client: ServiceClient, meeting_id: str, *, as_json: bool) -> Exit:
    """Show a meeting from its first event to its last; return how it ended.

    Raises: `CommandError`.
    """
    display = await _display(client, meeting_id, as_json=as_json)
    with display:
        async with aclosing(feed_events(client, meeting_id, display.notify)) as events:
            async for event in events:
                display.show(event)
                if event.ending is not None:
                    return event.ending
    # Nothing was left to send: the meeting had ended before, so its status says how.
    status = await client.get(meeting_path(meeting_id, "status"))
    return STATES.get(str(status.get("state")), Exit.FAILED)


async def _display(client: ServiceClient, meeting_id: str, *, as_json: bool) -> Display:
    if as_json:
        return JsonLines()
    console = Console(highlight=False)
    if not shows_live(console):
        return PlainLines()
    status = await client.get(meeting_path(meeting_id, "status"))
    return LiveDisplay(console, ceiling=_ceiling(status.get("tokens")))


def shows_live(console: Console) -> bool:
    """Return whether the output is a terminal that can be redrawn."""
    return console.is_terminal and not console.is_dumb_terminal


def _ceiling(tokens: object) -> int | None:
    if not isinstance(tokens, dict):
        return None
    parts = [tokens.get(name) for name in ("spent", "reserved", "left")]
    known = [part for part in parts if isinstance(part, int)]
    return sum(known) if len(known) == len(parts) else None
