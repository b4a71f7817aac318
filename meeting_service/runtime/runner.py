"""The runner: drives one meeting. It asks `next_step`, does it, and reports back."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import assert_never
from uuid import UUID

import anyio
from msgspec import Struct

from meeting_core.agenda import Ask, Ended, Record, Rest, SaveMinutes, Step, WaitUntil, next_step
from meeting_core.commands import (
    AbandonAttempt,
    AcceptReply,
    Command,
    Complete,
    ReportFault,
)
from meeting_core.errors import Refusal
from meeting_core.events import MeetingEvent
from meeting_core.fold import project
from meeting_core.meeting import Meeting
from meeting_core.vocabulary import FaultClass, MeetingId
from meeting_service.handling import Meetings
from meeting_service.ports import (
    Fenced,
    GatewayFault,
    GatewayRequest,
    Gateways,
    SaveOutput,
    TellDelta,
    VersionConflict,
)
from meeting_service.runtime.patience import patiently

log = logging.getLogger(__name__)

ACTOR = "runner"


class Surroundings(Struct, frozen=True):
    """What every runner of a process works with."""

    meetings: Meetings
    gateways: Gateways
    save_output: SaveOutput
    tell_delta: TellDelta


class Runner:
    """Drives one meeting from where it stands to its end, or until it is told to stop.

    Invariant: an attempt is committed before its call is made, and one runner makes one call at
    a time.
    """

    def __init__(self, around: Surroundings, meeting: Meeting, epoch: int) -> None:
        self._around = around
        self._meeting = meeting
        self._epoch = epoch
        self._call: asyncio.Timeout | None = None
        self._news = anyio.Event()
        self.stopped = anyio.Event()
        self._is_draining = False
        self._is_aborted = False

    @property
    def meeting_id(self) -> MeetingId:
        return self._meeting.id

    @property
    def epoch(self) -> int:
        return self._epoch

    def notice(self, meeting: Meeting) -> None:
        """Take note that somebody else changed the meeting: a call nobody waits for is aborted."""
        if meeting.version <= self._meeting.version:
            return
        ours, theirs = self._meeting.slot, meeting.slot
        if ours is not None and ours.open is not None:
            still_open = theirs.open if theirs is not None else None
            if still_open is None or still_open.version != ours.open.version:
                self._abort()
        self._news.set()

    def drain(self) -> None:
        """Start nothing new; end after what is under way."""
        self._is_draining = True
        self._news.set()

    def abort(self) -> None:
        """Give up the call under way, record that, and end."""
        self._is_draining = True
        self._abort()
        self._news.set()

    async def run(self, command: Command | None = None) -> None:
        """Drive the meeting, beginning with a command if one is given.

        Ends when the meeting has ended, when another owner has taken it, or when drained.
        """
        try:
            await self._drive(command)
        except Fenced:
            log.info("meeting %s has another owner now", self._meeting.id)
        finally:
            self.stopped.set()

    async def _drive(self, command: Command | None) -> None:
        step = await self._record(command) if command is not None else next_step(self._meeting)
        while True:
            match step:
                case Ended():
                    return
                case Ask():
                    step = await self._record(await self._ask(step))
                case Record():
                    if self._is_draining:
                        return
                    step = await self._record(step.command)
                case SaveMinutes():
                    step = await self._record(await self._save(step))
                case WaitUntil() | Rest():
                    if self._is_draining:
                        return
                    step = await self._wait(step)
                case _:
                    assert_never(step)

    async def _record(self, command: Command) -> Step:
        """Append what the command leads to and all that follows from it, up to the next step
        that needs the world outside, in one commit.
        """
        meetings = self._around.meetings
        command_id = meetings.new_id()
        has_rival = False
        while True:
            try:
                events, after, step = self._stage(command, command_id)
            except Refusal:
                if not has_rival:
                    raise
                return next_step(self._meeting)
            append = partial(meetings.append, self._meeting, events, after, epoch=self._epoch)
            try:
                self._meeting = await patiently(append)
            except VersionConflict:
                has_rival = True
                if await self._catch_up(command_id):
                    return next_step(self._meeting)
            else:
                return step

    def _stage(
        self, command: Command, command_id: UUID
    ) -> tuple[Sequence[MeetingEvent], Meeting, Step]:
        meetings = self._around.meetings
        events, meeting = meetings.stage(self._meeting, command, ACTOR, command_id)
        if self._is_draining:
            return events, meeting, next_step(meeting)
        more, meeting, step = meetings.follow(meeting, ACTOR, command_id)
        return events + more, meeting, step

    async def _catch_up(self, command_id: UUID | None = None) -> bool:
        """Read what was appended since; say whether it was this command after all.

        Raises: `Fenced` when another owner has adopted the meeting meanwhile.
        """
        read = partial(self._around.meetings.events, self._meeting.id, after=self._meeting.version)
        later = await patiently(read)
        self._meeting = project(self._meeting, later) or self._meeting
        if self._meeting.epoch > self._epoch:
            raise Fenced(f"meeting {self._meeting.id} has epoch {self._meeting.epoch} now")
        return any(event.command_id == command_id for event in later)

    async def _ask(self, ask: Ask) -> Command:
        """Make one call; whatever happens to it becomes the command that reports it."""
        meetings, participant = self._around.meetings, ask.participant
        seconds = (ask.deadline_at - meetings.clock()).total_seconds()
        request = GatewayRequest(
            ask.messages, ask.output_tokens, participant.model, max(seconds, 0.0), ask.call_key
        )
        meeting, tell = self._meeting, self._around.tell_delta
        self._is_aborted = False
        try:
            # asyncio's timeout, because a call a turn makes the heavier scope show.
            async with asyncio.timeout(request.timeout_seconds) as self._call:
                reply = await self._around.gateways[participant.gateway].complete(
                    request, lambda text: tell(meeting, participant.agent_id, text)
                )
            return AcceptReply(
                ask.task, ask.number, reply.text, reply.finish_reason, reply.usage, reply.model
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
            )
        except TimeoutError:
            if self._is_aborted:
                return AbandonAttempt("shutdown")
            detail = f"no complete answer within {request.timeout_seconds:g} s"
            return ReportFault(ask.task, ask.number, FaultClass.TIMED_OUT, detail)
        except Exception as error:  # whatever an adapter breaks, the meeting goes on
            log.exception("the gateway of %s broke its contract", participant.agent_id)
            detail = f"the gateway failed with {type(error).__name__}"
            return ReportFault(ask.task, ask.number, FaultClass.UNAVAILABLE, detail)
        finally:
            self._call = None

    def _abort(self) -> None:
        if self._call is not None and not self._call.expired():
            self._is_aborted = True
            self._call.reschedule(asyncio.get_running_loop().time())

    async def _save(self, step: SaveMinutes) -> Command:
        try:
            return Complete(await self._around.save_output(self._meeting, step.markdown))
        except OSError as error:
            log.warning("the minutes of meeting %s are not saved: %s", self._meeting.id, error)
            return Complete(None, error.strerror or str(error))

    async def _wait(self, step: WaitUntil | Rest) -> Step:
        """Wait for the time, or for news from outside, whichever comes first."""
        news = self._news
        if isinstance(step, WaitUntil):
            seconds = (step.at - self._around.meetings.clock()).total_seconds()
            with anyio.move_on_after(max(seconds, 0.0)):
                await news.wait()
            if not news.is_set():
                return await self._record(step.command)
        else:
            await news.wait()
        self._news = anyio.Event()
        await self._catch_up()
        return next_step(self._meeting)
