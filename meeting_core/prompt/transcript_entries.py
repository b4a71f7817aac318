"""What a brief quotes: the types, and what stands among the turns: remarks, digests, a draft."""

from bisect import bisect_left, bisect_right

from meeting_core.model.meeting import Meeting
from meeting_core.model.transcript import Draft
from meeting_core.model.values import EntryRange, Value, Version
from meeting_core.prompt.prompt_escaping import attribute
from meeting_core.prompt.tokens import TokenCounter


class Marks(Value, frozen=True):
    """What stands before and after an entry, the blank line that follows it included.

    Units: tokens, of both together.
    """

    start: str
    end: str
    tokens: int


class Entry(Value, frozen=True):
    """What was said: a turn, a remark, a digest, or a draft of the minutes.

    Units: tokens, of the whole entry.
    """

    text: str
    tokens: int
    marks: Marks


class Transcript(Value, frozen=True):
    """Entries in order, each with its version, and those that digests stand for."""

    versions: list[Version]
    entries: list[Entry]
    digested: tuple[EntryRange, ...]


def draft_entry(draft: Draft, count: TokenCounter) -> Entry:
    return _entry("draft", f'by="{draft.agent_id}"', draft.text, draft.text_tokens, count)


def digested_ranges(meeting: Meeting) -> tuple[EntryRange, ...]:
    """Return which turns digests stand for: those of every round that has one."""
    ranges = []
    for each in meeting.rounds:
        if each.digest is not None and each.digest.text:
            turns = [turn.version for turn in meeting.turns if turn.round_num == each.round_num]
            ranges.append(EntryRange(turns[0], turns[-1]))
    return tuple(ranges)


def insert_remarks_and_digests(
    meeting: Meeting, versions: list[Version], entries: list[Entry], count: TokenCounter
) -> None:
    """Put remarks and digests where they belong among the turns."""
    others: list[tuple[Version, Entry]] = []
    for remark in meeting.remarks:
        by = f'by="{attribute(remark.author)}"'
        entry = _entry("remark", by, remark.text, remark.text_tokens, count)
        others.append((remark.version, entry))
    for each in meeting.rounds:
        digest = each.digest
        if digest is not None and digest.text and digest.agent_id is not None:
            of = f'round="{each.round_num}" by="{digest.agent_id}"'
            entry = _entry("digest", of, digest.text, digest.text_tokens, count)
            others.append((digest.version, entry))
    for version, entry in others:
        place = bisect_left(versions, version)
        versions.insert(place, version)
        entries.insert(place, entry)


def of_last_round(meeting: Meeting, transcript: Transcript) -> Transcript:
    """Return only what was said since the round last opened."""
    first_turn = meeting.rounds[-1].first_turn
    after = meeting.turns[first_turn - 1].version if first_turn else 0
    digests = [each.digest.version for each in meeting.rounds[:-1] if each.digest is not None]
    first = bisect_right(transcript.versions, max([after, *digests]))
    return Transcript(transcript.versions[first:], transcript.entries[first:], ())


def _entry(kind: str, attributes: str, text: str, text_tokens: int, count: TokenCounter) -> Entry:
    start, end = f"<{kind} {attributes}>\n", f"\n</{kind}>\n\n"
    marks = Marks(start, end, count(start) + count(end))
    return Entry(text, text_tokens + marks.tokens, marks)
