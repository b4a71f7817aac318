"""The runner: drives one meeting. It asks `next_step`, does it, and reports back."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Literal, assert_never
from uuid import UUID

import anyio
from msgspec import Struct, field

from meeting_core.errors import Refusal
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Command,
    Complete,
    FaultClass,
    Meeting,
    MeetingId,
    Phase,
    ReportFault,
    Version,
)
from meeting_core.projector import project
from meeting_core.steps import (
    Ask,
    BeginAttempt,
    Ended,
    GiveCommand,
    Idle,
    SaveMinutes,
    Step,
    WaitForGateway,
    WaitUntil,
    next_step,
)
from meeting_service.deadlines import Deadlines
from meeting_service.meetings import FoldedEvent, Meetings
from meeting_service.ports import (
    EmitDelta,
    Fenced,
    GatewayFault,
    GatewayRequest,
    SaveOutput,
    VersionConflict,
)
from meeting_service.runtime.database_retry import retry_while_unavailable
from meeting_service.runtime.gateway_access import GatewayClient
from meeting_service.runtime.stopwatch import Stopwatch

log = logging.getLogger(__name__)

ACTOR = "runner"

GRACE_SECONDS = 0.5
"""How long after its deadline an adapter may take to say that it was missed."""


class RunnerDependencies(Struct, frozen=True):
    """What every runner of a process works with."""

    meetings: Meetings
    gateways: GatewayClient
    save_output: SaveOutput
    emit_delta: EmitDelta
    deadlines: Deadlines = field(default_factory=Deadlines)


class Runner:
    """Drives one meeting from where it stands to its end, or until it is told to stop.

    Invariant: an attempt is committed before its call is made, and one runner makes one call at
    a time.
    """

    def __init__(self, deps: RunnerDependencies, meeting: Meeting, epoch: int) -> None:
        self._deps = deps
        self._meeting = meeting
        self._epoch = epoch
        self._call: asyncio.Timeout | None = None
        self._changed = anyio.Event()
        self.stopped = anyio.Event()
        self._is_draining = False
        self._is_aborted = False
        self._call_slot: str | None = None

    @property
    def meeting_id(self) -> MeetingId:
        return self._meeting.id

    @property
    def version(self) -> Version:
        """The last event that this runner knows of."""
        return self._meeting.version

    @property
    def epoch(self) -> int:
        return self._epoch

    def on_change(self, meeting: Meeting) -> None:
        """Take note that somebody else changed the meeting: a call nobody waits for is aborted."""
        if meeting.version <= self._meeting.version:
            return
        ours, theirs = self._meeting.task_state, meeting.task_state
        if ours is not None and ours.open is not None:
            still_open = theirs.open if theirs is not None else None
            if still_open is None or still_open.version != ours.open.version:
                self._abort()
        self._changed.set()

    def stored(self, meeting: Meeting) -> None:
        """Take note of what was stored in this runner's name before it runs."""
        self._meeting = meeting

    def drain(self) -> None:
        """Start nothing new; end after what is under way."""
        self._is_draining = True
        self._changed.set()

    def abort(self) -> None:
        """Give up the call under way, record that, and end."""
        self._is_draining = True
        self._abort()
        self._changed.set()

    async def run(self, command: Command | None = None) -> None:
        """Drive the meeting, beginning with a command if one is given.

        Ends when the meeting has ended, when another owner has taken it, or when drained.
        """
        try:
            await self._drive(command)
        except Fenced:
            log.info("meeting %s has another owner now", self._meeting.id)
        finally:
            self.release(was_used=False)
            self.stopped.set()

    async def _drive(self, command: Command | None) -> None:
        step = await self._record(command) if command is not None else next_step(self._meeting)
        while True:
            match step:
                case Ended():
                    return
                case Ask():
                    step = await self._record(await self._ask(step))
                case GiveCommand():
                    if self._is_draining:
                        return
                    step = await self._record(step.command)
                case SaveMinutes():
                    step = await self._record(await self._save(step))
                case BeginAttempt() | WaitUntil() | WaitForGateway() | Idle():
                    self.release(was_used=False)
                    if self._is_draining:
                        return
                    step = await self._wait(step)
                case _:
                    assert_never(step)

    async def _record(self, command: Command) -> Step:
        """Append what the command leads to and all that follows from it, up to the next step
        that needs the world outside, in one commit.
        """
        meetings = self._deps.meetings
        command_id = meetings.new_id()
        has_rival = False
        while True:
            try:
                events, after, step = self._decide(command, command_id)
            except Refusal:
                if not has_rival:
                    raise
                return next_step(self._meeting)
            append = partial(meetings.append, self._meeting, events, after, epoch=self._epoch)
            try:
                self._meeting = await retry_while_unavailable(append)
            except VersionConflict:
                has_rival = True
                if await self._catch_up(command_id):
                    return next_step(self._meeting)
            else:
                return step

    def _decide(
        self, command: Command, command_id: UUID
    ) -> tuple[Sequence[FoldedEvent], Meeting, Step]:
        meetings = self._deps.meetings
        metadata = meetings.metadata(ACTOR, command_id)
        events, meeting = meetings.decide_events(self._meeting, command, metadata)
        if self._is_draining:
            return events, meeting, next_step(meeting)
        more, meeting, step = meetings.run_internal_steps(meeting, metadata, self.try_acquire)
        return events + more, meeting, step

    async def _catch_up(self, command_id: UUID | None = None) -> bool:
        """Read what was appended since; say whether it was this command after all.

        Raises: `Fenced` when another owner has adopted the meeting meanwhile.
        """
        read = partial(self._deps.meetings.events, self._meeting.id, after=self._meeting.version)
        later = await retry_while_unavailable(read)
        self._meeting = project(self._meeting, later) or self._meeting
        if self._meeting.epoch > self._epoch:
            raise Fenced(f"meeting {self._meeting.id} has epoch {self._meeting.epoch} now")
        return any(event.command_id == command_id for event in later)

    async def _ask(self, ask: Ask) -> Command:
        """Make one call; whatever happens to it becomes the command that reports it."""
        meetings, participant = self._deps.meetings, ask.participant
        seconds = (ask.deadline_at - meetings.clock()).total_seconds()
        request = GatewayRequest(
            ask.messages, ask.output_tokens, participant.model, max(seconds, 0.0), ask.call_key
        )
        meeting, tell = self._meeting, self._deps.emit_delta
        deadlines = self._deps.deadlines
        watch = Stopwatch(time.monotonic)
        on_delta = watch.timing(lambda text: tell(meeting, participant.agent_id, text))
        self._is_aborted = False
        try:
            # asyncio's timeout, because a call a turn makes the heavier scope show.
            async with asyncio.timeout_at(None) as self._call:
                # Later than the adapter's own clock, which knows more of what became of the call.
                deadlines.watch(self._end_call, request.timeout_seconds + GRACE_SECONDS)
                reply = await self._deps.gateways.call(participant.gateway, request, on_delta)
            return AcceptReply(
                ask.task,
                ask.number,
                reply.text,
                reply.finish_reason,
                reply.usage,
                reply.model,
                watch.read(),
            )
        except GatewayFault as fault:
            return ReportFault(
                ask.task,
                ask.number,
                fault.fault_class,
                fault.detail,
                fault.retry_after_seconds,
                fault.usage,
                fault.reached,
                fault.is_unreachable,
                watch.read(),
            )
        except TimeoutError:
            if self._is_aborted:
                return AbandonAttempt("shutdown")
            detail = f"no complete answer within {request.timeout_seconds:g} s"
            fault_class = FaultClass.TIMED_OUT
            return ReportFault(ask.task, ask.number, fault_class, detail, timing=watch.read())
        except Exception as error:  # whatever an adapter breaks, the meeting goes on
            log.exception("the gateway of %s broke its contract", participant.agent_id)
            detail = f"the gateway failed with {type(error).__name__}"
            fault_class = FaultClass.UNAVAILABLE
            return ReportFault(ask.task, ask.number, fault_class, detail, timing=watch.read())
        finally:
            deadlines.forget(self._end_call)
            self._call = None
            self.release(was_used=True)

    def try_acquire(self, gateway: str, meeting_id: MeetingId) -> bool:
        """Take the permit for the next call if that needs no waiting."""
        if self._call_slot != gateway:
            self.release(was_used=False)
            if not self._deps.gateways.try_acquire(gateway, meeting_id):
                return False
            self._call_slot = gateway
        return True

    async def _acquire(self, gateway: str) -> None:
        await self._deps.gateways.limiter.take(gateway, self._meeting.id)
        self._call_slot = gateway

    def release(self, *, was_used: bool) -> None:
        if self._call_slot is not None:
            limiter = self._deps.gateways.limiter
            limiter.release(self._call_slot, self._meeting.id, was_used=was_used)
            self._call_slot = None

    def _abort(self) -> None:
        if self._call is not None and not self._call.expired():
            self._is_aborted = True
            self._end_call()

    def _end_call(self) -> None:
        if self._call is not None and not self._call.expired():
            self._call.reschedule(asyncio.get_running_loop().time())

    async def _save(self, step: SaveMinutes) -> Command:
        try:
            return Complete(await self._deps.save_output(self._meeting, step.markdown))
        except OSError as error:
            log.warning("the minutes of meeting %s are not saved: %s", self._meeting.id, error)
            return Complete(None, error.strerror or str(error))

    async def _wait(self, step: BeginAttempt | WaitUntil | WaitForGateway | Idle) -> Step:
        """Wait for what the step waits for, or for news from outside, whichever comes first."""
        match step:
            case BeginAttempt():
                # When the time for the rounds is over, the command ends them without a call.
                is_in_round = self._meeting.phase is Phase.IN_ROUND
                until = self._meeting.deadline_at if is_in_round else None
                enter = partial(self._acquire, step.gateway)
                if await self._unless_changed(enter, until) != "news":
                    return await self._record(step.command)
            case WaitUntil():
                if await self._unless_changed(anyio.sleep_forever, step.at) == "late":
                    return step.then
            case WaitForGateway():
                breakers = self._deps.gateways.breakers
                reach = partial(breakers.until_reachable, step.gateway, str(self._meeting.id))
                outcome = await self._unless_changed(reach, step.until)
                if outcome != "news":
                    return step.then if outcome == "done" else step.otherwise
            case Idle():
                await self._unless_changed(anyio.sleep_forever, None)
        self._changed = anyio.Event()
        await self._catch_up()
        return next_step(self._meeting)

    async def _unless_changed(
        self, wait: Callable[[], Awaitable[None]], until: datetime | None
    ) -> Literal["done", "late", "news"]:
        """Do waiting work; say whether it was done, or what came before that."""
        changed, outcome = self._changed, "late"
        seconds = None
        if until is not None:
            seconds = max((until - self._deps.meetings.clock()).total_seconds(), 0.0)

        async def wait_for_change(scope: anyio.CancelScope) -> None:
            await changed.wait()
            scope.cancel()

        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_for_change, tasks.cancel_scope)
                await wait()
                outcome = "done"
                tasks.cancel_scope.cancel()
        if outcome == "done":
            return "done"
        return "news" if changed.is_set() else "late"
