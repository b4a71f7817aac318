"""A client of a meeting's feed: every event once, through lost connections."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx2
import msgspec
import stamina
from msgspec import Struct

from meeting_service.cli.client import ServiceClient, meeting_path
from meeting_service.cli.exit_codes import CommandError, Exit

ENDINGS = {
    "meeting-complete": Exit.COMPLETE,
    "meeting-error": Exit.FAILED,
    "meeting-cancelled": Exit.CANCELLED,
}
RECONNECT_TIMEOUT_SECONDS = 60.0
MAX_WAIT_SECONDS = 5.0
# More than the longest reply may be, all in escapes.
MAX_EVENT_BYTES = 64 * 1024 * 1024

# Retries are shown by us; stamina's own log lines must not reach the terminal.
logging.getLogger("stamina").propagate = False
logging.getLogger("stamina").addHandler(logging.NullHandler())


class FeedEvent(Struct, frozen=True):
    """One event of a feed. `version` is None for events that may be lost, such as deltas."""

    event: str
    version: int | None
    data: dict[str, Any]

    @property
    def ending(self) -> Exit | None:
        """How the meeting ended, or None if this is not its last event."""
        return ENDINGS.get(self.event)


async def feed_events(
    client: ServiceClient, meeting_id: str, notify: Callable[[str], None]
) -> AsyncGenerator[FeedEvent]:
    """Yield every event of a meeting once, in order, from the first to the last.

    A lost connection is resumed after the last event received, and `notify` is called. Ends without
    a last event if the service answers that nothing is left to send.
    Raises: `CommandError` if the service refuses, never answers, or is unreachable for too long.
    """
    connection = _Connection(client, meeting_id, notify)
    while True:
        async with AsyncExitStack() as stack:
            response = await connection.open(stack)
            if response.status_code == httpx2.codes.NO_CONTENT:
                return
            try:
                async for sse in httpx2.EventSource(response, MAX_EVENT_BYTES):
                    event = connection.take(sse.event, sse.id, sse.data, sse.retry)
                    if event is None:
                        continue
                    yield event
                    if event.ending is not None:
                        return
            # `SSEError` is also one of httpx2's errors, but no lost connection.
            except (httpx2.SSEError, msgspec.DecodeError) as error:
                raise client.not_a_meeting_service(response) from error
            except httpx2.RequestError:
                notify("lost the connection; resuming")
        await anyio.sleep(connection.wait_seconds)


class _Unreachable(Exception):
    """The service cannot be reached now, or answers that it is unavailable."""

    def __init__(self, problem: CommandError, retry_after: str | None = None) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.retry_after = retry_after


class _Connection:
    """A resumable connection to one feed."""

    def __init__(
        self, client: ServiceClient, meeting_id: str, notify: Callable[[str], None]
    ) -> None:
        self.wait_seconds = 1.0
        self._client = client
        self._path = meeting_path(meeting_id, "events")
        self._notify = notify
        self._seen = 0
        self._current_id = ""
        self._was_open = False

    async def open(self, stack: AsyncExitStack) -> httpx2.Response:
        """Connect after the last event seen, with retries if a connection was open before.

        Raises: `CommandError`.
        """
        try:
            async for attempt in stamina.retry_context(
                on=self._retries,
                attempts=None,
                timeout=RECONNECT_TIMEOUT_SECONDS,
                wait_initial=0.2,
                wait_max=MAX_WAIT_SECONDS,
            ):
                with attempt:
                    response = await self._open_once(stack)
                    self._was_open = True
                    self._current_id = ""
                    return response
        except _Unreachable as error:
            raise error.problem from error
        raise AssertionError("retries end with an answer or with an error")

    def take(self, event: str, event_id: str, data: str, retry: int | None) -> FeedEvent | None:
        """Return one event, or None for a ping or an event seen before.

        Units: `retry` in milliseconds, as in the feed.
        """
        if retry is not None:
            self.wait_seconds = min(retry / 1000, MAX_WAIT_SECONDS)
        # Events without an id repeat the last one, so only a change means an id of their own.
        is_numbered, self._current_id = event_id != self._current_id, event_id
        if not data:
            return None
        version = int(event_id) if is_numbered and event_id.isdecimal() else None
        if version is not None:
            if version <= self._seen:
                return None
            self._seen = version
        return FeedEvent(event, version, msgspec.json.decode(data, type=dict[str, Any]))

    async def _open_once(self, stack: AsyncExitStack) -> httpx2.Response:
        headers = {"Last-Event-ID": str(self._seen)} if self._seen else {}
        opened = self._client.stream(self._path, "text/event-stream", headers)
        try:
            response = await stack.enter_async_context(opened)
            if response.is_success:
                return response
            await response.aread()
        except httpx2.RequestError as error:
            raise _Unreachable(self._client.unreachable(error)) from error
        problem = self._client.refusal(response)
        if problem.code is Exit.UNREACHABLE or response.status_code == 429:
            raise _Unreachable(problem, response.headers.get("retry-after"))
        raise problem

    def _retries(self, error: Exception) -> bool | float:
        if not isinstance(error, _Unreachable) or not self._was_open:
            return False
        self._notify(f"{error}; trying again")
        if error.retry_after is not None and error.retry_after.isdecimal():
            return min(float(error.retry_after), MAX_WAIT_SECONDS)
        return True
