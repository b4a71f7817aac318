"""The supervisor: claims meetings nobody runs, and owns the runners of this process."""

import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup
from eventsourcing.persistence import Notification, PersistenceError
from msgspec import Struct

from meeting_core.errors import MeetingError
from meeting_core.model import (
    Adopt,
    AdoptCause,
    Adopted,
    BudgetRaised,
    Cancelled,
    Convene,
    Fail,
    FailReason,
    Meeting,
    MeetingId,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
)
from meeting_service.meetings import Meetings, retry_while_unavailable
from meeting_service.ports import Fenced, Lease, VersionConflict
from meeting_service.runtime.rate_limiter import CallSlotWait
from meeting_service.runtime.runner import ACTOR, Runner, RunnerDependencies

log = logging.getLogger(__name__)

OUTSIDE_TOPICS = tuple(
    fact.TOPIC
    for fact in (Adopted, BudgetRaised, Cancelled, Paused, RemarkMade, Resumed, RoundClosed)
)
"""The facts that others append to a meeting somebody is running.

Each of their commands leaves one: that which ends the rounds, `RoundClosed`.
"""

MAX_CLAIMS_WITHOUT_PROGRESS = 5
CLAIM_BATCH = 200
ABORT_SHARE = 0.7


class RunningPolicy(Struct, frozen=True):
    """How a process runs meetings.

    Units: seconds. `recovery` says whether a meeting whose process died goes on or fails.
    """

    recovery: Literal["resume", "fail"] = "resume"
    lease_seconds: float = 4.0
    poll_seconds: float = 0.5
    drain_seconds: float = 10.0


