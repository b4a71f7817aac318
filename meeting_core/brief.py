"""The brief: what a participant is shown for one attempt, and the manifest of what went in.

Building is pure and depends only on what happened before the attempt, so the exact messages can
be built again from the history. Newest entries are shown whole, older ones shortened, the oldest
dropped; a digest stands for its round. What others said is data: see `quoting`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

from meeting_core.configuration import Configuration
from meeting_core.errors import CorruptHistory
from meeting_core.events import AttemptStarted, MeetingEvent
from meeting_core.fold import fold
from meeting_core.meeting import Draft, Meeting, OpenAttempt, Turn
from meeting_core.quoting import attribute, quoted, shortened
from meeting_core.tokens import TokenCounter, estimate_tokens
from meeting_core.vocabulary import (
    AgentId,
    DigestTask,
    EntryRange,
    Manifest,
    Message,
    Participant,
    SynthesisTask,
    Task,
    TurnTask,
    Value,
    Version,
)
from meeting_core.wording import TEMPLATE, Wording, wording_of

WHOLE_SHARE = 0.7


class Brief(Value, frozen=True):
    """What a participant is shown, and the record of what went in."""

    messages: tuple[Message, ...]
    manifest: Manifest

    @property
    def digest(self) -> str:
        """The SHA-256, in hex, of the roles and contents of the messages."""
        return digest_of(self.messages)


class _Block(Value, frozen=True):
    """An entry of the transcript: what was said, and how it is quoted whole.

    Units: tokens, of the whole entry and of its marks alone.
    """

    start: str
    text: str
    end: str
    whole: str
    whole_tokens: int
    mark_tokens: int

    @property
    def short(self) -> str:
        """The entry as it is quoted when room is short."""
        return f"{self.start}{quoted(shortened(self.text))}{self.end}"

    def short_tokens(self, count: TokenCounter) -> int:
        return count(shortened(self.text)) + self.mark_tokens


class _Transcript(Value, frozen=True):
    """Entries in order, each with its version and its block, and those that digests stand for."""

    versions: list[Version]
    blocks: list[_Block]
    digested: tuple[EntryRange, ...]


def build_brief(
    meeting: Meeting,
    task: Task,
    agent_id: AgentId,
    *,
    context_tokens: int | None = None,
    count: TokenCounter = estimate_tokens,
) -> Brief:
    """Build the brief for an attempt that starts now.

    Units: `context_tokens` is what it may hold at most, the meeting's own limit if left out; what
    every brief holds is never shortened.
    """
    draft = _draft_shown(meeting, task)
    wording = _wording(meeting, task, agent_id, draft, count)
    transcript = _transcript(meeting, _digested(meeting, task), count)
    if isinstance(task, DigestTask):
        transcript = _of_last_round(meeting, transcript)
    taken = wording.tokens + (0 if draft is None else _draft_block(draft, count).whole_tokens)
    room = meeting.config.context_tokens if context_tokens is None else context_tokens
    manifest = _planned(transcript, taken, room, draft, count)
    return Brief(_messages(transcript, wording, manifest, draft, count), manifest)


_newest: dict[str, tuple[Message, ...]] = {}
"""The messages of the brief that was planned last, by their digest."""


def remember(digest: str, messages: tuple[Message, ...]) -> None:
    """Keep what the next step will ask for, so that it need not be built twice."""
    _newest.clear()
    _newest[digest] = messages


def messages_shown(meeting: Meeting, task: Task, attempt: OpenAttempt) -> tuple[Message, ...]:
    """Give the messages of the open attempt: by their digest, or built from the manifest.

    Raises: `CorruptHistory` when the manifest was written by another template.
    """
    known = _newest.get(attempt.digest)
    if known is not None:
        return known
    return shown_brief(meeting, task, attempt.agent_id, attempt.manifest).messages


def shown_brief(meeting: Meeting, task: Task, agent_id: AgentId, manifest: Manifest) -> Brief:
    """Give back what an attempt was shown, byte for byte, from its recorded manifest.

    `meeting` may be folded from any longer history. Raises: `CorruptHistory` when the manifest
    was written by another template.
    """
    if manifest.template != TEMPLATE:
        raise CorruptHistory(f"nobody knows template {manifest.template} any more")
    draft = None if manifest.draft is None else meeting.draft
    wording = _wording(meeting, task, agent_id, draft, estimate_tokens)
    transcript = _transcript(meeting, manifest.digested, estimate_tokens)
    return Brief(_messages(transcript, wording, manifest, draft, estimate_tokens), manifest)


def rebuild_brief(history: Iterable[MeetingEvent], attempt: AttemptStarted) -> Brief:
    """Give back what an attempt was shown, byte for byte, from a meeting's history.

    Raises: `CorruptHistory` when the messages are not those that were recorded.
    """
    brief = shown_brief(fold(history), attempt.task, attempt.agent_id, attempt.manifest)
    if brief.digest != attempt.digest:
        raise CorruptHistory(
            f"attempt {attempt.number} for {attempt.task.key} was shown something else"
        )
    return brief


def digest_of(messages: tuple[Message, ...]) -> str:
    """Hash the exact messages: SHA-256 over each role and content, length first."""
    parts: list[bytes] = []
    for message in messages:
        content = message.content.encode()
        parts += (f"{message.role} {len(content)}\n".encode(), content)
    return sha256(b"".join(parts)).hexdigest()


def fixed_tokens(config: Configuration, count: TokenCounter = estimate_tokens) -> int:
    """Tokens that every brief of this meeting takes before anybody has spoken, at most."""
    rounds = range(1, config.num_rounds + 1)
    digests = [DigestTask(n) for n in rounds] if config.digest_rounds else []
    return max(
        wording_of(config, task, seat, (), count).tokens
        for seat in config.participants
        for task in (
            SynthesisTask(),
            *digests,
            *(TurnTask(n, seat.agent_id) for n in rounds),
        )
    )


def least_tokens(
    meeting: Meeting, task: Task, agent_id: AgentId, count: TokenCounter = estimate_tokens
) -> int:
    """Tokens of the shortest brief there can be for a task now."""
    draft = _draft_shown(meeting, task)
    block = 0 if draft is None else _draft_block(draft, count).whole_tokens
    return _wording(meeting, task, agent_id, draft, count).tokens + block


def _wording(
    meeting: Meeting, task: Task, agent_id: AgentId, draft: Draft | None, count: TokenCounter
) -> Wording:
    missing = () if draft is None else draft.missing
    return wording_of(meeting.config, task, meeting.participant(agent_id), missing, count)


def _draft_shown(meeting: Meeting, task: Task) -> Draft | None:
    return meeting.draft if isinstance(task, SynthesisTask) else None


def _digested(meeting: Meeting, task: Task) -> tuple[EntryRange, ...]:
    """Say which turns a digest stands for: those of every round that has one."""
    if not meeting.config.digest_rounds or isinstance(task, DigestTask):
        return ()
    ranges = []
    for each in meeting.rounds:
        if each.digest is not None and each.digest.text:
            turns = [turn.version for turn in meeting.turns if turn.round_num == each.round_num]
            ranges.append(EntryRange(turns[0], turns[-1]))
    return tuple(ranges)


def _transcript(
    meeting: Meeting, digested: tuple[EntryRange, ...], count: TokenCounter
) -> _Transcript:
    names = _names(meeting.config.participants)
    turns = [turn for turn in meeting.turns if turn.text is not None]
    if digested:
        turns = [
            turn
            for turn in turns
            if not any(each.first <= turn.version <= each.last for each in digested)
        ]
    versions = [turn.version for turn in turns]
    blocks = [_turn_block(turn, names[turn.agent_id], count) for turn in turns]
    if meeting.config.digest_rounds or meeting.remarks:
        _insert_others(meeting, versions, blocks, count)
    return _Transcript(versions, blocks, digested)


def _insert_others(
    meeting: Meeting, versions: list[Version], blocks: list[_Block], count: TokenCounter
) -> None:
    """Put remarks and digests where they belong among the turns."""
    others = [
        (remark.version, _remark_block(remark.author, remark.text, remark.text_tokens, count))
        for remark in meeting.remarks
    ]
    for each in meeting.rounds:
        digest = each.digest
        if digest is not None and digest.text and digest.agent_id is not None:
            start = f'<digest round="{each.round_num}" by="{digest.agent_id}">\n'
            block = _block(start, digest.text, digest.text_tokens, "\n</digest>", count)
            others.append((digest.version, block))
    for version, block in others:
        place = bisect_left(versions, version)
        versions.insert(place, version)
        blocks.insert(place, block)


def _of_last_round(meeting: Meeting, transcript: _Transcript) -> _Transcript:
    """Leave only what was said since the round last opened."""
    first_turn = meeting.rounds[-1].first_turn
    after = meeting.turns[first_turn - 1].version if first_turn else 0
    digests = [each.digest.version for each in meeting.rounds[:-1] if each.digest is not None]
    first = bisect_right(transcript.versions, max([after, *digests]))
    return _Transcript(transcript.versions[first:], transcript.blocks[first:], ())


@lru_cache(maxsize=256)
def _names(seats: tuple[Participant, ...]) -> dict[AgentId, str]:
    """Write everybody's name as it stands in the marks of a turn."""
    return {seat.agent_id: attribute(seat.name) for seat in seats}


