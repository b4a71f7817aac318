"""Owners, leases, waits and quarantine in memory: who may run which meeting."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from meeting_core.model import MeetingId, clean_text
from meeting_service.ports import (
    Clock,
    Lease,
    MissingGateway,
    Quarantined,
    RoomTaken,
    SummaryRow,
    TurnRow,
)

_NO_OWNER = ""

Place = tuple[MeetingId, int, int]
"""A turn's: meeting, round, index."""


class Held(Struct, frozen=True):
    """A meeting's lease, and what is kept beside it."""

    lease: Lease
    progress: int
    leased_at: datetime
    quarantined: str | None = None
    quarantined_at: datetime | None = None


class _Wait(Struct, frozen=True):
    seconds: float
    noted_at: datetime


class InMemoryLeases:
    """The leases of the meetings in memory, by the clock it is given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._summaries: dict[MeetingId, SummaryRow] = {}
        self._turns: dict[Place, TurnRow] = {}
        self._leases: dict[MeetingId, Held] = {}
        self._owners: dict[str, datetime] = {}
        self._waits: dict[MeetingId, _Wait] = {}

    async def count_live(self) -> int:
        """Count the meetings that have not ended and are not quarantined."""
        return sum(1 for _ in self._live())

    async def register_owner(self, owner: str, *, lease_seconds: float) -> None:
        """Register an owner as alive for `lease_seconds`."""
        self._owners[owner] = self._clock() + timedelta(seconds=lease_seconds)

    async def renew_leases(self, owner: str, *, lease_seconds: float) -> bool:
        """Extend a registered owner's life, and with it all its leases."""
        if owner not in self._owners:
            return False
        self._owners[owner] = self._clock() + timedelta(seconds=lease_seconds)
        return True

    async def release_leases(self, owner: str) -> None:
        """Release all the owner's leases, without their next claim counting as a crash."""
        self._owners.pop(owner, None)
        for meeting_id, held in self._leases.items():
            if held.lease.owner == owner and held.lease.claims > 0:
                lease = replace(held.lease, claims=held.lease.claims - 1)
                self._leases[meeting_id] = replace(held, lease=lease)

    async def claim_leases(
        self,
        owner: str,
        *,
        lease_seconds: float,
        limit: int,
        running: Collection[MeetingId] | None = None,
        gateways: Collection[str] | None = None,
    ) -> Sequence[Lease]:
        """Claim live meetings whose owner is gone, and those it holds and does not run."""
        settled = self._clock() - timedelta(seconds=lease_seconds)
        wanted = [
            row.meeting_id
            for row in sorted(self._live(), key=attrgetter("created_at", "meeting_id"))
            if (gateways is None or set(row.gateways) <= set(gateways))
            and (
                self._is_orphaned(row.meeting_id, owner)
                or self._is_lost_by(owner, row.meeting_id, running, settled)
            )
        ]
        return await self._claim(owner, wanted[:limit], lease_seconds)

    async def claim_meeting(
        self, owner: str, meeting_id: MeetingId, *, lease_seconds: float
    ) -> Lease | None:
        """Claim one live meeting, with any gateways; None if it cannot be claimed."""
        is_live = any(row.meeting_id == meeting_id for row in self._live())
        wanted = [meeting_id] if is_live and self._is_orphaned(meeting_id, owner) else []
        leases = await self._claim(owner, wanted, lease_seconds)
        return leases[0] if leases else None

    async def wait_for_gateways(
        self, gateways: Collection[str], *, seconds: float
    ) -> Sequence[MissingGateway]:
        """Record how long meetings that no process runs have waited for other gateways."""
        now = self._clock()
        orphaned = [row for row in self._live() if self._is_orphaned(row.meeting_id)]
        ids = {row.meeting_id for row in orphaned}
        self._waits = {id_: wait for id_, wait in self._waits.items() if id_ in ids}
        found = []
        for row in sorted(orphaned, key=attrgetter("created_at", "meeting_id")):
            missing = next((name for name in row.gateways if name not in gateways), None)
            if missing is not None:
                last = self._waits.get(row.meeting_id, _Wait(0.0, now))
                passed = min((now - last.noted_at).total_seconds(), seconds)
                self._waits[row.meeting_id] = _Wait(last.seconds + passed, now)
                found.append(MissingGateway(row.meeting_id, missing, last.seconds + passed))
        return found

    async def quarantine(
        self, meeting_id: MeetingId, *, owner: str, epoch: int, reason: str
    ) -> bool:
        """Put a meeting aside, if its lease still has that owner and epoch."""
        held = self._leases.get(meeting_id)
        if held is None or (held.lease.owner, held.lease.epoch) != (owner, epoch):
            return False
        self._leases[meeting_id] = replace(
            held,
            lease=replace(held.lease, owner=_NO_OWNER, epoch=epoch + 1),
            quarantined=clean_text(reason)[0],
            quarantined_at=self._clock(),
        )
        return True

    async def select_quarantined(self, limit: int) -> Sequence[Quarantined]:
        """Return the meetings in quarantine, the first put there first."""
        found = []
        for meeting_id, held in self._leases.items():
            row = self._summaries.get(meeting_id)
            if row is not None and held.quarantined is not None:
                assert held.quarantined_at is not None
                since = held.quarantined_at
                found.append(Quarantined(meeting_id, row.title, row.state, held.quarantined, since))
        return sorted(found, key=attrgetter("since", "meeting_id"))[:limit]

    async def quarantine_reason(self, meeting_id: MeetingId) -> str | None:
        """Return why a meeting is in quarantine; None if it is not."""
        held = self._leases.get(meeting_id)
        return None if held is None else held.quarantined

    async def release_quarantine(self, meeting_id: MeetingId) -> bool:
        """Make a meeting live again; False if it is not in quarantine."""
        held = self._leases.get(meeting_id)
        if held is None or held.quarantined is None:
            return False
        row = self._summaries.get(meeting_id)
        if row is not None:
            self._check_room(row)
        lease = replace(held.lease, claims=0)
        self._leases[meeting_id] = Held(lease, held.progress, held.leased_at)
        return True

    def _live(self) -> Iterator[SummaryRow]:
        return (
            row
            for row in self._summaries.values()
            if row.is_live and not self._is_quarantined(row.meeting_id)
        )

    def _is_quarantined(self, meeting_id: MeetingId) -> bool:
        held = self._leases.get(meeting_id)
        return held is not None and held.quarantined is not None

    def _check_room(self, summary: SummaryRow) -> None:
        if summary.room_id is None:
            return
        for row in self._live():
            if row.room_id == summary.room_id and row.meeting_id != summary.meeting_id:
                raise RoomTaken(summary.room_id, row.meeting_id)

    def _is_orphaned(self, meeting_id: MeetingId, claimant: str | None = None) -> bool:
        """Return whether no living owner holds the meeting; the claimant's own do not count."""
        held = self._leases.get(meeting_id)
        if held is None:
            return True
        expires_at = self._owners.get(held.lease.owner)
        is_alive = expires_at is not None and expires_at > self._clock()
        return not is_alive and held.lease.owner != claimant

    def _is_lost_by(
        self,
        owner: str,
        meeting_id: MeetingId,
        running: Collection[MeetingId] | None,
        settled: datetime,
    ) -> bool:
        """Return whether the owner has held the meeting for long without running it.

        The answer to its claim or start was lost then.
        """
        held = self._leases.get(meeting_id)
        if held is None or running is None or meeting_id in running:
            return False
        return held.lease.owner == owner and held.leased_at < settled

    async def _claim(
        self, owner: str, wanted: Sequence[MeetingId], lease_seconds: float
    ) -> list[Lease]:
        if not wanted or not await self.renew_leases(owner, lease_seconds=lease_seconds):
            return []
        return [self._lease(meeting_id, owner) for meeting_id in wanted]

    def _lease(self, meeting_id: MeetingId, owner: str) -> Lease:
        progress = sum(place[0] == meeting_id for place in self._turns)
        held = self._leases.get(meeting_id)
        if held is None:
            # Above any epoch the meeting may have had under a lease that was lost.
            lease = Lease(meeting_id, owner, int(self._clock().timestamp()), 1)
        else:
            claims = 1 if progress > held.progress else held.lease.claims + 1
            previous_owner = held.lease.owner or None
            lease = Lease(meeting_id, owner, held.lease.epoch + 1, claims, previous_owner)
        self._leases[meeting_id] = Held(lease, progress, self._clock())
        self._waits.pop(meeting_id, None)
        return lease
