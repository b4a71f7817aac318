"""Commands about meetings, sent to a running service over HTTP."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter

from meeting_service.cli import control_commands, quarantine_commands
from meeting_service.cli.exit_codes import Exit
from meeting_service.cli.options import (
    DEFAULT_CLIENT_OPTIONS,
    ClientOptions,
    JsonFlag,
    MeetingArgument,
)
from meeting_service.cli.start_options import DEFAULT_START_OPTIONS, StartOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import RenderableType

    from meeting_service.cli.client import ServiceClient


def register(app: App) -> None:
    """Add the commands, in the order in which `--help` lists them."""
    group = Group("Meetings", sort_key=2)
    app.command(start, group=group, sort_key=1)
    app.command(watch, group=group, sort_key=2)
    app.command(status, group=group, sort_key=3)
    app.command(list_meetings, name="list", group=group, sort_key=4)
    app.command(output, group=group, sort_key=5)
    app.command(cancel, group=group, sort_key=6)
    app.command(history, group=group, sort_key=7)
    app.command(agents, group=group, sort_key=8)
    control_commands.register(app, group)
    quarantine_commands.register(app, group)


def start(
    goal: Annotated[str | None, Parameter(help="What the meeting is to achieve.")] = None,
    *,
    start_options: StartOptions = DEFAULT_START_OPTIONS,
    watch: Annotated[bool, Parameter(help="Watch the meeting to its end.")] = False,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> Exit:
    """Start a meeting, and print its id."""
    body = start_options.body(goal)

    async def work(client: "ServiceClient") -> Exit:
        if "participants" not in body:
            answer = await client.get("/api/agents")
            body["participants"] = [agent["id"] for agent in answer["agents"]]
        headers = (
            {"Idempotency-Key": start_options.idempotency_key}
            if start_options.idempotency_key
            else None
        )
        started = await client.post("/api/meetings/start", body, headers)
        return await _after_start(client, started, watch=watch, as_json=as_json)

    return options.run(work)


async def _after_start(
    client: "ServiceClient", started: dict[str, Any], *, watch: bool, as_json: bool
) -> Exit:
    import sys

    from meeting_service.cli.printable import json_line, one_line
    from meeting_service.cli.watcher import watch_meeting

    meeting_id = one_line(str(started["id"]))
    if not watch:
        print(json_line(started) if as_json else meeting_id, flush=True)
        if not as_json:
            print(f"watch it with: meetings watch {meeting_id}", file=sys.stderr)
        return Exit.COMPLETE
    # Standard output is only for the feed, which a program may read.
    print(f"started {meeting_id}", file=sys.stderr, flush=True)
    return await watch_meeting(client, meeting_id, as_json=as_json)


def watch(
    meeting: MeetingArgument,
    *,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> Exit:
    """Watch a meeting from its beginning to its end; the exit code says how it ended."""

    async def work(client: "ServiceClient") -> Exit:
        from meeting_service.cli.watcher import watch_meeting

        return await watch_meeting(client, meeting, as_json=as_json)

    return options.run(work)


def status(
    meeting: MeetingArgument,
    *,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Show where a meeting stands, turn by turn."""
    from meeting_service.cli.client import meeting_path
    from meeting_service.cli.tables import meeting_status

    _show(options, meeting_path(meeting, "status"), {}, meeting_status, as_json=as_json)


def list_meetings(
    *,
    days: Annotated[int | None, Parameter(help="Only of the last so many days.")] = None,
    room: Annotated[str | None, Parameter(help="Only of this room.")] = None,
    project: Annotated[str | None, Parameter(help="Only of this project.")] = None,
    state: Annotated[str | None, Parameter(help="Only in this state.")] = None,
    limit: Annotated[int | None, Parameter(help="At most so many, up to 100.")] = None,
    offset: Annotated[int | None, Parameter(help="Leave out so many.")] = None,
    cursor: Annotated[str | None, Parameter(help="Go on where a page before ended.")] = None,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """List meetings, newest first."""
    from meeting_service.cli.tables import meeting_list

    query = {
        "days": days,
        "room_id": room,
        "project_id": project,
        "state": state,
        "limit": limit,
        "offset": offset,
        "cursor": cursor,
    }
    _show(options, "/api/meetings", query, meeting_list, as_json=as_json)


def output(
    meeting: MeetingArgument,
    *,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Print the minutes of a complete meeting."""
    from meeting_service.cli.client import meeting_path
    from meeting_service.cli.tables import print_minutes

    path = meeting_path(meeting, "output")
    answer = options.run(lambda client: client.get(path))
    if as_json:
        _print_json(answer)
    else:
        print_minutes(str(answer["output_md"]))


def cancel(
    meeting: MeetingArgument,
    *,
    reason: Annotated[str | None, Parameter(help="Why, for the record.")] = None,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Cancel a meeting; what it has finished is kept."""
    from meeting_service.cli.client import meeting_path
    from meeting_service.cli.printable import one_line

    path = meeting_path(meeting, "cancel")
    body = None if reason is None else {"reason": reason}
    answer = options.run(lambda client: client.post(path, body))
    if as_json:
        _print_json(answer)
    else:
        print(one_line(f"cancelled at {answer.get('cancelled_at')}"))


def history(
    meeting: MeetingArgument,
    *,
    after: Annotated[int | None, Parameter(help="Only events after this version.")] = None,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Show the stored events of a meeting, one a line."""
    from meeting_service.cli.history_table import print_history

    async def work(client: "ServiceClient") -> None:
        await print_history(client, meeting, after=after, as_json=as_json)

    options.run(work)


def agents(*, as_json: JsonFlag = False, options: ClientOptions = DEFAULT_CLIENT_OPTIONS) -> None:
    """List the agents that meetings may be held with."""
    from meeting_service.cli.tables import agent_list

    _show(options, "/api/agents", {}, agent_list, as_json=as_json)


def _show(
    options: ClientOptions,
    path: str,
    query: "Mapping[str, Any]",
    table: "Callable[[Mapping[str, Any]], RenderableType]",
    *,
    as_json: bool,
) -> None:
    from meeting_service.cli.tables import show

    answer = options.run(lambda client: client.get(path, **query))
    if as_json:
        _print_json(answer)
    else:
        show(table(answer))


def _print_json(answer: dict[str, Any]) -> None:
    from meeting_service.cli.printable import json_line

    print(json_line(answer))
