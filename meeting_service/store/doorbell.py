"""Telling whoever listens that something was appended."""

from collections.abc import Callable

import asyncpg

CHANNEL = "meetings_events"
"""The channel the eventsourcing library uses for our table; its payload is ignored."""


class Doorbell:
    """Rings for everyone who listens. A ring may be missed, and may come for nothing."""

    def __init__(self) -> None:
        self._rings: list[Callable[[], None]] = []

    def listen(self, ring: Callable[[], None]) -> None:
        """Have `ring` called from now on."""
        self._rings.append(ring)

    def ring(self, *_: object) -> None:
        """Call everyone; the arguments of a database notification are ignored."""
        for ring in self._rings:
            ring()

    async def hang_on(self, connection: asyncpg.Connection) -> None:
        """Ring at every notification that comes over the connection, as long as it lives."""
        await connection.add_listener(CHANNEL, self.ring)
