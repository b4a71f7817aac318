"""The connection that appends and listens: the commits of many meetings together, each append
accepted or refused by itself. Long because the queue and its connection end and begin together.

One task takes all queued appends, sends them as one transaction, and then takes those that came
meanwhile. No append waits for others: a single one has the latency of one round trip.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import asyncpg
import stamina
from eventsourcing.persistence import InterfaceError, OperationalError, PersistenceError

from meeting_core.model import MeetingId
from meeting_service.ports import VersionConflict
from meeting_service.store.postgres.append_request import Append, arguments, arguments_alone, settle
from meeting_service.store.postgres.connect import Connector
from meeting_service.store.postgres.persistence_errors import (
    DRIVER_ERRORS,
    is_not_writable,
    translated,
)
from meeting_service.store.postgres.statements import QUERIES

logger = logging.getLogger(__name__)

APPLICATION_NAME = "meetings: appends"
CHANNEL = "meetings_events"
"""The channel the eventsourcing library uses for our table."""

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
        self._is_closing = False
        self.problem = NOT_OPEN
        """Why appends are refused at present; empty when they are taken."""

    def append(self, append: Append) -> Awaitable[list[int]]:
        """Queue an append; the result is its positions once it is committed.

        It is committed even if the caller that waits for the result is cancelled meanwhile.
        Raises, when it is awaited: `VersionConflict`, `Fenced`, `RoomTaken`, `TooManyLive`, or
        another `PersistenceError`.
        """
        if self.problem:
            append.refuse(OperationalError(self.problem))
        else:
            self._queue.append(append)
            self.wake()
        # Cancelling the caller cancels only this wait: the append stays in the queue.
        return append.outcome

    def wake(self) -> None:
        """Make `serve` check the queue and the connection again."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def open(self) -> None:
        """Accept appends from now on; `serve` is about to run."""
        self.problem = CLOSED if self._is_closing else ""

    def close(self) -> None:
        """Accept no more appends; `serve` returns when those queued are committed."""
        self._is_closing = True
        self.problem = CLOSED
        self.wake()

    async def serve(self, commit: Commit, is_lost: Callable[[], bool]) -> None:
        """Commit appends until closed or until the connection is lost.

        Raises: `OperationalError` once the connection is lost. Queued appends have failed
        then, and new ones fail until it is opened again.
        """
        try:
            while not is_lost():
                if self._queue:
                    await _commit_batch(_take(self._queue), commit)
                elif self._is_closing:
                    return
                else:
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
            raise OperationalError("the database is unreachable: the connection was lost")
        finally:
            self._refuse_all(CLOSED if self._is_closing else "the database is unreachable")

    def _refuse_all(self, problem: str) -> None:
        self.problem = problem
        while self._queue:
            self._queue.popleft().refuse(OperationalError(problem))


