"""Commands that control a live meeting and show its spending, over HTTP."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter

from meeting_service.cli.exit_codes import CommandError, Exit
from meeting_service.cli.options import (
    DEFAULT_CLIENT_OPTIONS,
    ClientOptions,
    JsonFlag,
    MeetingArgument,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def register(app: App, group: Group) -> None:
    """Add the commands, in the order in which `--help` lists them."""
    app.command(spending, group=group, sort_key=11)
    app.command(budget, group=group, sort_key=12)
    app.command(wrap_up, name="wrap-up", group=group, sort_key=13)
    app.command(pause, group=group, sort_key=14)
    app.command(resume, group=group, sort_key=15)
    app.command(remark, group=group, sort_key=16)


def spending(
    meeting: MeetingArgument,
    *,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Show what a meeting spent: by participant, round and model, and call by call."""
    from meeting_service.cli.client import meeting_path
    from meeting_service.cli.printable import json_line
    from meeting_service.cli.spending_table import meeting_spending
    from meeting_service.cli.tables import show

    path = meeting_path(meeting, "spending")
    answer = options.run(lambda client: client.get(path))
    if as_json:
        print(json_line(answer))
    else:
        show(meeting_spending(answer))


def budget(
    meeting: MeetingArgument,
    *,
    tokens: Annotated[int | None, Parameter(help="Most tokens it may spend in all.")] = None,
    cost: Annotated[float | None, Parameter(help="Most money it may spend in all.")] = None,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Raise a meeting's budget; if it was paused for that, it goes on."""
    given = {"meeting_tokens": tokens, "meeting_cost": cost}
    body = {name: value for name, value in given.items() if value is not None}
    if not body:
        raise CommandError("name the new budget: --tokens, --cost, or both", Exit.USAGE)
    _control(options, meeting, "budget", body, as_json=as_json)


def wrap_up(
    meeting: MeetingArgument,
    *,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """End a meeting's rounds now and write the minutes of what was said."""
    _control(options, meeting, "wrap-up", None, as_json=as_json)


def pause(
    meeting: MeetingArgument,
    *,
    reason: Annotated[str | None, Parameter(help="Why, for the record.")] = None,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Pause a meeting; a call under way may still end."""
    body = None if reason is None else {"reason": reason}
    _control(options, meeting, "pause", body, as_json=as_json)


def resume(
    meeting: MeetingArgument,
    *,
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Resume a paused meeting."""
    _control(options, meeting, "resume", None, as_json=as_json)


def remark(
    meeting: MeetingArgument,
    text: Annotated[str, Parameter(help="What to say.")],
    *,
    author: Annotated[str, Parameter(help="Who says it.")] = "operator",
    as_json: JsonFlag = False,
    options: ClientOptions = DEFAULT_CLIENT_OPTIONS,
) -> None:
    """Add a remark to a meeting; later speakers are shown it."""
    _control(options, meeting, "remarks", {"author": author, "text": text}, as_json=as_json)


def _control(
    options: ClientOptions,
    meeting: str,
    action: str,
    body: dict[str, Any] | None,
    *,
    as_json: bool,
) -> None:
    from meeting_service.cli.client import meeting_path
    from meeting_service.cli.printable import json_line, one_line

    path = meeting_path(meeting, action)
    answer = options.run(lambda client: client.post(path, body))
    print(json_line(answer) if as_json else one_line(_state_line(answer)))


def _state_line(answer: "Mapping[str, Any]") -> str:
    """Return one line with a meeting's state, and its budget if the answer has it."""
    text = str(answer.get("state"))
    tokens = answer.get("tokens") or {}
    cost = tokens.get("cost") or {}
    if tokens.get("left") is not None:
        text += f"; {tokens['left']} tokens left"
    if cost.get("left") is not None:
        text += f"; {cost.get('currency')} {cost['left']:.4f} left"
    return text
