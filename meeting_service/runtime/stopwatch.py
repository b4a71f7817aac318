"""The stopwatch: how long one call took, and how long its first piece of text."""

from collections.abc import Callable
from typing import Self


class Stopwatch:
    """Times one call, from its making until `stop`.

    Units: `monotonic` counts seconds, `latency_ms` and `first_token_ms` are milliseconds.
    Shape: `first_token_ms` is none while no text has come; `latency_ms` grows until it is stopped.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._first: float | None = None
        self._ended: float | None = None

    def timing(self, on_delta: Callable[[str], None]) -> Callable[[str], None]:
        """Wrap an `on_delta`: the first text that passes through it is noted."""

        def tell(text: str) -> None:
            if self._first is None and text:
                self._first = self._monotonic()
            on_delta(text)

        return tell

    def stop(self) -> Self:
        """End the measure; stopping again changes nothing."""
        if self._ended is None:
            self._ended = self._monotonic()
        return self

    @property
    def latency_ms(self) -> int:
        return self._since_start(self._monotonic() if self._ended is None else self._ended)

    @property
    def first_token_ms(self) -> int | None:
        return None if self._first is None else self._since_start(self._first)

    def _since_start(self, at: float) -> int:
        return round((at - self._started) * 1000)
