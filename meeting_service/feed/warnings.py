"""Warnings that no event makes: every stream of a meeting shows them while they hold."""

from collections.abc import Callable

from meeting_core.model import MeetingId
from meeting_service.feed.frames import missing_gateway_frame
from meeting_service.ports import Clock


class Warnings:
    """The warnings that hold now, numbered in the order in which they began.

    Shape: `on_change` is called when there is a new one for the streams to show.
    """

    def __init__(self, clock: Clock, on_change: Callable[[], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._newest = 0
        self._frames: dict[MeetingId, tuple[int, bytes]] = {}

    def on_gateway_wait(self, meeting_id: MeetingId, gateway: str | None) -> None:
        """Warn that the meeting waits for a gateway that no process has; None ends the warning."""
        if gateway is None:
            self._frames.pop(meeting_id, None)
            return
        self._newest += 1
        frame = missing_gateway_frame(meeting_id, gateway, self._clock())
        self._frames[meeting_id] = self._newest, frame.encoded()
        self._on_change()

    def follow(self, meeting_id: MeetingId | None) -> Callable[[], list[bytes]]:
        """Return a function that returns the frames it has not returned yet, of one meeting or
        of all.
        """
        last = 0

        def new_frames() -> list[bytes]:
            nonlocal last
            before, last = last, self._newest
            return [
                frame
                for each, (number, frame) in self._frames.items()
                if number > before and meeting_id in (None, each)
            ]

        return new_frames
