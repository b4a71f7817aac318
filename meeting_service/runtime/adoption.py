"""Adoption: claims meetings that no process runs, and quarantines those that cannot be run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import anyio
from eventsourcing.persistence import PersistenceError

from meeting_core.errors import MeetingError
from meeting_core.model import Adopt, AdoptCause, Fail, FailReason, Meeting, MeetingId
from meeting_service.background_loops import is_cancellation
from meeting_service.command_handler import (
    MAX_REDECISIONS,
    UNAVAILABLE,
    Meetings,
    retry_while_unavailable,
)
from meeting_service.ports import Fenced, Lease, OnQuarantine, VersionConflict
from meeting_service.runtime.runner import ACTOR
from meeting_service.runtime.running_policy import RunningPolicy

log = logging.getLogger(__name__)

MAX_CLAIMS_WITHOUT_PROGRESS = 5
CLAIM_BATCH = 200

_DETAILS: dict[FailReason, str] = {
    "crash_loop": f"its process died {MAX_CLAIMS_WITHOUT_PROGRESS} times in a row "
    "without a turn between",
    "orchestrator_restart": "its process ended, and recovery is set to fail",
}


class ClaimedTooOften(MeetingError):
    """A meeting was claimed again and again, and each time it could neither go on nor end."""

    def __init__(self, claims: int) -> None:
        super().__init__(f"it was claimed {claims} times in a row without a turn between")


class Adoption:
    """Takes over meetings whose owner is gone: each goes on, ends, or is quarantined.

    Shape: `start` begins to run an adopted meeting; `gateways` are the names of those that this
    process has.
    """

    def __init__(
        self,
        meetings: Meetings,
        policy: RunningPolicy,
        owner: str,
        gateways: Collection[str],
        start: Callable[[Meeting, Adopt], object],
        *,
        on_quarantine: OnQuarantine = lambda *_: None,
    ) -> None:
        self._meetings = meetings
        self._policy = policy
        self._owner = owner
        self._gateways = gateways
        self._start = start
        self._on_quarantine = on_quarantine

    async def claim(self, running: Collection[MeetingId]) -> bool:
        """Adopt a batch of meetings; return whether there may be more.

        Shape: `running` are the meetings that this process runs, or is about to.
        """
        leases = await self._meetings.recorder.claim_leases(
            self._owner,
            lease_seconds=self._policy.lease_seconds,
            limit=CLAIM_BATCH,
            running=running,
            gateways=self._gateways,
        )
        async with anyio.create_task_group() as tasks:
            for lease in leases:
                tasks.start_soon(self._or_quarantine, lease, partial(self._adopt, lease))
        return len(leases) == CLAIM_BATCH

    async def fail(self, meeting_id: MeetingId, reason: FailReason, detail: str) -> None:
        """Claim one meeting, with any gateways, and end it as failed."""
        lease = await self._meetings.recorder.claim_meeting(
            self._owner, meeting_id, lease_seconds=self._policy.lease_seconds
        )
        if lease is None:
            return

        async def load_and_end() -> None:
            meeting = await self._meetings.load(meeting_id)
            await self._end(meeting, lease, reason, detail)

        # No later claim takes it: this process may lack its gateways, and others see its lease.
        await self._or_quarantine(lease, load_and_end)

    async def quarantine(self, meeting_id: MeetingId, epoch: int, error: BaseException) -> None:
        """Put aside a meeting that this process holds and cannot run."""
        reason = f"{type(error).__name__}: {error}"
        put_aside = partial(
            self._meetings.recorder.quarantine,
            meeting_id,
            owner=self._owner,
            epoch=epoch,
            reason=reason,
        )
        try:
            if await retry_while_unavailable(put_aside):
                log.error("meeting %s is quarantined: %s", meeting_id, reason)
                self._on_quarantine(meeting_id, reason)
        except PersistenceError:
            log.exception("meeting %s cannot even be quarantined", meeting_id)

    async def _or_quarantine(self, lease: Lease, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work on a claimed meeting; quarantine the meeting if that fails."""
        try:
            await work()
        # Any error of this meeting leaves the others to be adopted.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            await self.quarantine(lease.meeting_id, lease.epoch, error)

    async def _adopt(self, lease: Lease) -> None:
        if lease.claims > MAX_CLAIMS_WITHOUT_PROGRESS + 1:
            # The claim before was to end it, and did not.
            raise ClaimedTooOften(lease.claims)
        try:
            await self._take_over(lease)
        except UNAVAILABLE as error:
            # Not repeated here, where all the others would wait for it.
            log.warning("meeting %s is left to the next claim: %s", lease.meeting_id, error)

    async def _take_over(self, lease: Lease) -> None:
        meeting = await self._meetings.load(lease.meeting_id)
        if lease.claims > MAX_CLAIMS_WITHOUT_PROGRESS:
            await self._end(meeting, lease, "crash_loop", _DETAILS["crash_loop"])
        elif self._policy.recovery == "fail":
            await self._end(
                meeting, lease, "orchestrator_restart", _DETAILS["orchestrator_restart"]
            )
        else:
            self._start(meeting, self._adoption(lease))

    async def _end(self, meeting: Meeting, lease: Lease, reason: FailReason, detail: str) -> None:
        """End a claimed meeting as failed.

        Raises: `VersionConflict` only when others were faster many times in a row.
        """
        metadata = self._meetings.metadata(ACTOR)
        for _ in range(MAX_REDECISIONS):
            adopted, after = self._meetings.decide_events(meeting, self._adoption(lease), metadata)
            failed, end = self._meetings.decide_events(after, Fail(reason, detail), metadata)
            append = partial(self._meetings.append, meeting, adopted + failed, end)
            try:
                await retry_while_unavailable(partial(append, epoch=lease.epoch))
            except Fenced:
                log.info("meeting %s was taken over by another owner", meeting.id)
            except VersionConflict:
                meeting = await self._meetings.load(meeting.id)
                if not meeting.has_ended:
                    continue
            return
        raise VersionConflict(f"meeting {meeting.id} changes too fast to be ended")

    def _adoption(self, lease: Lease) -> Adopt:
        return Adopt(self._owner, lease.epoch, _cause(lease, self._owner))


def _cause(lease: Lease, owner: str) -> AdoptCause:
    """Return `restart` for a lease that was lost on this host, and `takeover` for any other."""
    previous = (lease.previous_owner or owner).partition(":")[0]
    return "restart" if previous == owner.partition(":")[0] else "takeover"
