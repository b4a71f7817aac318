"""Outlines: meetings without their texts, which is all that the frames of a next event need.

An outline is folded on like the meeting itself: no rule of the fold looks into a text.
"""

from random import Random
from typing import Generic, TypeVar

import msgspec
from msgspec.structs import replace

from meeting_core.model import Configuration, Meeting, MeetingId

_Cached = TypeVar("_Cached")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Meeting).decode

ENTRY_BYTES = 600
"""What a cache itself takes for one entry, at most."""


class BoundedCache(Generic[_Cached]):
    """What is known of meetings at a version, bounded in bytes.

    Which entry makes room is left to chance: with the oldest, a cache a little too small for
    meetings that take turns would never hold the one that comes next.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._random = Random(0)  # noqa: S311 - no secret depends on it
        self._places: dict[tuple[MeetingId, int], int] = {}
        self._entries: list[tuple[tuple[MeetingId, int], _Cached, int]] = []
        self.bytes_used = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: tuple[MeetingId, int]) -> bool:
        return key in self._places

    def put(self, key: tuple[MeetingId, int], cached: _Cached, size: int) -> None:
        """Keep what is known at a version, of the size in bytes."""
        self.pop(key)
        size += ENTRY_BYTES
        if size > self._max_bytes:
            return
        while self.bytes_used + size > self._max_bytes:
            self.pop(self._random.choice(self._entries)[0])
        self._places[key] = len(self._entries)
        self._entries.append((key, cached, size))
        self.bytes_used += size

    def get(self, key: tuple[MeetingId, int]) -> _Cached | None:
        """Return what is known at a version; None if nothing is known."""
        place = self._places.get(key)
        return None if place is None else self._entries[place][1]

    def pop(self, key: tuple[MeetingId, int]) -> _Cached | None:
        """Return what is known at a version and forget it; None if nothing is known."""
        place = self._places.pop(key, None)
        if place is None:
            return None
        _, cached, size = self._entries[place]
        last = self._entries.pop()
        if last[0] != key:
            self._entries[place] = last
            self._places[last[0]] = place
        self.bytes_used -= size
        return cached

    def clear(self) -> None:
        """Forget everything."""
        self._places.clear()
        self._entries.clear()
        self.bytes_used = 0


def packed_outline(meeting: Meeting) -> bytes:
    """Return the outline of a meeting in few bytes, whose number says how much memory it takes."""
    return _encode(outline(meeting))


def unpacked_outline(packed: bytes) -> Meeting:
    """Return an outline that was packed."""
    return _decode(packed)


def outline(meeting: Meeting) -> Meeting:
    """Return a meeting without its texts; only whether a text is empty is kept."""
    draft, synthesis = meeting.draft, meeting.synthesis
    return replace(
        meeting,
        config=_outlined(meeting.config),
        turns=tuple(
            turn if len(turn.text or "") <= 1 else replace(turn, text=_mark(turn.text or ""))
            for turn in meeting.turns
        ),
        remarks=tuple(
            remark if len(remark.text) <= 1 else replace(remark, text=_mark(remark.text))
            for remark in meeting.remarks
        ),
        rounds=tuple(
            each
            if each.digest is None or len(each.digest.text) <= 1
            else replace(each, digest=replace(each.digest, text=_mark(each.digest.text)))
            for each in meeting.rounds
        ),
        draft=draft and replace(draft, text=_mark(draft.text)),
        synthesis=synthesis and replace(synthesis, text=_mark(synthesis.text)),
    )


def _outlined(config: Configuration) -> Configuration:
    has_texts = (
        config.goal
        or config.document_context
        or config.parent_minutes
        or any(participant.instructions for participant in config.participants)
    )
    if not has_texts:
        return config
    return replace(
        config,
        goal="",
        document_context="",
        parent_minutes="",
        participants=tuple(
            replace(participant, instructions="") for participant in config.participants
        ),
    )


def _mark(text: str) -> str:
    return text[:1]