class Supervisor:
    """Owns the runners of one process, its leases, and the watch for meetings left behind."""

    def __init__(self, deps: RunnerDependencies, policy: RunningPolicy) -> None:
        self._deps = deps
        self._policy = policy
        self._runners: dict[MeetingId, Runner] = {}
        self._taken: set[MeetingId] = set()
        self._tasks: TaskGroup | None = None
        self._idle = anyio.Event()
        self._is_draining = False
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"

    @property
    def meetings(self) -> Meetings:
        return self._deps.meetings

    @property
    def running(self) -> int:
        """How many meetings this process runs now."""
        return len(self._runners)

    @asynccontextmanager
    async def supervising(self) -> AsyncIterator["Supervisor"]:
        """Run meetings until the context ends; then drain, and give the leases up."""
        lease_seconds = self._policy.lease_seconds
        await self.meetings.recorder.register_owner(self.owner, lease_seconds=lease_seconds)
        seen = await self.meetings.recorder.max_notification_id() or 0
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            renewing = self._policy.lease_seconds / 3
            tasks.start_soon(self._repeat, self._renew, renewing)
            tasks.start_soon(self._repeat, self._claim, self._policy.lease_seconds / 2)
            tasks.start_soon(self._follow_others, seen)
            try:
                yield self
            finally:
                with anyio.CancelScope(shield=True):
                    await self.drain()
                tasks.cancel_scope.cancel()

    async def convene(self, command: Convene, actor: str) -> Meeting:
        """Call a meeting and run it; return it as it was called, as soon as that is stored.

        The intent of its first attempt goes into the same commit.
        Raises: `InvalidConfiguration`, `RoomTaken`, `VersionConflict` when the id is taken.
        """
        metadata = self.meetings.metadata(actor)
        events, convened = self.meetings.decide_events(None, command, metadata)
        self._taken.add(convened.id)
        is_started = False
        try:
            ours = self.meetings.metadata(ACTOR, metadata.command_id)
            acquire = self._deps.gateways.try_acquire
            more, meeting, _ = self.meetings.run_internal_steps(convened, ours, acquire)
            await self.meetings.append(None, events + more, meeting, lease_owner=self.owner)
            is_started = self._start(Runner(self._deps, meeting, convened.epoch))
        finally:
            if not is_started:
                self._deps.gateways.release(convened.id, was_used=False)
            # One that was stored though the append failed is found by the next claim.
            self._taken.discard(convened.id)
        return convened

    def on_change(self, meeting: Meeting) -> None:
        """Tell the meeting's runner, if it is ours, that somebody changed the meeting."""
        runner = self._runners.get(meeting.id)
        if runner is not None:
            runner.on_change(meeting)

    def waiting(self, meeting_id: MeetingId) -> CallSlotWait | None:
        """Return what call slot the meeting waits for, if this process runs it."""
        return self._deps.gateways.slot_wait(meeting_id)

    async def stopped(self, meeting_id: MeetingId) -> None:
        """Wait until this process runs the meeting no longer."""
        runner = self._runners.get(meeting_id)
        if runner is not None:
            await runner.stopped.wait()

    async def drain(self) -> None:
        """Stop starting anything, let calls end, abort those that do not, give the leases up.

        Takes at most the policy's `drain_seconds`.
        """
        self._is_draining = True
        for runner in list(self._runners.values()):
            runner.drain()
        with anyio.move_on_after(self._policy.drain_seconds * ABORT_SHARE):
            await self._until_idle()
        for runner in list(self._runners.values()):
            runner.abort()
        with anyio.move_on_after(self._policy.drain_seconds * (1 - ABORT_SHARE)):
            await self._until_idle()
            try:
                await self.meetings.recorder.release_leases(self.owner)
            except PersistenceError as error:
                log.warning("the leases could not be given up, they will run out: %s", error)

    async def _until_idle(self) -> None:
        while self._runners:
            self._idle = anyio.Event()
            await self._idle.wait()

    def _start(self, runner: Runner, adoption: Adopt | None = None) -> bool:
        # Once draining, a meeting that was just convened or claimed is left to the next process.
        if self._tasks is None or self._is_draining:
            return False
        former = self._runners.get(runner.meeting_id)
        self._runners[runner.meeting_id] = runner
        self._tasks.start_soon(self._run, runner, adoption, former)
        return True

    async def _run(self, runner: Runner, adoption: Adopt | None, former: Runner | None) -> None:
        try:
            if former is not None:
                # Our lease ran out and came back while its runner was in a call.
                former.abort()
                await former.stopped.wait()
            await runner.run(adoption)
        except Exception as error:  # one meeting's misfortune must not end the others
            log.exception("meeting %s cannot go on", runner.meeting_id)
            await self._give_up(runner, f"{type(error).__name__}: {error}")
        finally:
            if self._runners.get(runner.meeting_id) is runner:
                del self._runners[runner.meeting_id]
            if not self._runners:
                self._idle.set()

    async def _give_up(self, runner: Runner, detail: str) -> None:
        fail = partial(
            self.meetings.handle,
            runner.meeting_id,
            Fail("internal_error", detail),
            ACTOR,
            epoch=runner.epoch,
        )
        try:
            await retry_while_unavailable(fail)
        except (MeetingError, PersistenceError):
            log.exception("meeting %s cannot even fail", runner.meeting_id)

    async def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Do something again and again, whatever the database does meanwhile."""
        while True:
            try:
                await work()
            except PersistenceError as error:
                log.warning("the database does not do it now: %s", error)
            await anyio.sleep(seconds)

    async def _renew(self) -> None:
        await self.meetings.recorder.renew_leases(
            self.owner, lease_seconds=self._policy.lease_seconds
        )

    async def _claim(self) -> None:
        while not self._is_draining:
            leases = await self.meetings.recorder.claim_leases(
                self.owner,
                lease_seconds=self._policy.lease_seconds,
                limit=CLAIM_BATCH,
                running=self._runners.keys() | self._taken,
            )
            async with anyio.create_task_group() as tasks:
                for lease in leases:
                    tasks.start_soon(self._adopt, lease)
            if len(leases) < CLAIM_BATCH:
                return

    async def _adopt(self, lease: Lease) -> None:
        """Take a claimed meeting over: it goes on, or ends if it has no chance."""
        try:
            meeting = await retry_while_unavailable(partial(self.meetings.load, lease.meeting_id))
            adoption = Adopt(self.owner, lease.epoch, _cause(lease, self.owner))
            if lease.claims > MAX_CLAIMS_WITHOUT_PROGRESS:
                await self._end(meeting, adoption, "crash_loop")
            elif self._policy.recovery == "fail":
                await self._end(meeting, adoption, "orchestrator_restart")
            else:
                self._start(Runner(self._deps, meeting, lease.epoch), adoption)
        except (MeetingError, PersistenceError):
            log.exception("meeting %s cannot be adopted", lease.meeting_id)

    async def _end(self, meeting: Meeting, adoption: Adopt, reason: FailReason) -> None:
        detail = {
            "crash_loop": f"its process died {MAX_CLAIMS_WITHOUT_PROGRESS} times in a row "
            "without a turn between",
            "orchestrator_restart": "its process ended, and recovery is set to fail",
        }.get(reason, "")
        metadata = self.meetings.metadata(ACTOR)
        adopted, after = self.meetings.decide_events(meeting, adoption, metadata)
        failed, end = self.meetings.decide_events(after, Fail(reason, detail), metadata)
        try:
            append = partial(self.meetings.append, meeting, adopted + failed, end)
            await retry_while_unavailable(partial(append, epoch=adoption.epoch))
        except (Fenced, VersionConflict):
            log.info("meeting %s was taken by somebody else", meeting.id)

    async def _follow_others(self, seen: int) -> None:
        """Notice what other processes append to the meetings this one runs.

        A poll and no doorbell: this process's own appends would ring it all the time.
        """
        while True:
            await anyio.sleep(self._policy.poll_seconds)
            try:
                seen = await self._look_after(seen)
            except PersistenceError as error:
                log.debug("the database does not do it now: %s", error)

    async def _look_after(self, seen: int) -> int:
        recorder = self.meetings.recorder
        last = await recorder.max_notification_id() or 0
        if last == seen or not self._runners:
            return last
        changed = await recorder.select_notifications(
            seen, 1_000, last, OUTSIDE_TOPICS, inclusive_of_start=False
        )
        for meeting_id in {meeting_id for note in changed if (meeting_id := self._changed(note))}:
            self.on_change(await self.meetings.load(meeting_id))
        return last if len(changed) < 1_000 else changed[-1].id

    def _changed(self, note: Notification) -> MeetingId | None:
        """Say which meeting an event changed; none if its runner knows, as it does of its own."""
        meeting_id = note.originator_id
        assert isinstance(meeting_id, MeetingId)
        runner = self._runners.get(meeting_id)
        is_new = runner is not None and runner.version < note.originator_version
        return meeting_id if is_new else None


def _cause(lease: Lease, owner: str) -> AdoptCause:
    """A lease lost on this host was lost by a restart; anywhere else, it was taken over."""
    previous = (lease.previous_owner or owner).partition(":")[0]
    return "restart" if previous == owner.partition(":")[0] else "takeover"
