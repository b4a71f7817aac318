"""An event loop whose clock jumps ahead as soon as nothing else is left to do."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Jumping(selectors.BaseSelector):
    """A selector that never waits for a time: it moves the clock there instead."""

    def __init__(self) -> None:
        self.now = 0.0
        self._inner = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._inner.select(None)
        ready = self._inner.select(0)
        if not ready:
            self.now += timeout
        return ready

    def register(self, *args: Any) -> selectors.SelectorKey:
        return self._inner.register(*args)

    def unregister(self, *args: Any) -> selectors.SelectorKey:
        return self._inner.unregister(*args)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Counts its time from 0."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


BACKEND = ("asyncio", {"loop_factory": VirtualTimeLoop})
"""For an `anyio_backend` fixture: waits take no time, and take exactly as long as they say."""