class Writer:
    """Appends over one connection of its own, and listens on it for the appends of others.

    One connection for both, because the notification of our own commits then costs no message
    more. While it is lost appends fail at once, and it reconnects in the background.
    """

    def __init__(
        self, connector: Connector, timeout_seconds: float, on_reconnect: Callable[[], None]
    ) -> None:
        self._connector = connector
        self._on_reconnect = on_reconnect
        self._timeout_seconds = timeout_seconds
        self._group = GroupCommit()
        self._subscribers: list[Callable[[], None]] = []
        self._connection: asyncpg.Connection | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and commit from now on.

        Raises: `OperationalError` when the database is unreachable, `ProgrammingError` when its
        schema is not ours.
        """
        try:
            commit = await self._connect()
        except DRIVER_ERRORS as error:
            raise translated(error) from error
        self._serving = asyncio.create_task(self._serve(commit), name="group commit")

    def check(self) -> None:
        """Return if appends are taken.

        Raises: `OperationalError`.
        """
        if self._group.problem:
            raise OperationalError(self._group.problem)

    def append(self, append: Append) -> Awaitable[list[int]]:
        """Queue an append; see `GroupCommit.append`."""
        return self._group.append(append)

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` from now on, after each append of any process."""
        self._subscribers.append(on_change)

    async def aclose(self) -> None:
        """Commit what is queued, then disconnect."""
        self._group.close()
        if self._serving is not None and self._connection is not None:
            await asyncio.wait([self._serving], timeout=self._timeout_seconds)
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        if self._connection is not None:
            self._connection.terminate()

    async def _serve(self, commit: Commit) -> None:
        while True:
            try:
                await self._group.serve(commit, self._is_lost)
            except OperationalError as error:
                logger.warning("%s", error)
            else:
                return
            commit = await self._reconnect()
            self._on_reconnect()
            self._notify()  # of what was appended while this process could not listen

    async def _reconnect(self) -> Commit:
        self._connection = None
        # Whatever the error: a process that stopped trying would never append again.
        async for attempt in stamina.retry_context(
            on=Exception, attempts=None, timeout=None, wait_initial=0.05, wait_max=1.0
        ):
            with attempt:
                return await self._connect()
        raise AssertionError("it never gives up")

    async def _connect(self) -> Commit:
        connection = await self._connector.connect(APPLICATION_NAME, self._timeout_seconds)
        try:
            await connection.execute(QUERIES["configure_writer"], timeout=self._timeout_seconds)
            connection.add_termination_listener(lambda _: self._group.wake())
            commit = await _prepare(connection, self._timeout_seconds)
            # Last, because a prepared statement leaves the server in a transaction until the next
            # message: it would hold the tables' locks, and get no notification.
            await connection.add_listener(CHANNEL, self._notify)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self._group.open()
        return commit

    def _notify(self, *_: object) -> None:
        # A notification may be missed, and may come for nothing: what it says is ignored.
        for on_change in self._subscribers:
            on_change()

    def _is_lost(self) -> bool:
        return self._connection is None or self._connection.is_closed()


async def _prepare(connection: asyncpg.Connection, timeout_seconds: float) -> Commit:
    """Prepare the statements; the result commits batches, one round trip each.

    A connection on which a commit takes longer than `timeout_seconds` is terminated, so that
    the next commits do not wait for it.
    """
    append_all = await connection.prepare(QUERIES["append"])
    append_one = await connection.prepare(QUERIES["append_one"])

    async def is_accepted_alone(append: Append) -> bool:
        # One meeting at a time loses a fifth of its turns a second without it (ADR 0015). It only
        # accepts: why something is refused is for the other statement to say.
        try:
            rows = await append_one.fetch(*arguments_alone(append), timeout=timeout_seconds)
        except asyncpg.UniqueViolationError:
            return False
        if rows:
            append.accept([position for (position,) in rows])
        return bool(rows)

    async def commit(batch: Sequence[Append]) -> None:
        try:
            if len(batch) == 1 and batch[0].is_short and await is_accepted_alone(batch[0]):
                return
            answer = await append_all.fetchrow(*arguments(batch), timeout=timeout_seconds)
        except TimeoutError as error:
            connection.terminate()
            raise OperationalError(
                f"an append took longer than {timeout_seconds:g} s: its outcome is unknown"
            ) from error
        except asyncpg.UniqueViolationError as error:
            # Within one append, or by a writer that does not take our lock.
            if error.constraint_name == "meetings_events_pkey":
                raise VersionConflict(str(error)) from error
            raise translated(error) from error
        except DRIVER_ERRORS as error:
            raise _refusal_by(connection, error) from error
        assert answer is not None
        settle(batch, *answer)

    return commit


def _refusal_by(connection: asyncpg.Connection, error: BaseException) -> PersistenceError:
    """Return the library's error; leave a server that was the primary once and is no more."""
    if is_not_writable(error):
        connection.terminate()
    return translated(error)


async def _commit_batch(batch: Sequence[Append], commit: Commit) -> None:
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
                await _commit_batch([append], commit)


def _take(queue: deque[Append]) -> list[Append]:
    if len(queue) == 1:
        return [queue.popleft()]
    batch: list[Append] = []
    kept_back: list[Append] = []
    meetings: set[MeetingId] = set()
    rooms: set[str] = set()
    size = 0
    # Not all of them: else all meetings wait for one commit, and then the database for them all.
    max_appends = min(MAX_APPENDS, max(SMALL_BATCH, len(queue) * 3 // 4))
    while queue and len(batch) < max_appends and size < MAX_BYTES:
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
