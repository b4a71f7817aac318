"""The brief: what a participant is shown for one attempt, and the manifest of what went in.

Building is pure and depends only on what happened before the attempt, so the exact messages can
be built again from the history. Newest entries are shown whole, older ones shortened, the oldest
dropped; a digest stands for its round. What others said is data: see `prompt_escaping`.
"""

from bisect import bisect_left, bisect_right
from functools import lru_cache
from hashlib import sha256

from msgspec.structs import replace

from meeting_core.model.accounting import ModelProfile, profile_of
from meeting_core.model.meeting import Meeting
from meeting_core.model.token_factors import ScriptTokens
from meeting_core.model.transcript import Draft
from meeting_core.model.values import (
    AgentId,
    DigestTask,
    EntryRange,
    Manifest,
    Message,
    SynthesisTask,
    Task,
    Value,
    Version,
)
from meeting_core.prompt import templates as prompts
from meeting_core.prompt.prompt_escaping import attribute, quoted, shortened
from meeting_core.prompt.prompt_parts import Prompt, prompt_for
from meeting_core.prompt.scripts import added, script_tokens
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens
from meeting_core.prompt.transcript_entries import (
    Entry,
    Marks,
    Transcript,
    digested_ranges,
    draft_entry,
    insert_remarks_and_digests,
    of_last_round,
)

WHOLE_SHARE = 0.7

MAX_SHORTENINGS = 4
"""How often a brief is shortened in proportion, since its scripts are known once it is built."""


class Brief(Value, frozen=True):
    """What a participant is shown, and the manifest of what went in."""

    messages: tuple[Message, ...]
    manifest: Manifest

    @property
    def digest(self) -> str:
        """The SHA-256, in hex, of the roles and contents of the messages."""
        return digest_of(self.messages)

    def tokens_for(self, known: ModelProfile) -> int:
        """Return what a model's provider may count for the messages, as far as is known."""
        return known.prompt_tokens(self.manifest.tokens, self.manifest.scripts)


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
    draft = meeting.draft if isinstance(task, SynthesisTask) else None
    prompt = prompt_for(meeting, task, agent_id, draft, count)
    is_digest, has_digests = isinstance(task, DigestTask), meeting.config.digest_rounds
    digested = digested_ranges(meeting) if has_digests and not is_digest else ()
    transcript = transcript_of(meeting, digested, count)
    if is_digest:
        transcript = of_last_round(meeting, transcript)
    taken = prompt.tokens + (0 if draft is None else draft_entry(draft, count).tokens)
    room = meeting.config.context_tokens if context_tokens is None else context_tokens
    manifest = _planned(transcript, taken, room, draft, count)
    scripts = _scripts(transcript, prompt, manifest, draft, count)
    manifest = replace(manifest, scripts=added(meeting.document_scripts, scripts))
    return Brief(messages_of(transcript, prompt, manifest, draft, count), manifest)


def brief_within(
    meeting: Meeting, task: Task, agent_id: AgentId, tokens: int, *, count: TokenCounter
) -> Brief:
    """Return the longest brief that takes at most `tokens` of its model, as far as is known.

    Units: tokens by the model's own count, without what its provider adds to a prompt. What every
    brief holds is never shortened.
    """
    known = profile_of(meeting.model_profiles, meeting.speaking(agent_id).model)
    limit = known.max_brief_tokens(tokens)
    brief = build_brief(meeting, task, agent_id, context_tokens=limit, count=count)
    for _ in range(MAX_SHORTENINGS):
        needed = known.shown_tokens(brief.manifest.tokens, brief.manifest.scripts)
        if needed <= tokens or brief.manifest.tokens > limit:
            break
        limit = brief.manifest.tokens * tokens // needed
        brief = build_brief(meeting, task, agent_id, context_tokens=limit, count=count)
    return brief


