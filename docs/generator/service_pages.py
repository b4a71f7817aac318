"""The pages about `meeting_service`: settings, command line, errors, HTTP."""

from collections.abc import Iterator
from io import StringIO
from itertools import groupby
from types import ModuleType

from cyclopts import App
from generator.http_pages import openapi, problems_table
from generator.markdown import code, fenced, page, prose, table
from generator.source import text_of
from rich.console import Console

from meeting_core import errors
from meeting_service.cli.application import command_line
from meeting_service.cli.exit_codes import MEANINGS
from meeting_service.http import problems
from meeting_service.ports import gateway, store
from meeting_service.settings import SettingDescription, describe_settings

HELP_COLUMNS = 88


def service_pages() -> dict[str, str]:
    """Return the pages by file name."""
    return {
        "settings.md": _settings(),
        "cli.md": _cli(),
        "errors.md": _errors(),
        "openapi.json": openapi(),
    }


def _settings() -> str:
    intro = (
        "Defaults, then the settings file, then the environment, then flags: the later one wins. "
        "The file is `meetings.toml` in the working directory, or what `--config` names; "
        "`meetings.toml.example` shows every setting. A name that is no setting is refused."
    )
    sections = groupby(describe_settings(), key=lambda row: row.table)
    parts = (_section(table_, list(rows)) for table_, rows in sections)
    return page("Settings", intro, *parts)


def _section(title: str, rows: list[SettingDescription]) -> str:
    heading = f"## {title or 'Above the first table'}"
    if rows[0].name == "kind":
        return "\n\n".join((heading, rows[0].text, _rows(rows[1:])))
    return f"{heading}\n\n{_rows(rows)}"


def _rows(rows: list[SettingDescription]) -> str:
    headings = ["setting", "type", "default", "meaning"]
    cells = [[code(row.name), row.type, code(row.default), row.text] for row in rows]
    if any(row.environment for row in rows):
        headings.append("environment")
        for row, each in zip(rows, cells, strict=True):
            each.append(", ".join(code(name) for name in row.environment.split(", ")))
    return table(headings, cells)


def _cli() -> str:
    app = command_line()
    app.help_epilogue = ""
    codes = [(str(each.value), text) for each, text in MEANINGS.items()]
    parts = [f"## meetings {name}\n\n{fenced('text', _help(app, name))}" for name in _commands(app)]
    intro = (
        "`python3 run.py ANYTHING` is `meetings ANYTHING`, once the project is set up. Every "
        "command shows this page's text with `--help`."
    )
    return page(
        "Command line",
        intro,
        fenced("text", _help(app, "")),
        f"## Exit codes\n\n{table(('code', 'meaning'), codes)}",
        *parts,
    )


def _commands(app: App, above: str = "") -> Iterator[str]:
    for name in app:
        if name.startswith("-"):
            continue
        yield above + name
        yield from _commands(app[name], f"{above}{name} ")


def _help(app: App, command: str) -> str:
    written = StringIO()
    console = Console(
        file=written, width=HELP_COLUMNS, force_terminal=False, color_system=None, no_color=True
    )
    app.help_print(command.split(), console=console)
    return "\n".join(line.rstrip() for line in written.getvalue().strip().splitlines())


def _errors() -> str:
    return page(
        "Errors",
        "## In the core",
        *_family(errors),
        "## In the service",
        *_family(gateway),
        *_family(store),
        "## Over HTTP",
        text_of(problems),
        problems_table(),
    )


def _family(module: ModuleType) -> tuple[str, ...]:
    """Return a module's tree of its errors, if it draws one, and a table of them."""
    words, _, tree = text_of(module).partition("\n\n")
    rows = [
        (code(name), prose(text_of(each)))
        for name, each in vars(module).items()
        if _is_error(each, module.__name__)
    ]
    shown_tree = fenced("text", tree) if tree else ""
    return words, shown_tree, table(("error", "means"), rows)


def _is_error(found: object, module: str) -> bool:
    return isinstance(found, type) and issubclass(found, Exception) and found.__module__ == module
