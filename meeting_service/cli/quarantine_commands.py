"""Commands about meetings in quarantine, sent to a running service over HTTP."""

from typing import TYPE_CHECKING, Any

from cyclopts import App, Group

from meeting_service.cli.options import (
    DEFAULT_CLIENT_OPTIONS,
    ClientOptions,
    JsonFlag,
    MeetingArgument,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType


def register(app: App, group: Group) -> None:
    """Add the commands, in the order in which `--help` lists them."""
    quarantine = App(
        name="quarantine",
        help="List and release meetings that cannot be run.",
        group=group,
        sort_key=17,
    )
    quarantine.command(list_quarantined, name="list")
    quarantine.command(release)
    app.command(quarantine)


def list_quarantined(
    *, as_json: JsonFlag = False, options: ClientOptions = DEFAULT_CLIENT_OPTIONS
) -> None:
    """List the meetings that were put aside because they cannot be run, and why."""
    from meeting_service.cli.printable import json_line
    from meeting_service.cli.tables import show

    answer = options.run(lambda client: client.get("/api/quarantine"))
    if as_json:
        print(json_line(answer))
    else:
        show(_table(answer))


def release(
    meeting: MeetingArgument,
    *,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Release a meeting from quarantine, so that it is run again."""
    from meeting_service.cli.client import meeting_path
    from meeting_service.cli.printable import json_line, one_line

    path = meeting_path(meeting, "release")
    answer = options.run(lambda client: client.post(path))
    print(json_line(answer) if as_json else one_line(f"released {answer.get('id')}"))


def _table(answer: "Mapping[str, Any]") -> "RenderableType":
    from meeting_service.cli.tables import table_of

    names = ("id", "state", "title", "reason", "since")
    rows = (tuple(each.get(name) for name in names) for each in answer.get("meetings", ()))
    return table_of(names, rows)
