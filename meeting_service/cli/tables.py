"""Answers of the service as tables and text; every text in them is printable."""

from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from meeting_service.cli.display_text import percent
from meeting_service.cli.printable import one_line, printable

PIPED_WIDTH = 10_000
NO_WRAP_COLUMNS = ("id", "created", "version", "at", "call")


def show(renderable: RenderableType) -> None:
    """Print a table or a text; without a terminal each row stays on one line."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(renderable)
        return
    text = StringIO()
    Console(highlight=False, width=PIPED_WIDTH, file=text).print(renderable)
    for line in text.getvalue().splitlines():
        print(line.rstrip())


def print_minutes(markdown: str) -> None:
    """Print minutes: rendered on a terminal, as markdown anywhere else."""
    console = Console(highlight=False)
    text = printable(markdown)
    if console.is_terminal:
        from rich.markdown import Markdown

        # A link is written out, because a hidden one may lead anywhere.
        laid_out = console.render(Markdown(text, hyperlinks=False))
        # Again, because markdown may name by an entity what was removed above.
        safe = [
            part if part.control else part._replace(text=printable(part.text)) for part in laid_out
        ]
        console.print(Segments(safe), end="")
    else:
        print(text, end="" if text.endswith("\n") else "\n")


def meeting_list(answer: Mapping[str, Any]) -> RenderableType:
    """Return one page of meetings as a table."""
    rows = (
        (
            one["id"],
            _state(one),
            one.get("title"),
            ", ".join(map(str, one.get("participant_names") or ())),
            one.get("created_at"),
            _seconds(one.get("duration_seconds")),
        )
        for one in answer.get("meetings", ())
    )
    table = table_of(("id", "state", "title", "participants", "created", "took"), rows)
    shown = len(answer.get("meetings", ()))
    more = f"; more with --cursor {answer['next_cursor']}" if answer.get("next_cursor") else ""
    return Group(table, _text(f"{shown} of {answer.get('total', shown)} meetings{more}"))


def agent_list(answer: Mapping[str, Any]) -> RenderableType:
    """Return the agents of the directory as a table."""
    rows = (
        tuple(one.get(name) for name in ("id", "name", "role", "gateway", "model"))
        for one in answer.get("agents", ())
    )
    return table_of(("id", "name", "role", "gateway", "model"), rows)


def meeting_status(answer: Mapping[str, Any]) -> RenderableType:
    """Return the status of one meeting as tables."""
    facts = table_of(("", ""), _facts(answer), show_header=False)
    turns = (
        (
            f"{each.get('round_num')}: {each.get('topic')}",
            turn.get("agent_name"),
            _said(turn),
            _tokens(turn),
        )
        for each in answer.get("rounds", ())
        for turn in each.get("turns") or ()
    )
    return Group(facts, Text(), table_of(("round", "who", "said", "tokens"), turns))


def table_of(
    headings: tuple[str, ...], rows: Iterable[tuple[Any, ...]], *, show_header: bool = True
) -> Table:
    """Return rows as a table; without headings, rows with an empty second cell are left out."""
    table = Table(box=box.SIMPLE_HEAD, show_header=show_header, pad_edge=False)
    for heading in headings:
        # An id or a time that is cut cannot be copied.
        table.add_column(_text(heading), no_wrap=heading in NO_WRAP_COLUMNS)
    for row in rows:
        if show_header or row[1] not in (None, ""):
            table.add_row(*(_text(cell) for cell in row))
    return table


def _facts(answer: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
    tokens = answer.get("tokens") or {}
    for name in ("id", "title", "goal", "state", "quarantined"):
        yield name, answer.get(name)
    yield "progress", percent(dict(answer))
    yield "round", f"{answer.get('current_round')} of {answer.get('total_rounds')}"
    counts = {name: tokens.get(name) for name in ("spent", "reserved", "left")}
    yield "tokens", ", ".join(f"{name} {each}" for name, each in counts.items() if each is not None)
    yield "cost", _cost(tokens.get("cost") or {})
    yield "waits for", _wait(answer.get("waiting") or {})
    for name in ("room_id", "project_id", "parent_meeting_id", "created_at", "completed_at"):
        yield name, answer.get(name)
    for name in ("cancelled_at", "error_message", "output_path"):
        yield name, answer.get(name)


def _state(meeting: Mapping[str, Any]) -> str:
    """Return a listed meeting's state, and what keeps it from going on."""
    state = str(meeting.get("state") or "")
    if meeting.get("quarantined"):
        return f"{state} (quarantined)"
    gateway = (meeting.get("waiting") or {}).get("gateway")
    return f"{state} (waits for gateway {gateway})" if gateway else state


def _cost(cost: Mapping[str, Any]) -> str:
    """Return the budget in money in words, empty if there are no prices."""
    amounts = ((name, cost.get(name)) for name in ("spent", "reserved", "left"))
    known = [f"{name} {each:.4f}" for name, each in amounts if isinstance(each, int | float)]
    return f"{cost.get('currency')}: {', '.join(known)}" if known else ""


def _wait(waiting: Mapping[str, Any]) -> str:
    """Return what a meeting waits for in words, empty if it does not wait."""
    if not waiting:
        return ""
    about = (
        ("of gateway", waiting.get("gateway")),
        ("since", waiting.get("since")),
        ("until", waiting.get("until")),
        ("calls ahead:", waiting.get("calls_ahead")),
    )
    known = [f"{word} {each}" for word, each in about if each is not None]
    return ", ".join((str(waiting.get("for")), *known))


def _said(turn: Mapping[str, Any]) -> str:
    if turn.get("response") is not None:
        return str(turn["response"])
    return f"(did not speak: {turn['skipped_reason']})" if turn.get("skipped_reason") else ""


def _tokens(turn: Mapping[str, Any]) -> str:
    counts = [turn.get(name) for name in ("prompt_tokens", "response_tokens")]
    return " + ".join(str(count) for count in counts if count is not None)


def _seconds(value: object) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else ""


def _text(cell: object) -> Text:
    return Text("" if cell is None else one_line(str(cell)))
