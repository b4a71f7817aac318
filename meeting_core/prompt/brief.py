"""The brief: what a participant is shown for one attempt, and the manifest of what went in.

Building is pure and depends only on what happened before the attempt, so the exact messages can
be built again from the history. Newest entries are shown whole, older ones shortened, the oldest
dropped; a digest stands for its round. What others said is data: see `prompt_escaping`.
"""

from bisect import bisect_left, bisect_right
from functools import lru_cache
from hashlib import sha256

from meeting_core.model.configuration import Configuration
from meeting_core.model.meeting import Meeting
from meeting_core.model.transcript import Draft
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
from meeting_core.prompt import templates as prompts
from meeting_core.prompt.prompt_escaping import attribute, quoted, shortened
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


class Brief(Value, frozen=True):
    """What a participant is shown, and the manifest of what went in."""

    messages: tuple[Message, ...]
    manifest: Manifest

    @property
    def digest(self) -> str:
        """The SHA-256, in hex, of the roles and contents of the messages."""
        return digest_of(self.messages)


class Prompt(Value, frozen=True):
    """The parts of a brief that do not depend on what was said, and what they cost.

    Units: tokens.
    """

    system: str
    opening: str
    closing: str
    tokens: int


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
    return Brief(messages_of(transcript, prompt, manifest, draft, count), manifest)


def digest_of(messages: tuple[Message, ...]) -> str:
    """Hash the exact messages: SHA-256 over each role and content, length first."""
    digest = sha256()
    for message in messages:
        content = message.content.encode()
        digest.update(f"{message.role} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def fixed_tokens(config: Configuration, count: TokenCounter = estimate_tokens) -> int:
    """Return the most tokens that a brief takes before the first turn."""
    rounds = range(1, config.num_rounds + 1)
    tasks: list[Task] = [SynthesisTask(), *(TurnTask(n, "") for n in rounds)]
    if config.digest_rounds:
        tasks += [DigestTask(n) for n in rounds]
    by_task = max(
        count(_system_text(each, task)) + count(_closing_text(config, task, each, None))
        for each in config.participants
        for task in tasks
    )
    opening = count(_opening_text(config, tuple(each.agent_id for each in config.participants)))
    documents = document_tokens(config, count)
    return by_task + opening + documents + 3 * prompts.MESSAGE_OVERHEAD_TOKENS


def document_tokens(config: Configuration, count: TokenCounter) -> int:
    """Return how many tokens the quoted documents take in every brief."""
    return count(_documents_text(config))


def min_brief_tokens(
    meeting: Meeting, task: Task, agent_id: AgentId, count: TokenCounter = estimate_tokens
) -> int:
    """Return the tokens of the shortest brief there can be for a task now."""
    draft = meeting.draft if isinstance(task, SynthesisTask) else None
    drafted = 0 if draft is None else draft_entry(draft, count).tokens
    return prompt_for(meeting, task, agent_id, draft, count).tokens + drafted


def prompt_for(
    meeting: Meeting, task: Task, agent_id: AgentId, draft: Draft | None, count: TokenCounter
) -> Prompt:
    config, participant = meeting.config, meeting.participant(agent_id)
    round_num = meeting.round_num or 1 if isinstance(task, SynthesisTask) else task.round_num
    system = _system_text(participant, task)
    opening = _opening_text(config, meeting.speaking_order(round_num))
    closing = _closing_text(config, task, participant, draft)
    # The note about entries left out is counted in: it is there when room is short.
    tokens = count(system) + count(opening) + count(closing) + 3 * prompts.MESSAGE_OVERHEAD_TOKENS
    # The documents were counted when the meeting was convened: they may be long.
    opening += _documents_text(config)
    return Prompt(system, opening, closing, tokens + meeting.document_tokens)


def _system_text(participant: Participant, task: Task) -> str:
    role = f", {participant.role}" if participant.role else ""
    text = f"You are {participant.name}{role}.\n\n{prompts.RULES[type(task)]}"
    return f"{text}\n\n{participant.instructions}" if participant.instructions else text


def _opening_text(config: Configuration, order: tuple[AgentId, ...]) -> str:
    by_id = {each.agent_id: each for each in config.participants}
    listed = "\n".join(
        [
            f"- {each.name} ({each.agent_id}){': ' + each.role if each.role else ''}"
            for each in [by_id[agent_id] for agent_id in order]
        ]
    )
    parts = [f"# {quoted(config.title)}"]
    if config.goal:
        parts.append(prompts.GOAL.format(goal=quoted(config.goal)))
    parts.append(prompts.SPEAKING_ORDER.format(participants=quoted(listed)))
    return "\n\n".join(parts)


def _documents_text(config: Configuration) -> str:
    text = ""
    if config.document_context:
        text += prompts.DOCUMENT.format(text=quoted(config.document_context))
    if config.parent_minutes:
        text += prompts.PARENT_MINUTES.format(text=quoted(config.parent_minutes))
    return text


def _closing_text(
    config: Configuration, task: Task, participant: Participant, draft: Draft | None
) -> str:
    if isinstance(task, SynthesisTask):
        if draft is None:
            return prompts.SYNTHESIS_REQUEST
        missing = ", ".join(f"## {section}" for section in draft.missing)
        return prompts.DRAFT_REQUEST.format(missing=missing)
    request = prompts.TURN_REQUEST if isinstance(task, TurnTask) else prompts.DIGEST_REQUEST
    topic = config.round_topics[task.round_num - 1]
    text = request.format(
        n=task.round_num, rounds=config.num_rounds, topic=topic, name=participant.name
    )
    return quoted(text)


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
