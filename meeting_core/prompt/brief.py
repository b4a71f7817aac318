"""The brief: what a participant is shown for one attempt, and the manifest of what went in.

Building is pure and depends only on what happened before the attempt, so the exact messages can
be built again from the history. Newest entries are shown whole, older ones shortened, the oldest
dropped; a digest stands for its round. What others said is data: see `quoting`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

from meeting_core.errors import CorruptHistory
from meeting_core.model.configuration import Configuration
from meeting_core.model.events import AttemptStarted, MeetingEvent
from meeting_core.model.meeting import Draft, Meeting, OpenAttempt
from meeting_core.model.values import (
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
from meeting_core.projector import fold
from meeting_core.prompt.prompt_escaping import attribute, quoted, shortened
from meeting_core.prompt.prompts import TEMPLATE, Prompt, prompt_for
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens

WHOLE_SHARE = 0.7


class Brief(Value, frozen=True):
    """What a participant is shown, and the record of what went in."""

    messages: tuple[Message, ...]
    manifest: Manifest

    @property
    def digest(self) -> str:
        """The SHA-256, in hex, of the roles and contents of the messages."""
        return digest_of(self.messages)


class _Marks(Value, frozen=True):
    """What stands before and after an entry, the blank line that follows it included.

    Units: tokens, of both together.
    """

    start: str
    end: str
    tokens: int


class _Entry(Value, frozen=True):
    """What was said: a turn, a remark, a digest, or a draft of the minutes.

    Units: tokens, of the whole entry.
    """

    text: str
    tokens: int
    marks: _Marks

    def short_tokens(self, count: TokenCounter) -> int:
        return _tokens_of_shortened(self.text, count) + self.marks.tokens


class _Transcript(Value, frozen=True):
    """Entries in order, each with its version, and those that digests stand for."""

    versions: list[Version]
    entries: list[_Entry]
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
    prompt = _prompt(meeting, task, agent_id, draft, count)
    transcript = _transcript(meeting, _digested(meeting, task), count)
    if isinstance(task, DigestTask):
        transcript = _of_last_round(meeting, transcript)
    taken = prompt.tokens + (0 if draft is None else _draft_entry(draft, count).tokens)
    room = meeting.config.context_tokens if context_tokens is None else context_tokens
    manifest = _planned(transcript, taken, room, draft, count)
    return Brief(_messages(transcript, prompt, manifest, draft, count), manifest)


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
    prompt = _prompt(meeting, task, agent_id, draft, estimate_tokens)
    transcript = _transcript(meeting, manifest.digested, estimate_tokens)
    return Brief(_messages(transcript, prompt, manifest, draft, estimate_tokens), manifest)


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
    digest = sha256()
    for message in messages:
        content = message.content.encode()
        digest.update(f"{message.role} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def fixed_tokens(config: Configuration, count: TokenCounter = estimate_tokens) -> int:
    """Tokens that every brief of this meeting takes before anybody has spoken, at most."""
    rounds = range(1, config.num_rounds + 1)
    digests = [DigestTask(n) for n in rounds] if config.digest_rounds else []
    return max(
        prompt_for(config, task, seat, (), count).tokens
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
    drafted = 0 if draft is None else _draft_entry(draft, count).tokens
    return _prompt(meeting, task, agent_id, draft, count).tokens + drafted


def _prompt(
    meeting: Meeting, task: Task, agent_id: AgentId, draft: Draft | None, count: TokenCounter
) -> Prompt:
    missing = () if draft is None else draft.missing
    return prompt_for(meeting.config, task, meeting.participant(agent_id), missing, count)


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
    turns = [turn for turn in meeting.turns if turn.text is not None]
    if digested:
        turns = [
            turn
            for turn in turns
            if not any(each.first <= turn.version <= each.last for each in digested)
        ]
    marks = _turn_marks(meeting.config.participants, meeting.round_num, count)
    versions = [turn.version for turn in turns]
    entries = [
        _entry(turn.text or "", turn.text_tokens, marks[turn.round_num, turn.agent_id])
        for turn in turns
    ]
    if meeting.config.digest_rounds or meeting.remarks:
        _insert_others(meeting, versions, entries, count)
    return _Transcript(versions, entries, digested)


def _insert_others(
    meeting: Meeting, versions: list[Version], entries: list[_Entry], count: TokenCounter
) -> None:
    """Put remarks and digests where they belong among the turns."""
    others: list[tuple[Version, _Entry]] = []
    for remark in meeting.remarks:
        marks = _marks("remark", f'by="{attribute(remark.author)}"', count)
        others.append((remark.version, _entry(remark.text, remark.text_tokens, marks)))
    for each in meeting.rounds:
        digest = each.digest
        if digest is not None and digest.text and digest.agent_id is not None:
            marks = _marks("digest", f'round="{each.round_num}" by="{digest.agent_id}"', count)
            others.append((digest.version, _entry(digest.text, digest.text_tokens, marks)))
    for version, entry in others:
        place = bisect_left(versions, version)
        versions.insert(place, version)
        entries.insert(place, entry)


def _of_last_round(meeting: Meeting, transcript: _Transcript) -> _Transcript:
    """Leave only what was said since the round last opened."""
    first_turn = meeting.rounds[-1].first_turn
    after = meeting.turns[first_turn - 1].version if first_turn else 0
    digests = [each.digest.version for each in meeting.rounds[:-1] if each.digest is not None]
    first = bisect_right(transcript.versions, max([after, *digests]))
    return _Transcript(transcript.versions[first:], transcript.entries[first:], ())


@lru_cache(maxsize=256)
def _turn_marks(
    seats: tuple[Participant, ...], rounds: int, count: TokenCounter
) -> dict[tuple[int, AgentId], _Marks]:
    """Mark every turn there can be in so many rounds, by its round and its speaker."""
    names = {seat.agent_id: attribute(seat.name) for seat in seats}
    return {
        (n, agent_id): _marks("turn", f'round="{n}" by="{agent_id}" name="{name}"', count)
        for n in range(1, rounds + 1)
        for agent_id, name in names.items()
    }


def _draft_entry(draft: Draft, count: TokenCounter) -> _Entry:
    return _entry(draft.text, draft.text_tokens, _marks("draft", f'by="{draft.agent_id}"', count))


def _entry(text: str, text_tokens: int, marks: _Marks) -> _Entry:
    return _Entry(text, text_tokens + marks.tokens, marks)


@lru_cache(maxsize=1024)
def _marks(kind: str, attributes: str, count: TokenCounter) -> _Marks:
    start, end = f"<{kind} {attributes}>\n", f"\n</{kind}>\n\n"
    return _Marks(start, end, count(start) + count(end))


@lru_cache(maxsize=1024)
def _tokens_of_shortened(text: str, count: TokenCounter) -> int:
    return count(shortened(text))


def _planned(
    transcript: _Transcript,
    taken: int,
    context_tokens: int,
    draft: Draft | None,
    count: TokenCounter,
) -> Manifest:
    """Fill the room from the newest entry back: whole, then shortened, then not at all."""
    versions, entries = transcript.versions, transcript.entries
    room = context_tokens - taken
    used, whole = sum([entry.tokens for entry in entries]), 0
    if used > room:
        used, whole = 0, len(entries)
        while whole > 0 and used + entries[whole - 1].tokens <= room * WHOLE_SHARE:
            whole -= 1
            used += entries[whole].tokens
    short = whole
    while short > 0:
        tokens = entries[short - 1].short_tokens(count)
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
    prompt: Prompt,
    manifest: Manifest,
    draft: Draft | None,
    count: TokenCounter,
) -> tuple[Message, ...]:
    """Put the entries that the manifest names between the opening and the closing."""
    parts = [prompt.opening, "\n\n"]
    if dropped := _within(transcript, manifest.dropped):
        parts.append(f"[{len(dropped)} earlier contributions are left out.]\n\n")
    for entry in _within(transcript, manifest.shortened):
        parts += (entry.marks.start, quoted(shortened(entry.text)), entry.marks.end)
    shown = _within(transcript, manifest.whole)
    if draft is not None:
        shown = [*shown, _draft_entry(draft, count)]
    for entry in shown:
        parts += (entry.marks.start, quoted(entry.text), entry.marks.end)
    parts.append(prompt.closing)
    return Message("system", prompt.system), Message("user", "".join(parts))


def _within(transcript: _Transcript, shown: EntryRange | None) -> list[_Entry]:
    """Pick the entries whose versions lie in the range."""
    if shown is None:
        return []
    first = bisect_left(transcript.versions, shown.first)
    return transcript.entries[first : bisect_right(transcript.versions, shown.last)]
