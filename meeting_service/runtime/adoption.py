"""Adoption: claims meetings that no process runs, and quarantines those that cannot be run."""

import logging
from collections.abc import Callable, Collection
from functools import partial

import anyio
from eventsourcing.persistence import PersistenceError

from meeting_core.errors import MeetingError
from meeting_core.model import Adopt, AdoptCause, Fail, FailReason, Meeting, MeetingId
from meeting_service.command_handler import Meetings, retry_while_unavailable
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
                tasks.start_soon(self._adopt, lease)
        return len(leases) == CLAIM_BATCH

    async def fail(self, meeting_id: MeetingId, reason: FailReason, detail: str) -> None:
        """Claim one meeting, with any gateways, and end it as failed."""
        lease = await self._meetings.recorder.claim_meeting(
            self._owner, meeting_id, lease_seconds=self._policy.lease_seconds
        )
        if lease is None:
            return
        meeting = await self._load(lease)
        if meeting is not None:
            await self._end(meeting, lease, reason, detail)

    async def quarantine(self, meeting_id: MeetingId, epoch: int, error: Exception) -> None:
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

    async def _adopt(self, lease: Lease) -> None:
        meeting = await self._load(lease)
        if meeting is None:
            return
        if lease.claims > MAX_CLAIMS_WITHOUT_PROGRESS:
            await self._end(meeting, lease, "crash_loop", _DETAILS["crash_loop"])
        elif self._policy.recovery == "fail":
            await self._end(
                meeting, lease, "orchestrator_restart", _DETAILS["orchestrator_restart"]
            )
        else:
            self._start(meeting, self._adoption(lease))

    async def _load(self, lease: Lease) -> Meeting | None:
        """Load a claimed meeting; quarantine it, and return None, if that cannot be done."""
        try:
            return await retry_while_unavailable(partial(self._meetings.load, lease.meeting_id))
        except PersistenceError:
            log.exception("meeting %s cannot be adopted", lease.meeting_id)
        except Exception as error:  # any error of this meeting leaves the others to be adopted
            await self.quarantine(lease.meeting_id, lease.epoch, error)
        return None

    async def _end(self, meeting: Meeting, lease: Lease, reason: FailReason, detail: str) -> None:
        metadata = self._meetings.metadata(ACTOR)
        try:
            adopted, after = self._meetings.decide_events(meeting, self._adoption(lease), metadata)
            failed, end = self._meetings.decide_events(after, Fail(reason, detail), metadata)
            append = partial(self._meetings.append, meeting, adopted + failed, end)
            await retry_while_unavailable(partial(append, epoch=lease.epoch))
        except (Fenced, VersionConflict):
            log.info("meeting %s was taken over by another owner", meeting.id)
        except MeetingError as error:
            await self.quarantine(meeting.id, lease.epoch, error)

    def _adoption(self, lease: Lease) -> Adopt:
        return Adopt(self._owner, lease.epoch, _cause(lease, self._owner))


def _cause(lease: Lease, owner: str) -> AdoptCause:
    """Return `restart` for a lease that was lost on this host, and `takeover` for any other."""
    previous = (lease.previous_owner or owner).partition(":")[0]
    return "restart" if previous == owner.partition(":")[0] else "takeover"
