"""Deadlines: many of them, kept by one timer."""

import asyncio
from collections.abc import Callable


class Deadlines:
    """Tells those who are not done in time.

    Units: seconds. Nearly everybody is done long before: a timer each would be made only to be
    thrown away, and take longer than all else that a call needs of the event loop.
    """

    def __init__(self) -> None:
        self._due: dict[Callable[[], object], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, tell: Callable[[], object], seconds: float) -> None:
        """Call this once so much time has passed, unless it is forgotten before."""
        at = self._due[tell] = asyncio.get_running_loop().time() + seconds
        if self._timer is None or at < self._timer.when():
            self._wait_until(at)

    def forget(self, tell: Callable[[], object]) -> None:
        """Call this no more; what is not watched may be forgotten too."""
        self._due.pop(tell, None)

    def _wait_until(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        late = [tell for tell, at in self._due.items() if at <= now]
        for tell in late:
            del self._due[tell]
        if self._due:
            self._wait_until(min(self._due.values()))
        for tell in late:
            tell()
