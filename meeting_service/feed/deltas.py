"""Deltas: how the open attempts' texts grow, gathered so that no watcher gets too many."""

from collections.abc import Iterator

import anyio
from msgspec import Struct

from meeting_core.model import AgentId, Meeting, MeetingId, OpenAttempt, TurnTask, clean_text
from meeting_service.feed.encoded_events import Delta, MeetingCache, open_attempt
from meeting_service.feed.frames import delta_frame
from meeting_service.ports import Clock

MAX_CHARACTERS = 32_768
"""Text gathered for one attempt that nobody can be told yet; the rest is lost."""


class _Gathered(Struct):
    meeting: Meeting
    attempt: OpenAttempt
    task: TurnTask
    pieces: list[str]
    characters: int = 0
    looks_left: int = 0


class Deltas:
    """Gathers the text of each meeting's open attempt between two looks.

    Invariant: a delta is given out only while the reader of events knows its attempt as the open
    one, so that it comes after the attempt's start and before its end.
    """

    def __init__(self, cache: MeetingCache, clock: Clock, patience_looks: int) -> None:
        self._cache = cache
        self._clock = clock
        self._patience_looks = patience_looks
        self._gathered: dict[MeetingId, _Gathered] = {}
        self._arrival = anyio.Event()

    def gather(self, meeting: Meeting, agent_id: AgentId, text: str) -> None:
        """Take what an agent's text grew by; what belongs to no open turn is dropped."""
        task_state = meeting.task_state
        if (
            task_state is None
            or task_state.open is None
            or not isinstance(task_state.task, TurnTask)
        ):
            return
        gathered = self._gathered.get(meeting.id)
        if gathered is None or gathered.attempt.version < task_state.open.version:
            gathered = _Gathered(
                meeting, task_state.open, task_state.task, [], looks_left=self._patience_looks
            )
            self._gathered[meeting.id] = gathered
        is_this = (
            gathered.attempt.version == task_state.open.version
            and agent_id == task_state.open.agent_id
        )
        if is_this and gathered.characters + len(text) <= MAX_CHARACTERS:
            gathered.pieces.append(text)
            gathered.characters += len(text)
            self._arrival.set()

    def take(self) -> Iterator[Delta]:
        """Give out what was gathered for attempts that are open; forget those that are not."""
        for meeting_id, gathered in list(self._gathered.items()):
            known = self._cache.known(meeting_id)
            gathered.looks_left -= 1
            if known is not None and open_attempt(known) == gathered.attempt.version:
                del self._gathered[meeting_id]
                yield self._delta(gathered)
            elif gathered.looks_left <= 0 or (
                known is not None and known.version >= gathered.attempt.version
            ):
                del self._gathered[meeting_id]

    async def until_some(self) -> None:
        """Wait until there is something to give out."""
        while not self._gathered:
            self._arrival = anyio.Event()
            await self._arrival.wait()

    def _delta(self, gathered: _Gathered) -> Delta:
        text, _ = clean_text("".join(gathered.pieces))
        frame = delta_frame(gathered.meeting, gathered.attempt, gathered.task, text, self._clock())
        return Delta(gathered.meeting.id, gathered.attempt.version, frame.encoded())
