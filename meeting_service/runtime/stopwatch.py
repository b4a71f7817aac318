"""The stopwatch: how long one call took, and how long its first piece of text."""

from collections.abc import Callable

from meeting_core.model import Timing


class Stopwatch:
    """Times one call, from its making on.

    Units: `monotonic` counts seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._first: float | None = None

    def timing(self, on_delta: Callable[[str], None]) -> Callable[[str], None]:
        """Wrap an `on_delta`: the first text that passes through it is noted."""

        def tell(text: str) -> None:
            if self._first is None and text:
                self._first = self._monotonic()
            on_delta(text)

        return tell

    def read(self) -> Timing:
        """Say how long it has been, and how long until the first text, if any has come."""
        first, started = self._first, self._started
        return Timing(
            round((self._monotonic() - started) * 1000),
            None if first is None else round((first - started) * 1000),
        )
