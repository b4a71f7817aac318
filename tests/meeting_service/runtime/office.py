"""A supervisor at work over a store in memory that misbehaves, and a gateway that does as told."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import anyio
from eventsourcing.persistence import OperationalError, StoredEvent

from meeting_core import Meeting
from meeting_core.model import Convene, EndRounds, MeetingId
from meeting_service.background_loops import BackgroundLoops
from meeting_service.command_handler import Meetings
from meeting_service.ports import Clock, GatewayReply, GatewayRequest, Lease
from meeting_service.runtime.gateway_client import GatewayClient
from meeting_service.runtime.runner import RunnerDependencies
from meeting_service.runtime.running_policy import RunningPolicy
from meeting_service.runtime.supervisor import Supervisor
from meeting_service.store.memory import InMemoryRecorder
from tests.builders import SYNTHESIS, configuration

TIMEOUT_SECONDS = 10
utc_now = partial(datetime.now, UTC)
POLICY = RunningPolicy(lease_seconds=0.2, poll_seconds=0.02, drain_seconds=1.0)


class FlakyRecorder(InMemoryRecorder):
    """Loses the connection right after a commit, as often as it is told to, or cannot be reached.

    Shape: `claimed` lists the meetings claimed, `refused` the appends that were never made.
    """

    losses = 0
    lost_claims = 0
    is_unreachable = False

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.claimed: list[MeetingId] = []
        self.refused = anyio.Event()

    async def claim_leases(self, owner: str, **kwargs: Any) -> Sequence[Lease]:
        leases = await super().claim_leases(owner, **kwargs)
        self.claimed += [lease.meeting_id for lease in leases]
        if leases and self.lost_claims:
            self.lost_claims -= 1
            raise OperationalError("the connection was lost")
        return leases

    async def lose_lease_to(self, owner: str, meeting_id: MeetingId) -> None:
        """Let another owner claim a meeting and die at once."""
        (holder,) = {held.lease.owner for held in self._leases.values()}
        held_until = self._owners.pop(holder)
        await self.register_owner(owner, lease_seconds=0.001)
        leases = await super().claim_leases(owner, lease_seconds=0.001, limit=1)
        assert [lease.meeting_id for lease in leases] == [meeting_id]
        self._owners[holder] = held_until

    async def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        if self.is_unreachable:
            self.refused.set()
            raise OperationalError("there is no connection")
        positions = await super().insert_events(stored_events, **kwargs)
        if self.losses:
            self.losses -= 1
            raise OperationalError("the connection was lost")
        return positions


class FailingRecorder(FlakyRecorder):
    """Fails to read single meetings, or to append to them, with the errors it is given.

    Shape: `read` lists the meetings whose events were asked for.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.read: list[MeetingId] = []
        self.read_errors: dict[MeetingId, BaseException] = {}
        self.append_errors: dict[MeetingId, BaseException] = {}

    async def select_events(self, originator_id: Any, **kwargs: Any) -> Sequence[StoredEvent]:
        self.read.append(originator_id)
        if originator_id in self.read_errors:
            raise self.read_errors[originator_id]
        return await super().select_events(originator_id, **kwargs)

    async def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        (meeting_id,) = {event.originator_id for event in stored_events}
        if meeting_id in self.append_errors:
            raise self.append_errors[meeting_id]
        return await super().insert_events(stored_events, **kwargs)


class Speaker:
    """A gateway that answers at once, unless it is told to wait for ever, or for one task."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.asked = anyio.Event()
        self.left = anyio.Event()
        self.held = anyio.Event()
        self.waits = False
        self.waits_for = ""
        self.may_answer = anyio.Event()
        self.may_answer.set()

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        self.seen.append(request.call_key)
        self.asked.set()
        if self.waits or (self.waits_for and self.waits_for in request.call_key):
            self.held.set()
            try:
                await anyio.sleep_forever()
            finally:
                self.left.set()
        await self.may_answer.wait()
        text = SYNTHESIS if "/synthesis/" in request.call_key else f"Said {request.call_key}."
        return GatewayReply(text, "stop")

    async def probe(self) -> None: ...

    async def aclose(self) -> None: ...


class Office:
    """A supervisor at work."""

    def __init__(
        self,
        save: Callable[[Meeting, str], Any] | None = None,
        *,
        recorder: FlakyRecorder | None = None,
        gateways: Sequence[str] = ("",),
        policy: RunningPolicy = POLICY,
    ) -> None:
        self.recorder = recorder or FlakyRecorder(utc_now)
        self.speaker = Speaker()
        self.meetings = Meetings(self.recorder, utc_now)
        client = GatewayClient(dict.fromkeys(gateways, self.speaker))
        self.deps = RunnerDependencies(self.meetings, client, save or _saved, lambda *_: None)
        self.loops = BackgroundLoops()
        self.supervisor = Supervisor(self.deps, policy, self.loops)

    async def convene(self, **fields: Any) -> MeetingId:
        meeting_id = uuid4()
        await self.supervisor.convene(Convene(meeting_id, configuration(**fields)), "test")
        return meeting_id

    async def ended(self, meeting_id: MeetingId) -> Meeting:
        with anyio.fail_after(TIMEOUT_SECONDS):
            while not (meeting := await self.meetings.load(meeting_id)).has_ended:
                await self.supervisor.stopped(meeting_id)
                await anyio.lowlevel.checkpoint()
        return meeting

    async def wrapped_up_in_the_second_turn(self) -> tuple[MeetingId, Meeting]:
        """End the rounds of a meeting whose second speaker never answers, past the supervisor."""
        self.speaker.waits_for = "/round-1-bob/"
        meeting_id = await self.convene()
        with anyio.fail_after(TIMEOUT_SECONDS):
            await self.speaker.held.wait()
        return meeting_id, await self.meetings.handle(meeting_id, EndRounds(), "another process")

    async def check_wrapped_up(self, meeting_id: MeetingId) -> None:
        with anyio.fail_after(1):
            await self.speaker.left.wait()
        meeting = await self.ended(meeting_id)
        assert (meeting.state, meeting.ended_by) == ("complete", "operator")
        assert [turn.skipped_reason for turn in meeting.turns] == [None, "operator"]
        assert self.speaker.seen == [
            f"{meeting_id}/{task}/1" for task in ("round-1-ann", "round-1-bob", "synthesis")
        ]


async def _saved(meeting: Meeting, markdown: str) -> str:
    return f"{meeting.id}.md"


@asynccontextmanager
async def office(
    save: Callable[[Meeting, str], Any] | None = None, **changes: Any
) -> AsyncIterator[Office]:
    made = Office(save, **changes)
    async with made.supervisor.supervising():
        yield made
