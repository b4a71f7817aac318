"""The parts of a brief that do not depend on what was said, and what the shortest brief takes."""

from meeting_core.model.configuration import Configuration
from meeting_core.model.meeting import Meeting
from meeting_core.model.token_factors import ScriptTokens
from meeting_core.model.transcript import Draft
from meeting_core.model.values import (
    AgentId,
    DigestTask,
    Participant,
    SynthesisTask,
    Task,
    TurnTask,
    Value,
)
from meeting_core.prompt import templates as prompts
from meeting_core.prompt.prompt_escaping import quoted
from meeting_core.prompt.scripts import added, script_tokens
from meeting_core.prompt.tokens import TokenCounter, estimate_tokens
from meeting_core.prompt.transcript_entries import draft_entry


class Prompt(Value, frozen=True):
    """The parts of a brief that do not depend on what was said, and what they cost.

    Units: tokens. `given` are the texts in it that are not the templates' own English.
    """

    system: str
    opening: str
    closing: str
    tokens: int
    given: tuple[str, ...]


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


def fixed_scripts(config: Configuration, count: TokenCounter) -> ScriptTokens:
    """Return the parts by script of what a brief takes before the first turn, documents apart."""
    instructions = max([each.instructions for each in config.participants], key=len)
    topic = max(config.round_topics, key=len)
    return script_tokens((instructions, config.title, config.goal, topic), count)


def document_scripts(config: Configuration, count: TokenCounter) -> ScriptTokens:
    """Return the parts by script of what the quoted documents take."""
    return script_tokens((_documents_text(config),), count)


def document_tokens(config: Configuration, count: TokenCounter) -> int:
    """Return how many tokens the quoted documents take in every brief."""
    return count(_documents_text(config))


def min_brief_tokens(
    meeting: Meeting, task: Task, agent_id: AgentId, count: TokenCounter = estimate_tokens
) -> int:
    """Return the tokens of the shortest brief there can be for a task now."""
    return min_brief_size(meeting, task, agent_id, count)[0]


def min_brief_size(
    meeting: Meeting, task: Task, agent_id: AgentId, count: TokenCounter = estimate_tokens
) -> tuple[int, ScriptTokens]:
    """Return the tokens of the shortest brief there can be now, and their parts by script."""
    draft = meeting.draft if isinstance(task, SynthesisTask) else None
    prompt = prompt_for(meeting, task, agent_id, draft, count)
    drafted = 0 if draft is None else draft_entry(draft, count).tokens
    texts = prompt.given if draft is None else (*prompt.given, draft.text)
    scripts = added(meeting.document_scripts, script_tokens(texts, count))
    return prompt.tokens + drafted, scripts


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
    tokens += meeting.document_tokens
    opening += _documents_text(config)
    given = (participant.instructions, config.title, config.goal, *_topic(config, task))
    return Prompt(system, opening, closing, tokens, given)


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


def _topic(config: Configuration, task: Task) -> tuple[str, ...]:
    return () if isinstance(task, SynthesisTask) else (config.round_topics[task.round_num - 1],)


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
