"""An audit: the books beside the meeting, compared after each append and at the end."""

from datetime import timedelta

from meeting_core import (
    Ask,
    Meeting,
    MeetingEvent,
    MeetingMapper,
    Phase,
    Refusal,
    fold,
    rebuild_brief,
)
from meeting_core.errors import MeetingEnded
from meeting_core.model import (
    AttemptStarted,
    Command,
    Complete,
    Completed,
    DigestTask,
    SynthesisTask,
    TurnSkipped,
    TurnTask,
)
from meeting_core.prompt import digest_of
from tests.meeting_core.bookkeeping_oracle import BookkeepingOracle
from tests.meeting_core.paths import FINAL


class Audit(BookkeepingOracle):
    """Looks over a meeting's shoulder; every finding is an `AssertionError`."""

    def refused(self, command: Command, refusal: Refusal) -> None:
        assert isinstance(refusal, MeetingEnded) <= (self.phase in FINAL), (command, refusal)

    def appended(
        self, before: Meeting | None, command: Command, events: list[MeetingEvent], after: Meeting
    ) -> None:
        for event in events:
            self.enter(event, command, before)
        self._compare(after)

    def asked(self, meeting: Meeting, ask: Ask) -> None:
        """Check what a participant is shown, against all that was said before."""
        started, shown = self.open, ask.messages[-1].content
        assert started is not None
        assert (ask.task, ask.number) == (started.task, started.number)
        assert ask.participant.agent_id == started.agent_id
        assert ask.output_tokens == started.reserved.output_tokens
        deadline = self.deadline(started.task)
        seconds = self.config.attempt_timeout_seconds
        if seconds is not None and not isinstance(started.task, SynthesisTask):
            deadline = min(deadline, self.opened_at + timedelta(seconds=seconds))
        assert ask.deadline_at == deadline
        assert digest_of(ask.messages) == started.digest
        assert meeting.task_state is not None
        assert meeting.task_state.open is not None
        is_limited = any(
            each.context_tokens or each.factor > 1_200 for each in meeting.model_profiles
        )
        if is_limited or "brief" in started.budget_reductions:
            return
        asked_at = meeting.task_state.open.version
        said = [
            text
            for version, text, round_num in self.entries
            if version < asked_at and self.is_shown(round_num)
        ]
        has_room = self.config.context_tokens >= 3_500 and sum(map(len, said)) < 4_000
        newest = [text for text in said[-1:] if len(text) < 60]
        for text in said if has_room else newest:
            assert f"\n{text.replace('</turn>', '[/turn>')}\n</" in shown, "it was not shown"

    def is_shown(self, round_num: int | None) -> bool:
        """Return whether the text of a round (None: of a human) is in the open brief."""
        assert self.open is not None
        if isinstance(self.open.task, DigestTask):
            return round_num == self.open.task.round_num
        digest = self.digests.get(round_num or 0)
        return digest is None or digest.reply is None

    def on_completed(self, fact: Completed) -> None:
        """Every loss is named once, and nothing else is."""
        assert isinstance(self.command, Complete)
        assert self.closing is not None
        last = self.rounds[-1]
        assert last is not None
        skipped = [end for end in self.endings.values() if isinstance(end, TurnSkipped)]
        skips = [task for task, end in self.endings.items() if end in skipped]
        losses = [f"round {task.round_num}: {task.agent_id} did not speak" for task in skips]
        if len(self.rounds) < self.config.num_rounds:
            losses.append(f"only {len(self.rounds)} of {self.config.num_rounds} rounds")
        losses += [words for words in (self.closing.degraded, self.command.output_error) if words]
        if last.cause != "agenda":
            losses.append("ended the rounds early")
        if self.written_from is not None and self.written_from.dropped is not None:
            losses.append("left out when the minutes were written")
        if self.written_from is not None and self.written_from.shortened is not None:
            losses.append("shortened when the minutes were written")
        for ceiling, spent in (
            (self.config.meeting_tokens, self.spent[0]),
            (self.config.meeting_cost and int(self.config.meeting_cost * 1_000_000), self.spent[1]),
        ):
            if ceiling is not None and spent > ceiling:
                losses.append("was passed by")
        assert fact.outcome.overrun_tokens == self.counted_overrun
        assert fact.outcome.ended_by == last.cause
        assert fact.outcome.author == self.closing.agent_id
        endings = {held.round_num: held.ending for held in self.rounds if held is not None}
        for ending, listed in (
            ("partial", fact.outcome.partial_rounds),
            ("silent", fact.outcome.silent_rounds),
        ):
            assert list(listed) == [n for n, ended in endings.items() if ended == ending]
        spoke = {task.agent_id for task, end in self.endings.items() if end not in skipped}
        assert {participant.agent_id for participant in self.config.participants} - spoke == set(
            fact.outcome.silent
        )
        for words in losses:
            assert sum(words in loss for loss in fact.outcome.degraded) == 1, f"hidden: {words}"
        assert len(fact.outcome.degraded) == len(losses)

    def ended(self, events: list[MeetingEvent], meeting: Meeting) -> None:
        """Check the whole history once more when the meeting is over."""
        mapper = MeetingMapper()
        assert fold(mapper.to_meeting_events(map(mapper.to_stored_event, events))) == meeting
        for event in events:
            if isinstance(started := event.fact, AttemptStarted):
                assert rebuild_brief(events, started).digest == started.digest
        begun = {task for task in self.numbers if isinstance(task, TurnTask)}
        assert begun == set(self.endings) or meeting.phase in (Phase.CANCELLED, Phase.ERROR)
        if meeting.phase is Phase.COMPLETE and meeting.ended_by == "agenda":
            assert len(begun) == self.config.num_rounds * len(self.config.participants)

    def _compare(self, meeting: Meeting) -> None:
        """Compare the books with what the fold made of the same facts."""
        ours = (self.version, self.phase, self.epoch)
        assert (meeting.version, meeting.phase, meeting.epoch) == ours
        ledger = meeting.ledger
        assert (ledger.spent, ledger.spent_micros) == self.spent
        assert (ledger.reserved, ledger.reserved_micros) == self.reserved
        if self.config.meeting_tokens is not None:
            used = self.spent[0] + self.reserved[0]
            assert used <= self.config.meeting_tokens + self.overrun[0]
        if self.config.meeting_cost is not None:
            used = self.spent[1] + self.reserved[1]
            assert used <= self.config.meeting_cost * 1_000_000 + self.overrun[1]
        assert list(self.endings) == [
            TurnTask(turn.round_num, turn.agent_id) for turn in meeting.turns
        ]
        assert [closed is None for closed in self.rounds] == [
            held.ending is None for held in meeting.rounds
        ]
        opened = meeting.task_state.open if meeting.task_state is not None else None
        assert (opened is None) == (self.open is None)