def digest_of(messages: tuple[Message, ...]) -> str:
    """Hash the exact messages: SHA-256 over each role and content, length first."""
    digest = sha256()
    for message in messages:
        content = message.content.encode()
        digest.update(f"{message.role} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def transcript_of(
    meeting: Meeting, digested: tuple[EntryRange, ...], count: TokenCounter
) -> Transcript:
    """Return what was said so far, without the turns that digests stand for."""
    turns = [turn for turn in meeting.turns if turn.text is not None]
    if digested:
        turns = [
            turn
            for turn in turns
            if not any(each.first <= turn.version <= each.last for each in digested)
        ]
    names = {each.agent_id: each.name for each in meeting.config.participants}
    versions, entries = [turn.version for turn in turns], []
    for turn in turns:
        name, others = names[turn.agent_id], turn.speaks_for
        marks = _turn_marks(turn.round_num, turn.agent_id, name, others, count)
        entries.append(Entry(turn.text or "", turn.text_tokens + marks.tokens, marks))
    if meeting.config.digest_rounds or meeting.remarks:
        insert_remarks_and_digests(meeting, versions, entries, count)
    return Transcript(versions, entries, digested)


# Every brief marks every turn; a name has a few hundred characters at most.
@lru_cache(maxsize=1_024)
def _turn_marks(
    round_num: int,
    agent_id: AgentId,
    name: str,
    others: tuple[AgentId, ...],
    count: TokenCounter,
) -> Marks:
    start = f'<turn round="{round_num}" by="{agent_id}" name="{attribute(name)}"'
    if others:
        start += f' in-the-names-of="{" ".join(others)}"'
    start += ">\n"
    end = "\n</turn>\n\n"
    return Marks(start, end, count(start) + count(end))


def _planned(
    transcript: Transcript,
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
        tokens = count(shortened(entries[short - 1].text)) + entries[short - 1].marks.tokens
        if used + tokens > room:
            break
        short -= 1
        used += tokens
    return Manifest(
        prompts.TEMPLATE,
        taken + used,
        _range(versions[whole:]),
        _range(versions[short:whole]),
        _range(versions[:short]),
        transcript.digested,
        None if draft is None else draft.version,
    )


def _scripts(
    transcript: Transcript,
    prompt: Prompt,
    manifest: Manifest,
    draft: Draft | None,
    count: TokenCounter,
) -> ScriptTokens:
    """Return the parts by script of a brief with this manifest, without the documents."""
    texts = [*prompt.given]
    texts += [each.text for each in _within(transcript, manifest.whole)]
    texts += [shortened(each.text) for each in _within(transcript, manifest.shortened)]
    if draft is not None:
        texts.append(draft.text)
    return script_tokens(texts, count)


def _range(versions: list[Version]) -> EntryRange | None:
    return EntryRange(versions[0], versions[-1]) if versions else None


def messages_of(
    transcript: Transcript,
    prompt: Prompt,
    manifest: Manifest,
    draft: Draft | None,
    count: TokenCounter,
) -> tuple[Message, ...]:
    """Put the entries that the manifest names between the opening and the closing."""
    parts = [prompt.opening, "\n\n"]
    if dropped := _within(transcript, manifest.dropped):
        parts.append(prompts.LEFT_OUT.format(count=len(dropped)))
    for entry in _within(transcript, manifest.shortened):
        parts += (entry.marks.start, quoted(shortened(entry.text)), entry.marks.end)
    shown = _within(transcript, manifest.whole)
    if draft is not None:
        shown = [*shown, draft_entry(draft, count)]
    for entry in shown:
        parts += (entry.marks.start, quoted(entry.text), entry.marks.end)
    parts.append(prompt.closing)
    return Message("system", prompt.system), Message("user", "".join(parts))


def _within(transcript: Transcript, shown: EntryRange | None) -> list[Entry]:
    """Pick the entries whose versions lie in the range."""
    if shown is None:
        return []
    first = bisect_left(transcript.versions, shown.first)
    return transcript.entries[first : bisect_right(transcript.versions, shown.last)]
