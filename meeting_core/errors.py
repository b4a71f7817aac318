"""Everything the core raises.

MeetingError
├── Refusal                 a command the meeting does not take; nothing has changed
│   ├── InvalidConfiguration
│   ├── AlreadyConvened
│   ├── MeetingEnded
│   ├── WrongPhase
│   ├── OutOfTurn
│   ├── AttemptStillOpen
│   ├── NoSuchAttempt
│   ├── RoundUnfinished
│   └── StaleEpoch
└── CorruptHistory          stored events that cannot have happened
"""

from msgspec import Struct


class MeetingError(Exception):
    """Base of everything the core raises."""


class Refusal(MeetingError):
    """A command broke a rule of the meeting; nothing has changed."""


class Problem(Struct, frozen=True):
    """One thing wrong with a configuration: the field's path, and what to do about it."""

    field: str
    detail: str


class InvalidConfiguration(Refusal):
    """A meeting may only be convened with a configuration that can be held.

    Shape: `problems` names every field that is wrong, not only the first.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.detail}" for p in problems))
        self.problems = problems


class AlreadyConvened(Refusal):
    """A meeting is convened once."""


class MeetingEnded(Refusal):
    """Nothing changes a meeting that is complete, cancelled or failed."""


class WrongPhase(Refusal):
    """The command does not fit the phase the meeting is in."""


class OutOfTurn(Refusal):
    """Participants speak in their order, once a round."""


class AttemptStillOpen(Refusal):
    """At most one attempt is open."""


class NoSuchAttempt(Refusal):
    """A reply or a fault belongs to the attempt that is open, and to no other."""


class RoundUnfinished(Refusal):
    """A round closes when every participant has had a turn."""


class StaleEpoch(Refusal):
    """Only a higher epoch can adopt a meeting."""


class CorruptHistory(MeetingError):
    """Stored events that cannot have happened in this order, or that cannot be read."""
