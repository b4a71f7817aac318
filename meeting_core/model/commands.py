"""What can be asked of a meeting, in the imperative. `decide` answers with facts."""

from typing import TypeAlias

from meeting_core.model.configuration import Configuration, Limits
from meeting_core.model.values import (
    AbandonCause,
    AdoptCause,
    FailReason,
    FaultClass,
    MeetingId,
    ReportedUsage,
    Task,
    Timing,
    Value,
)


class Convene(Value, frozen=True):
    """Call a meeting with this configuration, within an operator's limits."""

    meeting_id: MeetingId
    configuration: Configuration
    limits: Limits = Limits()
    request_digest: str = ""


class OpenRound(Value, frozen=True):
    """Begin the next round."""

    round_num: int


class StartAttempt(Value, frozen=True):
    """Record the intent to call a gateway, with what it may cost, before calling it."""

    task: Task


class AcceptReply(Value, frozen=True):
    """Report the reply to the open attempt.

    `usage` is None if the provider did not report it. `is_truncated` says that reading stopped
    before the reply's end, so that the rest is not in `text`. Units: `thought_tokens` estimates the
    thoughts that came before the text; `thought` is their text, if it is to be kept.
    """

    task: Task
    number: int
    text: str
    finish_reason: str
    usage: ReportedUsage | None = None
    model: str = ""
    timing: Timing | None = None
    is_truncated: bool = False
    thought: str = ""
    thought_tokens: int = 0


class ReportFault(Value, frozen=True):
    """Report that the open attempt failed.

    Units: `retry_after_seconds` is what the provider asked for. `reached` is false if the
    request certainly never got to the provider, `is_unreachable` true if no call can reach it now,
    and `is_model_unavailable` if calls to other models do, and only this model is not served.
    `tokens_seen` estimates the text and the thoughts that had come: then the call was not free.
    """

    task: Task
    number: int
    fault: FaultClass
    detail: str
    retry_after_seconds: float | None = None
    usage: ReportedUsage | None = None
    reached: bool = True
    is_unreachable: bool = False
    timing: Timing | None = None
    tokens_seen: int = 0
    is_model_unavailable: bool = False


class AbandonAttempt(Value, frozen=True):
    """Give up the open attempt without knowing its outcome."""

    cause: AbandonCause


class CloseRound(Value, frozen=True):
    """End the round in which every participant has had a turn."""

    round_num: int


class EndRounds(Value, frozen=True):
    """End the rounds early, on an operator's wish, and write the minutes of what was said."""


class StartSynthesis(Value, frozen=True):
    """Begin writing the minutes."""


class GiveUpSynthesis(Value, frozen=True):
    """Accept that no participant could write the closing text."""


class Complete(Value, frozen=True):
    """End the meeting; its minutes were saved at `output_path`, or could not be, and why."""

    output_path: str | None = None
    output_error: str = ""


class Cancel(Value, frozen=True):
    """Call the meeting off."""

    reason: str = ""


class Fail(Value, frozen=True):
    """End the meeting because it cannot go on."""

    reason: FailReason
    detail: str = ""


class Pause(Value, frozen=True):
    """Start nothing new until resumed."""

    reason: str = ""


class Resume(Value, frozen=True):
    """Go on after a pause."""


class RaiseBudget(Value, frozen=True):
    """Raise the meeting's ceilings; if it was paused for its budget, it goes on.

    Units: the whole new ceilings, in tokens and in the currency of the price table.
    """

    meeting_tokens: int | None = None
    meeting_cost: float | None = None


class Adopt(Value, frozen=True):
    """Take the meeting over from an owner that is gone."""

    owner: str
    epoch: int
    cause: AdoptCause


class MakeRemark(Value, frozen=True):
    """Add a human's remark to the meeting."""

    author: str
    text: str


Command: TypeAlias = (
    Convene
    | OpenRound
    | StartAttempt
    | AcceptReply
    | ReportFault
    | AbandonAttempt
    | CloseRound
    | EndRounds
    | StartSynthesis
    | GiveUpSynthesis
    | Complete
    | Cancel
    | Fail
    | Pause
    | Resume
    | RaiseBudget
    | Adopt
    | MakeRemark
)
