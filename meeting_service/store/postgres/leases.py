"""Owners, leases and quarantine on PostgreSQL: who may run which meeting.

Renewals have a connection of their own, and so have the claims, which may have to wait for a lock:
neither slow reads nor a claim that waits can cost a healthy process its leases.
"""

import asyncio
from collections.abc import Collection, Sequence

import asyncpg
from eventsourcing.persistence import OperationalError

from meeting_core.model import MeetingId, clean_text
from meeting_service.ports import Lease, MissingGateway, RoomTaken
from meeting_service.store.postgres.connect import MAX_CONNECT_SECONDS, Connector
from meeting_service.store.postgres.persistence_errors import (
    DRIVER_ERRORS,
    is_not_writable,
    translated,
)
from meeting_service.store.postgres.statements import QUERIES

MIN_RENEWAL_SECONDS = 1.0


class PostgresLeases:
    """The part of the recorder that grants, renews and releases leases."""

    def __init__(self, connector: Connector, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._renewals = OwnConnection(connector, "meetings: renewals")
        self._claims = OwnConnection(connector, "meetings: claims")

    async def register_owner(self, owner: str, *, lease_seconds: float) -> None:
        """Register an owner as alive for `lease_seconds`."""
        await self._renew("register_owner", owner, lease_seconds)

    async def renew_leases(self, owner: str, *, lease_seconds: float) -> bool:
        """Extend a registered owner's life: one row for any number of leases."""
        ((is_renewed,),) = await self._renew("renew_leases", owner, lease_seconds)
        return bool(is_renewed)

    async def release_leases(self, owner: str) -> None:
        """Release all the owner's leases, without their next claim counting as a crash."""
        await self._claim("release_leases", owner)

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
        records = await self._claim(
            "claim_leases",
            owner,
            lease_seconds,
            limit,
            None if running is None else list(running),
            None if gateways is None else list(gateways),
            None,
        )
        return [Lease(**record) for record in records]

    async def claim_meeting(
        self, owner: str, meeting_id: MeetingId, *, lease_seconds: float
    ) -> Lease | None:
        """Claim one live meeting, with any gateways; None if it cannot be claimed."""
        records = await self._claim("claim_leases", owner, lease_seconds, 1, None, None, meeting_id)
        return Lease(**records[0]) if records else None

    async def wait_for_gateways(
        self, gateways: Collection[str], *, seconds: float
    ) -> Sequence[MissingGateway]:
        """Record how long meetings that no process runs have waited for other gateways."""
        records = await self._claim("wait_for_gateways", list(gateways), seconds)
        return [MissingGateway(**record) for record in records]

    async def quarantine(
        self, meeting_id: MeetingId, *, owner: str, epoch: int, reason: str
    ) -> bool:
        """Put a meeting aside, if its lease still has that owner and epoch."""
        text, _ = clean_text(reason)
        ((is_quarantined,),) = await self._claim("quarantine", meeting_id, owner, epoch, text)
        return bool(is_quarantined)

    async def release_quarantine(self, meeting_id: MeetingId) -> bool:
        """Make a meeting live again; False if it is not in quarantine."""
        ((is_released, room_id, holder),) = await self._claim("release_quarantine", meeting_id)
        if holder is not None:
            raise RoomTaken(room_id, holder)
        return bool(is_released)

    async def _connect(self) -> None:
        for connection in (self._renewals, self._claims):
            await connection.open(self._timeout_seconds)

    def _expire(self) -> None:
        self._renewals.expire()
        self._claims.expire()

    def _disconnect(self) -> None:
        self._renewals.close()
        self._claims.close()

    async def _renew(self, name: str, owner: str, lease_seconds: float) -> list[asyncpg.Record]:
        # A connection that hangs is given up while there is still time for another.
        half_life = max(lease_seconds / 2, MIN_RENEWAL_SECONDS)
        return await self._renewals.fetch(
            name, owner, lease_seconds, timeout_seconds=min(half_life, self._timeout_seconds)
        )

    async def _claim(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._claims.fetch(name, *arguments, timeout_seconds=self._timeout_seconds)


class OwnConnection:
    """One connection that serves one purpose, so that nothing else keeps it waiting.

    It connects when it is first needed, and again after it was lost.
    """

    def __init__(self, connector: Connector, application_name: str) -> None:
        self._connector = connector
        self._application_name = application_name
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._is_closed = False
        self._is_expired = False

    async def open(self, timeout_seconds: float) -> None:
        """Connect before there is a statement, so that it is known whether that is possible.

        Raises: what asyncpg raises when the database is unreachable.
        """
        async with self._lock:
            await self._connected(timeout_seconds)

    async def fetch(
        self, name: str, *arguments: object, timeout_seconds: float
    ) -> list[asyncpg.Record]:
        """Send the statement of that name, one at a time; return its rows.

        Raises: `PersistenceError`; `OperationalError` if there is no answer in time.
        """
        try:
            async with asyncio.timeout(timeout_seconds), self._lock:
                return await self._fetch(name, *arguments)
        except TimeoutError as error:
            raise OperationalError(
                f"the database did not answer within {timeout_seconds:g} s"
            ) from error
        except DRIVER_ERRORS as error:
            raise translated(error) from error

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await self._connected(MAX_CONNECT_SECONDS)
        try:
            records: list[asyncpg.Record] = await connection.fetch(QUERIES[name], *arguments)
        except asyncpg.PostgresError as error:
            if is_not_writable(error):
                connection.terminate()
            raise
        except BaseException:
            # Late or broken: the next statement shall not wait for what became of this one.
            connection.terminate()
            raise
        return records

    async def _connected(self, timeout_seconds: float) -> asyncpg.Connection:
        if self._is_closed:
            raise OperationalError("the store is closed")
        if self._connection is not None and self._is_expired:
            self._connection.terminate()
        self._is_expired = False
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connector.connect(
                self._application_name, timeout_seconds
            )
        return self._connection

    def expire(self) -> None:
        """Connect anew for the next statement: the host may be another by now."""
        self._is_expired = True

    def close(self) -> None:
        """Disconnect for good."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.terminate()