@lru_cache(maxsize=4096)
def _turn_block(turn: Turn, name: str, count: TokenCounter) -> _Block:
    start = f'<turn round="{turn.round_num}" by="{turn.agent_id}" name="{name}">\n'
    return _block(start, turn.text or "", turn.text_tokens, "\n</turn>", count)


@lru_cache(maxsize=4096)
def _remark_block(author: str, text: str, tokens: int, count: TokenCounter) -> _Block:
    return _block(f'<remark by="{attribute(author)}">\n', text, tokens, "\n</remark>", count)


def _draft_block(draft: Draft, count: TokenCounter) -> _Block:
    start = f'<draft by="{draft.agent_id}">\n'
    return _block(start, draft.text, draft.text_tokens, "\n</draft>", count)


def _block(start: str, text: str, tokens: int, end: str, count: TokenCounter) -> _Block:
    """Quote an entry; an entry is quoted and counted once, however many briefs it is shown in."""
    mark_tokens = count(start) + count(f"{end}\n\n")
    whole = f"{start}{quoted(text)}{end}"
    return _Block(start, text, end, whole, tokens + mark_tokens, mark_tokens)


def _planned(
    transcript: _Transcript,
    taken: int,
    context_tokens: int,
    draft: Draft | None,
    count: TokenCounter,
) -> Manifest:
    """Fill the room from the newest entry back: whole, then shortened, then not at all."""
    versions, blocks = transcript.versions, transcript.blocks
    room = context_tokens - taken
    used, whole = sum([block.whole_tokens for block in blocks]), 0
    if used > room:
        used, whole = 0, len(blocks)
        while whole > 0 and used + blocks[whole - 1].whole_tokens <= room * WHOLE_SHARE:
            whole -= 1
            used += blocks[whole].whole_tokens
    short = whole
    while short > 0:
        tokens = blocks[short - 1].short_tokens(count)
        if used + tokens > room:
            break
        short -= 1
        used += tokens
    return Manifest(
        TEMPLATE,
        taken + used,
        _range(versions[whole:]),
        _range(versions[short:whole]),
        _range(versions[:short]),
        transcript.digested,
        None if draft is None else draft.version,
    )


def _range(versions: list[Version]) -> EntryRange | None:
    return EntryRange(versions[0], versions[-1]) if versions else None


def _messages(
    transcript: _Transcript,
    wording: Wording,
    manifest: Manifest,
    draft: Draft | None,
    count: TokenCounter,
) -> tuple[Message, ...]:
    """Put the entries that the manifest names between the opening and the closing."""
    parts = [wording.opening]
    if dropped := _within(transcript, manifest.dropped):
        parts.append(f"[{len(dropped)} earlier contributions are left out.]")
    parts += [block.short for block in _within(transcript, manifest.shortened)]
    parts += [block.whole for block in _within(transcript, manifest.whole)]
    if draft is not None:
        parts.append(_draft_block(draft, count).whole)
    parts.append(wording.closing)
    return Message("system", wording.system), Message("user", "\n\n".join(parts))


def _within(transcript: _Transcript, shown: EntryRange | None) -> list[_Block]:
    """Pick the entries whose versions lie in the range."""
    if shown is None:
        return []
    first = bisect_left(transcript.versions, shown.first)
    return transcript.blocks[first : bisect_right(transcript.versions, shown.last)]
