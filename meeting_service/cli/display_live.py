"""The live display of a meeting on a terminal: finished turns above, the current one below."""

import time
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from meeting_service.cli.display_text import ending_words, percent, sentence, state_words
from meeting_service.cli.feed_client import FeedEvent
from meeting_service.cli.printable import one_line, printable

LINES_SHOWN = 8
# More than any terminal shows in eight lines; older text need not be wrapped again.
CHARACTERS_KEPT = 4_000
ENDING_STYLES = {
    "meeting-complete": "bold green",
    "meeting-error": "bold red",
    "meeting-cancelled": "bold yellow",
}


class LiveDisplay:
    """Shows the speaker, the text as it grows, the progress and the tokens spent.

    Units: `ceiling` in tokens, None without a budget for the whole meeting.
    """

    def __init__(self, console: Console, *, ceiling: int | None = None) -> None:
        self._console = console
        self._ceiling = ceiling
        self._tokens = 0
        self._progress: float = 0
        self._percent = percent({"progress_pct": 0})
        self._heading = ""
        self._text = ""
        self._began = time.monotonic()
        # Last, because it renders at once.
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=10, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def notify(self, text: str) -> None:
        self._console.print(Text(f"meetings: {text}", style="yellow"))

    def show(self, event: FeedEvent) -> None:
        """Update the display with one event; what is finished is printed above it."""
        data = event.data
        if (share := data.get("progress_pct")) is not None:
            self._progress, self._percent = share, percent(data)
        match event.event:
            case "meeting-turn-delta":
                self._text = (self._text + str(data.get("text", "")))[-CHARACTERS_KEPT:]
            case "meeting-turn-start":
                self._next(f"{one_line(str(data.get('agent_name')))} is thinking")
            case "meeting-synthesis":
                self._next("the minutes are being written")
            case "meeting-turn":
                self._finish_turn(data)
            case "meeting-state":
                self._console.print(Rule(Text(state_words(data)), style="cyan", align="left"))
            case "meeting-warning":
                # The text of a failed attempt is dropped; the next one starts again.
                self._text = ""
                self._console.print(Text(sentence(event), style="yellow"))
            case _:
                style = ENDING_STYLES.get(event.event, "bold")
                words = ending_words(event) if event.ending is not None else sentence(event)
                self._console.print(Text(words, style=style))

    def _next(self, heading: str) -> None:
        self._heading, self._text = heading, ""

    def _finish_turn(self, data: dict[str, Any]) -> None:
        self._tokens += sum(data.get(part) or 0 for part in ("prompt_tokens", "response_tokens"))
        self._next("")
        name = Text(one_line(str(data.get("agent_name"))), style="bold cyan")
        if data.get("response") is None:
            said = Text(f"did not speak: {one_line(str(data.get('skipped_reason')))}", "yellow")
        else:
            said = Text(printable(str(data["response"])))
        self._console.print(name, said, Text(), sep="\n")

    def render(self) -> RenderableType:
        """Return the current turn: the speaker, the last lines of the text, the progress."""
        heading = self._heading or "waiting"
        if self._text:
            heading = heading.replace(" is thinking", " speaks")
        panel = Panel(
            self._last_lines(), title=Text(heading), title_align="left", border_style="cyan"
        )
        return Group(panel, self._footer())

    def _last_lines(self) -> Text:
        width = max(20, self._console.width - 4)
        lines = Text(printable(self._text)).wrap(self._console, width)
        return Text("\n").join(lines[-LINES_SHOWN:])

    def _footer(self) -> Table:
        spent = f"{self._tokens:,}"
        budget = f" of {self._ceiling:,}" if self._ceiling else ""
        seconds = int(time.monotonic() - self._began)
        footer = Table.grid(padding=(0, 1), expand=True)
        footer.add_column(ratio=1)
        footer.add_column(justify="right", no_wrap=True)
        words = f"{self._percent}  {spent}{budget} tokens  {seconds // 60}:{seconds % 60:02d}"
        footer.add_row(ProgressBar(total=100, completed=self._progress), Text(words))
        return footer
