"""The deadlines inside one call: for all of it, for its first token, and between tokens."""

import asyncio
from types import TracebackType

import anyio


class StreamTimeouts:
    """Ends a call that misses one of its deadlines; a context manager around the call.

    Units: seconds. Shape: `missed` says in words which deadline was missed, if one was.
    """

    def __init__(
        self, total_seconds: float, first_seconds: float | None, idle_seconds: float | None
    ) -> None:
        self.missed = ""
        self._total_seconds = total_seconds
        self._first_seconds = first_seconds
        self._idle_seconds = idle_seconds
        self._scope = anyio.CancelScope()
        self._began_at = 0.0
        self._last_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> "StreamTimeouts":
        self._scope.__enter__()
        self._began_at = self._loop.time()
        self._set_timer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if self._timer is not None:
            self._timer.cancel()
        return self._scope.__exit__(kind, error, traceback)

    def advance(self) -> None:
        """Record that another token has come."""
        is_first = self._last_at is None
        self._last_at = self._loop.time()
        if is_first:
            self._set_timer()

    def _set_timer(self) -> None:
        # Later tokens only move the deadline on: the timer finds out when it fires.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._next()[0], self._on_timer)

    def _on_timer(self) -> None:
        deadline, words = self._next()
        if self._loop.time() < deadline:
            self._set_timer()
            return
        self.missed = words
        self._scope.cancel()

    def _next(self) -> tuple[float, str]:
        """Return the nearest deadline, and what it means to miss it."""
        total_at = self._began_at + self._total_seconds
        total = (total_at, f"gave no complete answer within {self._total_seconds:g} s")
        if self._last_at is None:
            since, seconds = self._began_at, self._first_seconds
            words = f"was too slow to begin its answer (first_token_timeout_seconds = {seconds})"
        else:
            since, seconds = self._last_at, self._idle_seconds
            words = f"stalled in mid-answer (idle_timeout_seconds = {seconds})"
        return total if seconds is None else min(total, (since + seconds, words))
