"""The supervisor: owns the runners of this process and its leases."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup
from eventsourcing.persistence import PersistenceError

from meeting_core.errors import CorruptHistory
from meeting_core.model import Adopt, Convene, Fail, Meeting, MeetingId
from meeting_core.steps import GiveCommand, Step
from meeting_service.background_loops import BackgroundLoops, is_cancellation
from meeting_service.command_handler import (
    UNAVAILABLE,
    MeetingNotFound,
    Meetings,
    retry_while_unavailable,
)
from meeting_service.ports import Fenced, OnGatewayWait, OnQuarantine
from meeting_service.runtime.adoption import Adoption
from meeting_service.runtime.missing_gateways import GatewayWait, MissingGateways
from meeting_service.runtime.outside_changes import OutsideChanges
from meeting_service.runtime.rate_limiter import CallSlotWait
from meeting_service.runtime.runner import ACTOR, Runner, RunnerDependencies
from meeting_service.runtime.running_policy import RunningPolicy

log = logging.getLogger(__name__)

CALLS_SHARE = 0.65
"""The share of the time for draining in which calls under way may end."""
RELEASE_SHARE = 0.15
"""The share that is kept for releasing the leases; the rest is for aborts."""

MIN_BACKOFF_SECONDS = 1.0
"""The longest pause between failing passes is at least this."""

UNREADABLE = (CorruptHistory, MeetingNotFound)


class Supervisor:
    """Owns the runners of one process and its leases, and adopts meetings that no process runs."""

    def __init__(
        self,
        deps: RunnerDependencies,
        policy: RunningPolicy,
        loops: BackgroundLoops | None = None,
        on_gateway_wait: OnGatewayWait = lambda *_: None,
        on_quarantine: OnQuarantine = lambda *_: None,
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._deps = deps
        self._policy = policy
        self._loops = loops or BackgroundLoops()
        self._runners: dict[MeetingId, Runner] = {}
        self._convening: set[MeetingId] = set()
        self._tasks: TaskGroup | None = None
        self._idle = anyio.Event()
        self._is_draining = False
        self._renewal = anyio.CancelScope()
        self._renewal_ended = anyio.Event()
        names = deps.gateways.names
        self._on_quarantine = on_quarantine
        self._adoption = Adoption(
            deps.meetings,
            policy,
            self.owner,
            names,
            self._start_adopted,
            on_quarantine=on_quarantine,
        )
        self._missing = MissingGateways(
            deps.meetings, policy, names, self._adoption, on_gateway_wait
        )
        self._outside = OutsideChanges(deps.meetings, self._runners, self._reload)

    @property
    def meetings(self) -> Meetings:
        return self._deps.meetings

    @property
    def running(self) -> int:
        """Return how many meetings this process runs now."""
        return len(self._runners)

    @asynccontextmanager
    async def supervising(self) -> AsyncIterator["Supervisor"]:
        """Run meetings until the context ends; then drain, and release the leases."""
        lease_seconds = self._policy.lease_seconds
        await self.meetings.recorder.register_owner(self.owner, lease_seconds=lease_seconds)
        await self._outside.begin()
        run = self._loops.run
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._keep_leases, name="lease renewal")
            for name, look, pause in (
                ("claims", self._claim, lease_seconds / 2),
                ("changes from outside", self._outside.look, self._policy.poll_seconds),
                ("missing gateways", self._missing.look, self._missing.pause_seconds),
            ):
                backoff = max(pause, MIN_BACKOFF_SECONDS)
                loop = partial(run, pause_seconds=pause, max_backoff_seconds=backoff)
                tasks.start_soon(loop, name, look, name=name)
            try:
                yield self
            finally:
                with anyio.CancelScope(shield=True):
                    await self.drain()
                tasks.cancel_scope.cancel()

    async def convene(self, command: Convene, actor: str) -> Meeting:
        """Call a meeting and run it; return it as it was called, as soon as that is stored.

        The intent of its first attempt goes into the same commit.
        Raises: `InvalidConfiguration`, `RoomTaken`, `TooManyLive`, and `VersionConflict` when the
        id is taken.
        """
        metadata = self.meetings.metadata(actor)
        events, convened = self.meetings.decide_events(None, command, metadata)
        self._convening.add(convened.id)
        is_started = False
        try:
            ours = self.meetings.metadata(ACTOR, metadata.command_id)
            acquire = self._deps.gateways.try_acquire
            more, meeting, step = self.meetings.run_internal_steps(convened, ours, acquire)
            await self.meetings.append(
                None,
                events + more,
                meeting,
                lease_owner=self.owner,
                max_live=self._policy.max_live_meetings,
            )
            is_started = self._start(Runner(self._deps, meeting, convened.epoch), step)
        finally:
            if not is_started:
                self._deps.gateways.release(convened.id, was_used=False)
            # One that was stored though the append failed is found by the next claim.
            self._convening.discard(convened.id)
        return convened

    def on_change(self, meeting: Meeting) -> None:
        """Notify the meeting's runner, if this process has it, of what others changed."""
        runner = self._runners.get(meeting.id)
        if runner is not None:
            runner.on_change(meeting)

    def call_slot_wait(self, meeting_id: MeetingId) -> CallSlotWait | None:
        """Return the meeting's wait for a call slot; None if this process does not run it."""
        return self._deps.gateways.call_slot_wait(meeting_id)

    def gateway_wait(self, meeting_id: MeetingId) -> GatewayWait | None:
        """Return the meeting's wait for a gateway that no process has; None if it does not wait."""
        return self._missing.wait_of(meeting_id)

    async def stopped(self, meeting_id: MeetingId) -> None:
        """Wait until this process no longer runs the meeting."""
        runner = self._runners.get(meeting_id)
        if runner is not None:
            await runner.stopped.wait()

    async def drain(self) -> None:
        """Start no new call, wait for calls to end, abort the others, release the leases.

        Takes at most the policy's `drain_seconds`.
        """
        self._is_draining = True
        seconds = self._policy.drain_seconds
        for runner in list(self._runners.values()):
            runner.drain()
        with anyio.move_on_after(seconds * CALLS_SHARE):
            await self._until_idle()
        for runner in list(self._runners.values()):
            runner.abort()
        with anyio.move_on_after(seconds * (1 - CALLS_SHARE - RELEASE_SHARE)):
            await self._until_idle()
        for runner in self._runners.values():
            log.warning("meeting %s does not stop; its lease is given up", runner.meeting_id)
        # A time of its own, because a runner may hang in a thread that nothing can cancel.
        with anyio.move_on_after(seconds * RELEASE_SHARE):
            await self._release_leases()

    async def _release_leases(self) -> None:
        if self._tasks is not None:
            # A renewal that came after the release would take the leases back.
            self._renewal.cancel()
            await self._renewal_ended.wait()
        try:
            await self.meetings.recorder.release_leases(self.owner)
        except PersistenceError as error:
            log.warning("the leases could not be given up, they will run out: %s", error)

    async def _until_idle(self) -> None:
        while self._runners:
            self._idle = anyio.Event()
            await self._idle.wait()

    def _start_adopted(self, meeting: Meeting, adoption: Adopt) -> None:
        self._on_quarantine(meeting.id, None)
        self._start(Runner(self._deps, meeting, adoption.epoch), GiveCommand(adoption))

    def _start(self, runner: Runner, first_step: Step) -> bool:
        # Once draining, a meeting that was just convened or claimed is left to the next process.
        if self._tasks is None or self._is_draining:
            return False
        former = self._runners.get(runner.meeting_id)
        self._runners[runner.meeting_id] = runner
        self._tasks.start_soon(self._run, runner, first_step, former)
        return True

    async def _run(self, runner: Runner, first_step: Step, former: Runner | None) -> None:
        try:
            if former is not None:
                # Our lease ran out and came back while its runner was in a call.
                former.abort()
                await former.stopped.wait()
            await runner.run(first_step)
        except UNREADABLE as error:
            await self._adoption.quarantine(runner.meeting_id, runner.epoch, error)
        # One meeting's failure must not end the others.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
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
        except Fenced:
            log.info("meeting %s was taken over by another owner", runner.meeting_id)
        except PersistenceError:
            log.exception("meeting %s cannot even fail", runner.meeting_id)
        except Exception as error:  # it cannot be loaded, or takes no command
            await self._adoption.quarantine(runner.meeting_id, runner.epoch, error)

    async def _keep_leases(self) -> None:
        interval = self._policy.lease_seconds / 3
        try:
            with self._renewal:
                await self._loops.run(
                    "lease renewal",
                    self._renew,
                    pause_seconds=interval,
                    max_backoff_seconds=interval,
                )
        finally:
            self._renewal_ended.set()

    async def _renew(self) -> None:
        recorder, seconds = self.meetings.recorder, self._policy.lease_seconds
        if not await recorder.renew_leases(self.owner, lease_seconds=seconds):
            # Fencing decides which of its meetings it still has.
            log.warning("this process is not known as an owner any more; it registers again")
            await recorder.register_owner(self.owner, lease_seconds=seconds)

    async def _claim(self) -> None:
        while not self._is_draining:
            if not await self._adoption.claim(self._runners.keys() | self._convening):
                return

    async def _reload(self, runner: Runner) -> None:
        """Notify a runner of what others changed; stop it if that cannot be read."""
        try:
            runner.on_change(await self.meetings.load(runner.meeting_id))
        except UNAVAILABLE:
            raise
        except Exception as error:  # any error of this meeting leaves the others running
            runner.abort()
            await self._adoption.quarantine(runner.meeting_id, runner.epoch, error)
