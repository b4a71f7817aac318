"""Who speaks and writes when: the turns to come, the authors of digests and of the minutes."""

from collections.abc import Iterator

from meeting_core.model.meeting import Meeting
from meeting_core.model.values import AgentId, TurnTask


def turns_to_come(
    meeting: Meeting, last_round: int | None = None
) -> Iterator[tuple[TurnTask, AgentId]]:
    """Yield the turns that have not ended, up to a round's end, in the order in which they come."""
    now = meeting.round_num
    if meeting.has_open_round:
        for agent_id in meeting.speaking_order(now)[meeting.round_turns :]:
            yield TurnTask(now, agent_id), agent_id
    for n in range(now + 1, (last_round or meeting.config.num_rounds) + 1):
        for agent_id in meeting.speaking_order(n):
            yield TurnTask(n, agent_id), agent_id


def next_author(meeting: Meeting) -> AgentId | None:
    """Return who writes the minutes: the first who has not given up, or the draft's author."""
    authors = authors_left(meeting)
    return authors[0] if authors else None


def authors_left(meeting: Meeting) -> list[AgentId]:
    """Return who may write the minutes, in their order; a draft's author alone if there is one."""
    if meeting.draft is not None:
        return [meeting.draft.agent_id]
    given_up = meeting.task_state.given_up if meeting.task_state is not None else ()
    return [agent for agent in _authors(meeting) if agent not in given_up]


def digest_author(meeting: Meeting) -> AgentId:
    """Return who digests the closed round: the first who may write the minutes."""
    return _authors(meeting)[0]


def awaits_digest(meeting: Meeting) -> bool:
    """Return whether the round last closed is to be digested before the next one opens."""
    last = meeting.rounds[-1]
    return (
        meeting.config.digest_rounds
        and last.digest is None
        and last.ending in ("complete", "partial")
        and last.cause == "agenda"
        and last.round_num < meeting.config.num_rounds
    )


def _authors(meeting: Meeting) -> list[AgentId]:
    config = meeting.config
    agents = [each.agent_id for each in config.participants]
    if config.synthesizer is None:
        return agents
    return [config.synthesizer, *(agent for agent in agents if agent != config.synthesizer)]
