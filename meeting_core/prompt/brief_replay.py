"""Building a brief again, byte for byte, from its manifest and the meeting's history."""

from collections.abc import Iterable

from meeting_core.errors import CorruptHistory
from meeting_core.model.events import AttemptStarted, MeetingEvent
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import AgentId, Manifest, Task
from meeting_core.projector import fold
from meeting_core.prompt.brief import Brief, messages_of, transcript_of
from meeting_core.prompt.prompt_parts import prompt_for
from meeting_core.prompt.templates import TEMPLATE
from meeting_core.prompt.tokens import estimate_tokens


def shown_brief(meeting: Meeting, task: Task, agent_id: AgentId, manifest: Manifest) -> Brief:
    """Build again what an attempt was shown, byte for byte, from its recorded manifest.

    `meeting` may be folded from any longer history. Raises: `CorruptHistory` when the manifest
    was written by another template.
    """
    if manifest.template != TEMPLATE:
        raise CorruptHistory(f"template {manifest.template} is not known any more")
    draft = None if manifest.draft is None else meeting.draft
    prompt = prompt_for(meeting, task, agent_id, draft, estimate_tokens)
    transcript = transcript_of(meeting, manifest.digested, estimate_tokens)
    return Brief(messages_of(transcript, prompt, manifest, draft, estimate_tokens), manifest)


def rebuild_brief(history: Iterable[MeetingEvent], attempt: AttemptStarted) -> Brief:
    """Build again what an attempt was shown, byte for byte, from a meeting's history.

    Raises: `CorruptHistory` when the messages are not those that were recorded.
    """
    brief = shown_brief(fold(history), attempt.task, attempt.agent_id, attempt.manifest)
    if brief.digest != attempt.digest:
        raise CorruptHistory(
            f"attempt {attempt.number} for {attempt.task.key} was shown something else"
        )
    return brief
