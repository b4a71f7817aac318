"""Telling whoever listens that something was appended."""

from collections.abc import Callable


class Notifier:
    """Rings for everyone who listens. A ring may be missed, and may come for nothing."""

    def __init__(self) -> None:
        self._rings: list[Callable[[], None]] = []

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Have `ring` called from now on."""
        self._rings.append(notify)

    def notify(self, *_: object) -> None:
        """Call everyone; what a database notification says is ignored."""
        for notify in self._rings:
            notify()
