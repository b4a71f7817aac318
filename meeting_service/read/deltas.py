"""Deltas: how the open attempts' texts grow, gathered so that no watcher gets too many."""

from collections.abc import Iterator

import anyio
from msgspec import Struct

from meeting_core.meeting import Meeting, OpenAttempt
from meeting_core.vocabulary import AgentId, MeetingId, TurnTask, clean_text
from meeting_service.ports import Clock
from meeting_service.read.dispatches import Delta, Folds, open_attempt
from meeting_service.read.frames import delta_frame

MOST_CHARACTERS = 32_768
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

    def __init__(self, folds: Folds, clock: Clock, patience_looks: int) -> None:
        self._folds = folds
        self._clock = clock
        self._patience_looks = patience_looks
        self._gathered: dict[MeetingId, _Gathered] = {}
        self._arrival = anyio.Event()

    def gather(self, meeting: Meeting, agent_id: AgentId, text: str) -> None:
        """Take what an agent's text grew by; what belongs to no open turn is dropped."""
        slot = meeting.slot
        if slot is None or slot.open is None or not isinstance(slot.task, TurnTask):
            return
        gathered = self._gathered.get(meeting.id)
        if gathered is None or gathered.attempt.version < slot.open.version:
            gathered = _Gathered(meeting, slot.open, slot.task, [], looks_left=self._patience_looks)
            self._gathered[meeting.id] = gathered
        is_this = gathered.attempt.version == slot.open.version and agent_id == slot.open.agent_id
        if is_this and gathered.characters + len(text) <= MOST_CHARACTERS:
            gathered.pieces.append(text)
            gathered.characters += len(text)
            self._arrival.set()

    def take(self) -> Iterator[Delta]:
        """Give out what was gathered for attempts that are open; forget those that are not."""
        for meeting_id, gathered in list(self._gathered.items()):
            known = self._folds.known(meeting_id)
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
