"""The steps that the shell can be asked to take next."""

from datetime import datetime
from typing import TypeAlias

from meeting_core.model.commands import Command, StartAttempt
from meeting_core.model.values import Message, Participant, Task, Value


class GiveCommand(Value, frozen=True):
    """Give this command: nothing outside is needed first."""

    command: Command


class Ask(Value, frozen=True):
    """Call the participant's gateway, then give `AcceptReply` or `ReportFault`.

    Units: `output_tokens` is the cap to send; `max_reply_bytes`, of UTF-8, is where to stop reading
    the reply. `deadline_at` bounds the call.
    """

    task: Task
    number: int
    participant: Participant
    messages: tuple[Message, ...]
    output_tokens: int
    max_reply_bytes: int
    deadline_at: datetime
    call_key: str


class BeginAttempt(Value, frozen=True):
    """Give this command as soon as the gateway takes another call.

    Shape: `gateway` is the participant's, by its configured name.
    """

    gateway: str
    command: StartAttempt


class WaitUntil(Value, frozen=True):
    """Wait until this time, then take this step."""

    at: datetime
    then: BeginAttempt


class WaitForGateway(Value, frozen=True):
    """Wait until the gateway can be reached, then take this step; from `until` on, the other.

    Shape: `gateway` is the participant's, by its configured name.
    """

    gateway: str
    until: datetime
    then: BeginAttempt
    otherwise: GiveCommand | BeginAttempt


class SaveMinutes(Value, frozen=True):
    """Save the minutes, then give `Complete`."""

    markdown: str


class Idle(Value, frozen=True):
    """The meeting is paused: wait for a command from outside."""


class Ended(Value, frozen=True):
    """There is nothing left to do."""


Step: TypeAlias = (
    GiveCommand | BeginAttempt | Ask | WaitUntil | WaitForGateway | SaveMinutes | Idle | Ended
)
