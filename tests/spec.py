"""Specifications of the decider: given these facts, when this command comes, then these facts."""

from datetime import datetime

import pytest

from meeting_core import Fact, Meeting, Refusal, decide, project
from meeting_core.model import Command
from tests.builders import START, Later, wrapped_facts


class Given:
    """A history to decide on."""

    def __init__(self, facts: tuple[Fact | Later, ...]) -> None:
        self._facts = facts

    @property
    def meeting(self) -> Meeting | None:
        return project(None, wrapped_facts(self._facts))

    def when(self, command: Command, *, at: datetime = START) -> "When":
        return When(self._facts, self.meeting, command, at)


class When:
    """A command given at a time, of which something is expected."""

    def __init__(
        self,
        facts: tuple[Fact | Later, ...],
        meeting: Meeting | None,
        command: Command,
        at: datetime,
    ) -> None:
        self._facts, self._meeting, self._command, self._at = facts, meeting, command, at

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the command leads to, to be looked at in part."""
        return decide(self._meeting, self._command, self._at)

    def then(self, *expected: Fact) -> None:
        assert decide(self._meeting, self._command, self._at) == expected
        project(None, wrapped_facts((*self._facts, *expected)))

    def then_nothing(self) -> None:
        assert decide(self._meeting, self._command, self._at) == ()

    def then_refused(self, error: type[Refusal], *words: str) -> None:
        """Expect exactly this refusal, saying all these words."""
        with pytest.raises(error) as caught:
            decide(self._meeting, self._command, self._at)
        assert caught.type is error
        assert [word for word in words if word not in str(caught.value)] == []


def given(*facts: Fact | Later) -> Given:
    return Given(facts)
