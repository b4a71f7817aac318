"""A simulation's report as tables and lines."""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meeting_service.cli.printable import one_line
from meeting_service.simulation import Report


def simulation_report(report: Report) -> RenderableType:
    """Render a report: endings, limits hit, percentiles and advice."""
    endings = ((each.name, each.runs, _percent(each.share)) for each in report.endings)
    limit_hits = (
        (each.name, each.runs, _percent(each.share), each.times) for each in report.limit_hits
    )
    spread = (
        (each.name, *map(_figure, (each.p5, each.p50, each.p95, each.max)))
        for each in report.percentiles
    )
    prices = f", prices of {report.prices_version}" if report.prices_version else ""
    return Group(
        _line(f"{report.runs} runs, seed {report.seed}{prices}"),
        Text(),
        _table(("ending", "runs", "share"), endings),
        _table(("what happened", "runs", "share", "times"), limit_hits),
        _table(("of each meeting", "p5", "p50", "p95", "max"), spread),
        *(_line(f"- {each}") for each in report.advice),
    )


def _table(headings: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Table:
    first, *others = headings
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(_line(str(cell)) for cell in row))
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _line(text: str) -> Text:
    return Text(one_line(text))
