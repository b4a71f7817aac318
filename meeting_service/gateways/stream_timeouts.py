"""The deadlines inside one call: for all of it, for its first piece, and between pieces."""

import anyio

TRAILER_SECONDS = 2.0
"""How long a complete answer may wait for the usage that follows it."""


class StreamTimeouts:
    """Moves a call's deadline nearer while it waits for the next piece."""

    def __init__(
        self, clock: anyio.CancelScope, first_seconds: float | None, idle_seconds: float | None
    ) -> None:
        self._clock = clock
        self._total_at = clock.deadline
        self._idle_seconds = idle_seconds
        self._has_begun = False
        self._bound(first_seconds)

    def advance(self, *, is_finished: bool) -> None:
        self._has_begun = True
        self._bound(TRAILER_SECONDS if is_finished else self._idle_seconds)

    def missed(self, total_seconds: float) -> str:
        """Return which deadline has passed, in words."""
        if self._clock.deadline >= self._total_at:
            return f"gave no complete answer within {total_seconds:g} s"
        return "stalled in mid-answer" if self._has_begun else "was too slow to begin its answer"

    def _bound(self, seconds: float | None) -> None:
        if seconds is not None:
            self._clock.deadline = min(self._total_at, anyio.current_time() + seconds)
