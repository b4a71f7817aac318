"""The deadlines of many calls, kept by one timer."""

import asyncio


class Deadlines:
    """Ends the calls of one process that are not over in time.

    Units: seconds. Nearly every call is over long before its deadline: a timer of its own for each
    would be made only to be thrown away, and take longer than all else a call needs of the loop.
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, call: asyncio.Timeout, seconds: float) -> None:
        """Let a call, a timeout that was entered without a time, expire after so long."""
        at = self._due[call] = asyncio.get_running_loop().time() + seconds
        if self._timer is None or at < self._timer.when():
            self._wait_until(at)

    def forget(self, call: asyncio.Timeout) -> None:
        """Watch a call no longer."""
        self._due.pop(call, None)

    def _wait_until(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for call in [call for call, at in self._due.items() if at <= now]:
            del self._due[call]
            if not call.expired():
                call.reschedule(now)
        if self._due:
            self._wait_until(min(self._due.values()))
