"""The stored events of a meeting, printed one a line as they arrive."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import msgspec

from meeting_service.cli.client import ServiceClient, meeting_path
from meeting_service.cli.printable import json_line, one_line

NDJSON = "application/x-ndjson"


async def print_history(
    client: ServiceClient, meeting_id: str, *, after: int | None, as_json: bool
) -> None:
    """Print every stored event of a meeting, or those after a version.

    Raises: `CommandError`.
    """
    path = meeting_path(meeting_id, "history")
    query: dict[str, Any] = {} if after is None else {"after": after}
    try:
        async with client.stream(path, NDJSON, **query) as response:
            if not response.is_success:
                await response.aread()
                raise client.refusal(response)
            async for event in _events(client, response):
                print(json_line(event) if as_json else _in_words(event))
    except httpx2.RequestError as error:
        raise client.unreachable(error) from error


async def _events(
    client: ServiceClient, response: httpx2.Response
) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    # httpx2 also splits lines at U+2028 and the like, which JSON texts may hold.
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise client.not_a_meeting_service(response) from error


def _in_words(event: Mapping[str, Any]) -> str:
    columns = (event.get("version"), event.get("at"), event.get("name"), event.get("actor"))
    return one_line("  ".join([*map(str, columns), json_line(event.get("data"))]))
