"""Staying awake for a commit."""

import asyncio
import os
import time
from collections.abc import Callable

MAX_SECONDS = 0.001
"""How long to stay awake for one commit."""
FIRST_REST_SECONDS = 0.005
MAX_REST_SECONDS = 1.0
"""How long commits are slept through after one that took longer; each such one doubles it."""


class Vigil:
    """Keeps the event loop from falling asleep while a commit is under way.

    A commit on a quick disk takes a third of a millisecond; to fall asleep, to be woken and to get
    up to speed again takes a process as long. Whatever else comes meanwhile is done as ever.
    Units: `monotonic` counts seconds. Source: ADR 0015.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, processors: int | None = None
    ) -> None:
        self._monotonic = monotonic
        # On the only processor it would be the database that we keep from its work.
        self._is_possible = (processors or _processors()) > 1
        self._until: float | None = None
        self._rests_until = 0.0
        self._rest_seconds = FIRST_REST_SECONDS
        self._is_looking = False

    def begin(self) -> None:
        """Stay awake from now on, if commits have been quick of late."""
        now = self._monotonic()
        if self._is_possible and now >= self._rests_until:
            self._until = now + MAX_SECONDS
            if not self._is_looking:
                self._look_again()

    def end(self) -> None:
        """Sleep whenever there is nothing to do."""
        if self._until is not None:
            self._until = None
            self._rest_seconds = FIRST_REST_SECONDS

    def _look_again(self) -> None:
        self._is_looking = True
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._is_looking = False
        if self._until is None:
            return
        now = self._monotonic()
        if now < self._until:
            self._look_again()
            return
        self._until = None
        self._rests_until = now + self._rest_seconds
        self._rest_seconds = min(2 * self._rest_seconds, MAX_REST_SECONDS)


def _processors() -> int:
    """Count the processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
