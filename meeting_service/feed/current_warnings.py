"""Current warnings: what holds for a meeting now and no event says."""

from collections.abc import Callable
from typing import TypeAlias

from meeting_core.model import MeetingId
from meeting_service.feed.frames import Frame, missing_gateway_frame, quarantine_frame
from meeting_service.ports import Clock

_NumberedFrame: TypeAlias = tuple[int, bytes]


class Warnings:
    """The warnings that no event makes and that hold now, numbered as they began.

    Shape: `on_change` is called when there is a new one for the streams to show.
    """

    def __init__(self, clock: Clock, on_change: Callable[[], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._newest = 0
        self._gateway_waits: dict[MeetingId, _NumberedFrame] = {}
        self._quarantines: dict[MeetingId, _NumberedFrame] = {}

    def on_gateway_wait(self, meeting_id: MeetingId, gateway: str | None) -> None:
        """Warn that the meeting waits for a gateway that no process has; None ends the warning."""
        self._gateway_waits.pop(meeting_id, None)
        if gateway is not None:
            frame = missing_gateway_frame(meeting_id, gateway, self._clock())
            self._gateway_waits[meeting_id] = self._numbered(frame)
            self._on_change()

    def on_quarantine(self, meeting_id: MeetingId, reason: str | None) -> None:
        """Warn that the meeting was put into quarantine; None ends the warning."""
        self._quarantines.pop(meeting_id, None)
        if reason is not None:
            frame = quarantine_frame(meeting_id, reason, self._clock())
            self._quarantines[meeting_id] = self._numbered(frame)
            self._on_change()

    def subscription(self, meeting_id: MeetingId | None) -> Callable[[set[MeetingId]], list[bytes]]:
        """Return a function that returns the frames it has not returned yet, of one meeting or
        of all.

        Shape: it takes the meetings of which the stream knows already that they do not go on, and
        adds to them.
        """
        last = 0

        def new_frames(stopped: set[MeetingId]) -> list[bytes]:
            nonlocal last
            before, last = last, self._newest
            quarantines = {
                each: numbered
                for each, numbered in self._quarantines.items()
                if each not in stopped and meeting_id in (None, each)
            }
            stopped.update(quarantines)
            waits = self._gateway_waits.items()
            return [
                frame
                for each, (number, frame) in (*waits, *quarantines.items())
                if number > before and meeting_id in (None, each)
            ]

        return new_frames

    def _numbered(self, frame: Frame) -> _NumberedFrame:
        self._newest += 1
        return self._newest, frame.encoded()
