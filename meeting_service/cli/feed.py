"""Following a meeting's feed: from its first event to its last, through lost connections."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx
import msgspec
import stamina
from httpx_sse import EventSource, SSEError
from msgspec import Struct

from meeting_service.cli.client import ServiceClient, meeting_path, not_ours, refusal
from meeting_service.cli.exit_codes import CommandError, Exit

ENDINGS = {
    "meeting-complete": Exit.COMPLETE,
    "meeting-error": Exit.FAILED,
    "meeting-cancelled": Exit.CANCELLED,
}
PATIENCE_SECONDS = 60.0
MAX_WAIT_SECONDS = 5.0

# We tell of every retry ourselves; without a handler its own word would reach the terminal too.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class FeedEvent(Struct, frozen=True):
    """One event of a feed. `version` is none for what may be lost, such as deltas."""

    event: str
    version: int | None
    data: dict[str, Any]

    @property
    def ending(self) -> Exit | None:
        """Say how the meeting ended, if this is its last event."""
        return ENDINGS.get(self.event)


async def follow(
    client: ServiceClient, meeting_id: str, tell: Callable[[str], None]
) -> AsyncGenerator[FeedEvent]:
    """Give every event of a meeting once, in order, from the first to the last.

    A lost connection is resumed after the last event that came; `tell` hears of it. Ends without
    a last event when the service says that there is nothing left to send.
    Raises: `CommandError` when the service refuses, never answered, or stays away too long.
    """
    connection = _Connection(client, meeting_id, tell)
    while True:
        async with AsyncExitStack() as stack:
            response = await connection.open(stack)
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            try:
                async for sse in EventSource(response).aiter_sse():
                    event = connection.take(sse.event, sse.id, sse.data, sse.retry)
                    if event is None:
                        continue
                    yield event
                    if event.ending is not None:
                        return
            # The first is one of httpx's own errors too, but no lost connection.
            except (SSEError, msgspec.DecodeError) as error:
                raise not_ours(response) from error
            except httpx.RequestError:
                tell("lost the connection; resuming")
        await anyio.sleep(connection.wait_seconds)


class _Away(Exception):
    """The service cannot be reached for now, or says so itself."""

    def __init__(self, told: CommandError, retry_after: str | None = None) -> None:
        super().__init__(str(told))
        self.told = told
        self.retry_after = retry_after


class _Connection:
    """Where in a feed we are, and how to get back there."""

    def __init__(self, client: ServiceClient, meeting_id: str, tell: Callable[[str], None]) -> None:
        self.wait_seconds = 1.0
        self._client = client
        self._path = meeting_path(meeting_id, "events")
        self._tell = tell
        self._seen = 0
        self._current_id = ""
        self._was_open = False

    async def open(self, stack: AsyncExitStack) -> httpx.Response:
        """Connect after the last event seen, with patience if it worked before.

        Raises: `CommandError`.
        """
        try:
            async for attempt in stamina.retry_context(
                on=self._retries,
                attempts=None,
                timeout=PATIENCE_SECONDS,
                wait_initial=0.2,
                wait_max=MAX_WAIT_SECONDS,
            ):
                with attempt:
                    response = await self._open_once(stack)
                    self._was_open = True
                    self._current_id = ""
                    return response
        except _Away as away:
            raise away.told from away
        raise AssertionError("trying ends with an answer or with an error")

    def take(self, event: str, event_id: str, data: str, retry: int | None) -> FeedEvent | None:
        """Read one event; none for a mere ping and for what was seen already.

        Units: `retry` in milliseconds, as in the feed.
        """
        if retry is not None:
            self.wait_seconds = min(retry / 1000, MAX_WAIT_SECONDS)
        # An id stays in force for the events after it, so only a change means one of its own.
        is_numbered, self._current_id = event_id != self._current_id, event_id
        if not data:
            return None
        version = int(event_id) if is_numbered and event_id.isdecimal() else None
        if version is not None:
            if version <= self._seen:
                return None
            self._seen = version
        return FeedEvent(event, version, msgspec.json.decode(data, type=dict[str, Any]))

    async def _open_once(self, stack: AsyncExitStack) -> httpx.Response:
        headers = {"Last-Event-ID": str(self._seen)} if self._seen else {}
        opened = self._client.stream(self._path, "text/event-stream", headers)
        try:
            response = await stack.enter_async_context(opened)
            if response.is_success:
                return response
            await response.aread()
        except httpx.RequestError as error:
            raise _Away(self._client.unreachable(error)) from error
        problem = refusal(response)
        if problem.code is Exit.UNREACHABLE or response.status_code == 429:
            raise _Away(problem, response.headers.get("retry-after"))
        raise problem

    def _retries(self, error: Exception) -> bool | float:
        if not isinstance(error, _Away) or not self._was_open:
            return False
        self._tell(f"{error}; trying again")
        if error.retry_after is not None and error.retry_after.isdecimal():
            return min(float(error.retry_after), MAX_WAIT_SECONDS)
        return True
