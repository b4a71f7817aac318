"""Committing the appends of many meetings together, each accepted or refused by itself.

One task takes whatever is queued, sends it as one transaction, and takes what has come meanwhile.
Nothing ever waits for company: a meeting alone has the latency of one round trip.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from eventsourcing.persistence import (
    InterfaceError,
    OperationalError,
)

from meeting_core.model import MeetingId
from meeting_service.store.postgres.append import Append
from meeting_service.store.postgres.vigil import Vigil

MAX_APPENDS = 256
SMALL_BATCH = 4
MAX_BYTES = 4_000_000

NOT_OPEN = "the store is not open"
CLOSED = "the store is closed"


Commit: TypeAlias = Callable[[Sequence[Append]], Awaitable[None]]
"""Commits a batch and settles each of its appends.

Raises: `OperationalError` or `InterfaceError` when the outcome is unknown or the database did not
want it now, any other error when one of the batch must be to blame and nothing was stored.
"""


class GroupCommit:
    """The queue of appends.

    Invariant: a batch holds at most one append of a meeting and at most one of a room; appends of
    one meeting are committed in the order they came.
    """

    def __init__(self) -> None:
        self._queue: deque[Append] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._closing = False
        self._vigil = Vigil()
        self.away = NOT_OPEN
        """Why appends are turned away at present; empty when they are taken."""

    def append(self, append: Append) -> Awaitable[list[int]]:
        """Have an append committed; the result is its positions.

        It is committed even if whoever waits for the result is cancelled meanwhile.
        Raises, when it is awaited: `VersionConflict`, `Fenced`, `RoomTaken`, or another
        `PersistenceError`.
        """
        if self.away:
            append.refuse(OperationalError(self.away))
        else:
            self._queue.append(append)
            self.wake()
        # Cancelling the caller cancels only this wait: the append stays in the queue.
        return append.outcome

    def wake(self) -> None:
        """Have the queue, and the connection, looked at again."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def open(self) -> None:
        """Take appends from now on; `serve` is about to run."""
        self.away = CLOSED if self._closing else ""

    def close(self) -> None:
        """Take no more appends; `serve` returns when those queued are committed."""
        self._closing = True
        self.away = CLOSED
        self.wake()

    async def serve(self, commit: Commit, is_lost: Callable[[], bool]) -> None:
        """Commit what comes until closed or until the connection is lost.

        Raises: `OperationalError` once the connection is lost. Whatever is queued has failed
        then, and so does what comes until it is opened again.
        """
        try:
            while not is_lost():
                if self._queue:
                    self._vigil.begin()
                    await _settle(_take(self._queue), commit)
                    self._vigil.end()
                elif self._closing:
                    return
                else:
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
            raise OperationalError("the database is away: the connection was lost")
        finally:
            self._turn_away(CLOSED if self._closing else "the database is away: reconnecting")

    def _turn_away(self, reason: str) -> None:
        self.away = reason
        while self._queue:
            self._queue.popleft().refuse(OperationalError(reason))


async def _settle(batch: Sequence[Append], commit: Commit) -> None:
    try:
        await commit(batch)
    except (OperationalError, InterfaceError) as error:
        for append in batch:
            append.refuse(type(error)(*error.args))
    except asyncio.CancelledError:
        for append in batch:
            append.refuse(OperationalError("the store was shut during the append"))
        raise
    except Exception as error:
        # Nothing of the batch was stored, and one of it is to blame: find out which.
        if len(batch) == 1:
            batch[0].refuse(error)
        else:
            for append in batch:
                await _settle([append], commit)


def _take(queue: deque[Append]) -> list[Append]:
    if len(queue) == 1:
        return [queue.popleft()]
    batch: list[Append] = []
    kept_back: list[Append] = []
    meetings: set[MeetingId] = set()
    rooms: set[str] = set()
    size = 0
    # Not all of them: else all meetings wait for one commit, and then the database for them all.
    most = min(MAX_APPENDS, max(SMALL_BATCH, len(queue) * 3 // 4))
    while queue and len(batch) < most and size < MAX_BYTES:
        append = queue.popleft()
        if append.meeting_id in meetings or append.room_id in rooms:
            kept_back.append(append)
        else:
            batch.append(append)
            size += append.size
        meetings.add(append.meeting_id)
        if append.room_id is not None:
            rooms.add(append.room_id)
    queue.extendleft(reversed(kept_back))
    return batch
