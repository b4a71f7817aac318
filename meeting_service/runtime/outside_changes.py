"""Changes from outside: what other processes append to the meetings that this one runs."""

from collections.abc import Awaitable, Callable

from eventsourcing.persistence import Notification

from meeting_core.model import (
    Adopted,
    BudgetRaised,
    Cancelled,
    MeetingId,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
)
from meeting_service.command_handler import Meetings
from meeting_service.runtime.runner import Runner

TOPICS = tuple(
    fact.TOPIC
    for fact in (Adopted, BudgetRaised, Cancelled, Paused, RemarkMade, Resumed, RoundClosed)
)
"""The facts that other processes append to a meeting that a runner drives.

Each of their commands leaves one: that which ends the rounds, `RoundClosed`.
"""

PAGE = 1_000


class OutsideChanges:
    """Finds what others changed, by a poll: this process's own appends would notify all the time.

    Shape: `on_change` is given each runner whose meeting others have changed.
    """

    def __init__(
        self,
        meetings: Meetings,
        runners: dict[MeetingId, Runner],
        on_change: Callable[[Runner], Awaitable[None]],
    ) -> None:
        self._meetings = meetings
        self._runners = runners
        self._on_change = on_change
        self._seen = 0

    async def begin(self) -> None:
        """Begin with what is appended from now on."""
        self._seen = await self._meetings.recorder.max_notification_id() or 0

    async def look(self) -> None:
        """Check what was appended since the last call; notify the runners that it concerns."""
        recorder = self._meetings.recorder
        last = await recorder.max_notification_id() or 0
        if last == self._seen or not self._runners:
            self._seen = last
            return
        found = await recorder.select_notifications(
            self._seen, PAGE, last, TOPICS, inclusive_of_start=False
        )
        for runner in {runner for each in found if (runner := self._runner_of(each))}:
            await self._on_change(runner)
        self._seen = last if len(found) < PAGE else found[-1].id

    def _runner_of(self, notification: Notification) -> Runner | None:
        """Return the runner of the meeting that was changed, if it does not know of the event."""
        meeting_id = notification.originator_id
        assert isinstance(meeting_id, MeetingId)
        runner = self._runners.get(meeting_id)
        is_new = runner is not None and runner.version < notification.originator_version
        return runner if is_new else None
