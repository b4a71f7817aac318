"""The runner: drives one meeting. It asks for the next step, does it, and reports back.

Long because every step is done here, and what became of it reported.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import assert_never
from uuid import UUID

import anyio
from msgspec import Struct

from meeting_core.errors import Refusal
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Command,
    Complete,
    Meeting,
    MeetingId,
    Phase,
    ReportFault,
    Timing,
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
from meeting_service.background_loops import is_cancellation
from meeting_service.command_handler import FoldedEvent, Meetings, retry_while_unavailable
from meeting_service.ports import (
    EmitDelta,
    Fenced,
    GatewayFault,
    GatewayRequest,
    ModelUnavailable,
    SaveOutput,
    VersionConflict,
)
from meeting_service.runtime.gateway_client import GatewayClient
from meeting_service.runtime.interruptible_wait import WaitOutcome, wait_unless

log = logging.getLogger(__name__)

ACTOR = "runner"


class RunnerDependencies(Struct, frozen=True):
    """What every runner of a process works with."""

    meetings: Meetings
    gateways: GatewayClient
    save_output: SaveOutput
    emit_delta: EmitDelta


class Runner:
    """Drives one meeting from where it stands to its end, or until it is drained or aborted.

    Invariant: an attempt is committed before its call is made, and one runner makes one call at
    a time.
    """

    def __init__(self, deps: RunnerDependencies, meeting: Meeting, epoch: int) -> None:
        self._deps = deps
        self._meeting = meeting
        self.epoch = epoch
        self._call: asyncio.Timeout | None = None
        self._changed = anyio.Event()
        self.stopped = anyio.Event()
        self._is_draining = False
        self._is_aborted = False

    @property
    def meeting_id(self) -> MeetingId:
        return self._meeting.id

    @property
    def version(self) -> Version:
        """Return the version of the last event that this runner knows of."""
        return self._meeting.version

    def on_change(self, meeting: Meeting) -> None:
        """Take over what others changed in the meeting; end a call it no longer needs."""
        if meeting.version <= self._meeting.version:
            return
        ours, theirs = self._meeting.task_state, meeting.task_state
        if ours is not None and ours.open is not None:
            still_open = theirs.open if theirs is not None else None
            if still_open is None or still_open.version != ours.open.version:
                self._cut_short()
        self._changed.set()

    def drain(self) -> None:
        """Start nothing new; end after what is under way."""
        self._is_draining = True
        self._changed.set()

    def abort(self) -> None:
        """Abandon the call under way, record that, and end; no further call is made."""
        self._is_draining = self._is_aborted = True
        self._cut_short()
        self._changed.set()

    async def run(self, first_step: Step) -> None:
        """Drive the meeting, beginning with a step.

        Ends when the meeting has ended, when another owner has taken it, or when drained.
        """
        try:
            await self._drive(first_step)
        except Fenced:
            log.info("meeting %s has another owner now", self._meeting.id)
        finally:
            self._deps.gateways.release(self._meeting.id, was_used=False)
            self.stopped.set()

    async def _drive(self, step: Step) -> None:
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
                    self._deps.gateways.release(self._meeting.id, was_used=False)
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
            append = partial(meetings.append, self._meeting, events, after, epoch=self.epoch)
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
        acquire = self._deps.gateways.try_acquire
        more, meeting, step = meetings.run_internal_steps(meeting, metadata, acquire)
        return events + more, meeting, step

    async def _catch_up(self, command_id: UUID | None = None) -> bool:
        """Read what was appended since; return whether it was this command after all.

        Raises: `Fenced` when another owner has adopted the meeting meanwhile.
        """
        read = partial(self._deps.meetings.events, self._meeting.id, after=self._meeting.version)
        later = await retry_while_unavailable(read)
        self._meeting = project(self._meeting, later) or self._meeting
        if self._meeting.epoch > self.epoch:
            raise Fenced(f"meeting {self._meeting.id} has epoch {self._meeting.epoch} now")
        return any(event.command_id == command_id for event in later)

    async def _ask(self, ask: Ask) -> Command:
        """Make one call; return the command that reports its reply or its fault."""
        if self._is_aborted:
            # Its intent was stored, but only after the runner was aborted.
            return AbandonAttempt("shutdown")
        meeting, agent_id = self._meeting, ask.participant.agent_id
        seconds = (ask.deadline_at - self._deps.meetings.clock()).total_seconds()
        request = GatewayRequest(
            ask.messages,
            ask.output_tokens,
            ask.participant.model,
            max(seconds, 0.0),
            ask.call_key,
            ask.max_reply_bytes,
        )
        started_at = time.monotonic()
        first_text_at: float | None = None
        was_made = True

        def on_delta(text: str) -> None:
            nonlocal first_text_at
            if first_text_at is None and text:
                first_text_at = time.monotonic()
            self._deps.emit_delta(meeting, agent_id, text)

        try:
            async with asyncio.timeout(None) as self._call:
                reply = await self._deps.gateways.call(ask.participant.gateway, request, on_delta)
        except GatewayFault as fault:
            was_made = fault.reached
            return ReportFault(
                ask.task,
                ask.number,
                fault.fault_class,
                fault.detail,
                fault.retry_after_seconds,
                fault.usage,
                fault.reached,
                fault.is_unreachable,
                _timing(started_at, first_text_at),
                fault.tokens_seen,
                isinstance(fault, ModelUnavailable),
            )
        except TimeoutError:
            return AbandonAttempt("shutdown")
        finally:
            self._call = None
            self._deps.gateways.release(self._meeting.id, was_used=was_made)
        timing = _timing(started_at, first_text_at)
        return AcceptReply(
            ask.task,
            ask.number,
            reply.text,
            reply.finish_reason,
            reply.usage,
            reply.model,
            timing,
            reply.is_truncated,
            reply.thought,
            reply.thought_tokens,
        )

    def _cut_short(self) -> None:
        """End the call under way, if there is one."""
        if self._call is not None and not self._call.expired():
            self._call.reschedule(asyncio.get_running_loop().time())

    async def _save(self, step: SaveMinutes) -> Command:
        try:
            return Complete(await self._deps.save_output(self._meeting, step.markdown))
        except (OSError, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.warning("the minutes of meeting %s are not saved: %r", self._meeting.id, error)
            detail = isinstance(error, OSError) and error.strerror
            return Complete(None, detail or str(error) or type(error).__name__)

    async def _wait(self, step: BeginAttempt | WaitUntil | WaitForGateway | Idle) -> Step:
        """Wait for what the step waits for, or for a change by others, whichever comes first."""
        match step:
            case BeginAttempt():
                # When the time for the rounds is over, the command ends them without a call.
                is_in_round = self._meeting.phase is Phase.IN_ROUND
                until = self._meeting.deadline_at if is_in_round else None
                acquire = partial(self._deps.gateways.acquire, step.gateway, self._meeting.id)
                if await self._unless_changed(acquire, until) != "changed":
                    return await self._record(step.command)
            case WaitUntil():
                if await self._unless_changed(anyio.sleep_forever, step.at) == "late":
                    return step.then
            case WaitForGateway():
                reach = self._deps.gateways.wait_until_reachable
                wait = partial(reach, step.gateway, self._meeting.id)
                outcome = await self._unless_changed(wait, step.until)
                if outcome != "changed":
                    return step.then if outcome == "done" else step.otherwise
            case Idle():
                await self._unless_changed(anyio.sleep_forever, None)
        self._changed = anyio.Event()
        await self._catch_up()
        return next_step(self._meeting)

    async def _unless_changed(
        self, wait: Callable[[], Awaitable[None]], until: datetime | None
    ) -> WaitOutcome:
        seconds = None
        if until is not None:
            seconds = max((until - self._deps.meetings.clock()).total_seconds(), 0.0)
        return await wait_unless(self._changed, wait, seconds)


def _timing(started_at: float, first_text_at: float | None) -> Timing:
    """Return how long a call took, and how long until its first text."""
    first_ms = None if first_text_at is None else round((first_text_at - started_at) * 1000)
    return Timing(round((time.monotonic() - started_at) * 1000), first_ms)
