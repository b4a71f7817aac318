"""What the digest of a closed round changes, and the draft and the end of the closing text."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from meeting_core.errors import CorruptHistory
from meeting_core.model.events import (
    MeetingEvent,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
)
from meeting_core.model.meeting import Meeting
from meeting_core.model.transcript import Digest, Draft, Synthesis
from meeting_core.model.values import DigestTask, SynthesisTask, Version


def round_digested(meeting: Meeting, fact: RoundDigested, event: MeetingEvent) -> dict[str, Any]:
    """Keep what stands for a closed round, or the reason why nothing does."""
    last = meeting.rounds[-1] if meeting.rounds else None
    if last is None or last.round_num != fact.round_num or last.ending is None or last.digest:
        raise CorruptHistory(f"round {fact.round_num} cannot be digested now")
    changes: dict[str, Any] = {}
    text, text_tokens = "", 0
    if fact.agent_id is None:
        if meeting.open_attempt is not None:
            raise CorruptHistory("a digest is given up while an attempt is open")
    else:
        attempt = meeting.require_open(DigestTask(fact.round_num), fact.number, fact.agent_id)
        reply = fact.reply
        if reply is None:
            raise CorruptHistory("a written digest has a text")
        text, text_tokens = reply.quotable, reply.text_tokens
        if reply.cut_to is not None:
            text_tokens = attempt.reserved.output_tokens
        changes = meeting.after_call(reply.usage, event.timestamp)
    version = Version(event.originator_version)
    digest = Digest(version, text, text_tokens, fact.agent_id, fact.degraded)
    rounds = (*meeting.rounds[:-1], replace(last, digest=digest))
    return {**changes, "rounds": rounds, "task_state": None}


def synthesis_drafted(
    meeting: Meeting, fact: SynthesisDrafted, event: MeetingEvent
) -> dict[str, Any]:
    """Keep a closing text that lacks sections; its author is asked again."""
    if meeting.synthesis is not None or meeting.draft is not None:
        raise CorruptHistory("the closing text is drafted twice")
    reply = fact.reply
    attempt = meeting.require_open(SynthesisTask(), fact.number, fact.agent_id)
    changes = meeting.after_call(reply.usage, event.timestamp)
    draft = Draft(
        Version(event.originator_version),
        reply.quotable,
        reply.text_tokens if reply.cut_to is None else attempt.reserved.output_tokens,
        fact.agent_id,
        fact.number,
        fact.missing,
        reply.is_cut,
        attempt.manifest,
    )
    task_state = replace(changes["task_state"], tries=0, repeats=0, adaptations=0, give_up_at=None)
    return {**changes, "draft": draft, "task_state": task_state}


def synthesis_completed(meeting: Meeting, fact: SynthesisCompleted, at: datetime) -> dict[str, Any]:
    """Keep the closing text: the reply, else the draft, else the reason why there is none."""
    if meeting.synthesis is not None:
        raise CorruptHistory("the closing text is written twice")
    if fact.reply is not None and fact.agent_id is not None:
        attempt = meeting.require_open(SynthesisTask(), fact.number, fact.agent_id)
        text = fact.reply.quotable
        synthesis = Synthesis(text, fact.agent_id, fact.degraded, attempt.manifest)
        changes = meeting.after_call(fact.reply.usage, at)
        return {**changes, "synthesis": synthesis, "task_state": None}
    if meeting.open_attempt is not None:
        raise CorruptHistory("the closing text is given up while an attempt is open")
    draft = meeting.draft
    if draft is None:
        if fact.agent_id is not None or fact.reply is not None:
            raise CorruptHistory("a written closing text has an author and a text")
        return {"synthesis": Synthesis("", None, fact.degraded), "task_state": None}
    if (fact.agent_id, fact.number) != (draft.agent_id, draft.number):
        raise CorruptHistory(f"the draft is attempt {draft.number} of {draft.agent_id}")
    synthesis = Synthesis(draft.text, draft.agent_id, fact.degraded, draft.manifest)
    return {"synthesis": synthesis, "task_state": None}
