"""Meetings that wait because no process has a gateway they need."""

import logging
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec import Struct

from meeting_core.model import MeetingId
from meeting_service.command_handler import Meetings
from meeting_service.ports import OnGatewayWait
from meeting_service.runtime.adoption import Adoption
from meeting_service.runtime.running_policy import RunningPolicy

log = logging.getLogger(__name__)


class GatewayWait(Struct, frozen=True):
    """The wait of a meeting for a gateway that no process has; it fails at `until`."""

    gateway: str
    since: datetime
    until: datetime


class MissingGateways:
    """Knows the meetings that this process does not run because it lacks a gateway.

    Every process that lacks the gateway knows them; a process that has it adopts them.
    """

    def __init__(
        self,
        meetings: Meetings,
        policy: RunningPolicy,
        gateways: Collection[str],
        adoption: Adoption,
        on_wait: OnGatewayWait,
    ) -> None:
        self._meetings = meetings
        self._policy = policy
        self._gateways = gateways
        self._adoption = adoption
        self._on_wait = on_wait
        self._waits: dict[MeetingId, GatewayWait] = {}

    def wait_of(self, meeting_id: MeetingId) -> GatewayWait | None:
        """Return the meeting's wait for a gateway; None if it does not wait."""
        return self._waits.get(meeting_id)

    async def look(self) -> None:
        """Find the meetings that wait; fail those that have waited for too long."""
        waiting = await self._meetings.recorder.wait_for_gateways(
            self._gateways, seconds=2 * self.pause_seconds
        )
        now = self._meetings.clock()
        timeout = timedelta(seconds=self._policy.missing_gateway_timeout_seconds)
        waits: dict[MeetingId, GatewayWait] = {}
        late: list[tuple[MeetingId, str]] = []
        for each in waiting:
            waited = timedelta(seconds=each.waited_seconds)
            if waited >= timeout:
                late.append((each.meeting_id, each.gateway))
            # A process that has the gateway may be about to adopt it.
            elif each.waited_seconds >= self._policy.lease_seconds:
                known = self._waits.get(each.meeting_id)
                since = known.since if known is not None else now - waited
                until = now - waited + timeout
                waits[each.meeting_id] = GatewayWait(each.gateway, since, until)
        self._log_changes(waits)
        before, self._waits = self._waits, waits
        for meeting_id in before.keys() - waits.keys():
            self._on_wait(meeting_id, None)
        for meeting_id, wait in waits.items():
            if meeting_id not in before or before[meeting_id].gateway != wait.gateway:
                self._on_wait(meeting_id, wait.gateway)
        for meeting_id, gateway in late:
            await self._fail(meeting_id, gateway)

    @property
    def pause_seconds(self) -> float:
        """The time between two looks."""
        return self._policy.lease_seconds / 2

    async def _fail(self, meeting_id: MeetingId, gateway: str) -> None:
        seconds = self._policy.missing_gateway_timeout_seconds
        detail = f"it waited {seconds:g} s for gateway {gateway!r}, which no process has"
        await self._adoption.fail(meeting_id, "gateway_missing", detail)

    def _log_changes(self, waits: dict[MeetingId, GatewayWait]) -> None:
        before = Counter(wait.gateway for wait in self._waits.values())
        after = Counter(wait.gateway for wait in waits.values())
        for gateway in sorted(before | after):
            count = after[gateway]
            if count == before[gateway]:
                continue
            if count:
                meetings = "1 meeting waits" if count == 1 else f"{count} meetings wait"
                log.warning("%s for gateway %r, which no process has", meetings, gateway)
            else:
                log.info("no meeting waits for gateway %r any more", gateway)
