"""What people and processes outside decide: pause, resume, wrap up, budget, owner, remarks."""

from meeting_core.decider.faults import abandoned
from meeting_core.decider.round_endings import end_rounds
from meeting_core.decider.turns import kept_reason
from meeting_core.errors import InvalidConfiguration, Problem, StaleEpoch, WrongPhase
from meeting_core.model.commands import Adopt, Cancel, Fail, MakeRemark, Pause, RaiseBudget
from meeting_core.model.configuration import MAX_COST, Limits
from meeting_core.model.events import (
    Adopted,
    BudgetRaised,
    Cancelled,
    Fact,
    Failed,
    Paused,
    RemarkMade,
    Resumed,
)
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import Phase, is_storable
from meeting_core.prompt.tokens import TokenCounter

MAX_REMARK = 4_000
MAX_RAISED = {"meeting_tokens": Limits().max_meeting_tokens, "meeting_cost": MAX_COST}


def pause(meeting: Meeting, command: Pause) -> tuple[Fact, ...]:
    return () if meeting.phase is Phase.PAUSED else (Paused(kept_reason(command.reason)),)


def resume(meeting: Meeting) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.PAUSED or meeting.paused_from is None:
        return ()
    return (Resumed(meeting.paused_from),)


def wrap_up(meeting: Meeting) -> tuple[Fact, ...]:
    phase = meeting.paused_from if meeting.phase is Phase.PAUSED else meeting.phase
    if phase is not Phase.IN_ROUND or not meeting.has_open_round:
        raise WrongPhase(f"no round is open while the meeting is {meeting.state}")
    resumed = resume(meeting)
    return (*abandoned(meeting, "operator"), *resumed, *end_rounds(meeting, "operator"))


def cancel(meeting: Meeting, command: Cancel) -> tuple[Fact, ...]:
    return (*abandoned(meeting, "cancel"), Cancelled(kept_reason(command.reason)))


def fail(meeting: Meeting, command: Fail) -> tuple[Fact, ...]:
    failed = Failed(command.reason, kept_reason(command.detail))
    return (*abandoned(meeting, "failure"), failed)


def raise_budget(meeting: Meeting, command: RaiseBudget) -> tuple[Fact, ...]:
    config, problems = meeting.config, []
    for field in ("meeting_tokens", "meeting_cost"):
        now, wanted = getattr(config, field), getattr(command, field)
        if wanted is not None and (now is None or not now < wanted <= MAX_RAISED[field]):
            detail = "the meeting has no such ceiling"
            if now is not None:
                detail = f"it must be above {now}, at most {MAX_RAISED[field]}"
            problems.append(Problem(field, f"is {wanted}; {detail}"))
    if command.meeting_tokens is None and command.meeting_cost is None:
        problems.append(Problem("meeting_tokens", "is missing; name the new ceiling"))
    if problems:
        raise InvalidConfiguration(tuple(problems))
    raised = BudgetRaised(command.meeting_tokens, command.meeting_cost)
    return (raised, *(resume(meeting) if meeting.pause_cause == "budget" else ()))


def adopt(meeting: Meeting, command: Adopt) -> tuple[Fact, ...]:
    if command.epoch <= meeting.epoch:
        raise StaleEpoch(f"epoch {command.epoch} does not follow epoch {meeting.epoch}")
    adopted = Adopted(command.owner, command.epoch, command.cause)
    return (*abandoned(meeting, command.cause), adopted)


def make_remark(meeting: Meeting, command: MakeRemark, count: TokenCounter) -> tuple[Fact, ...]:
    if meeting.phase is Phase.SYNTHESIZING or meeting.paused_from is Phase.SYNTHESIZING:
        raise WrongPhase("the rounds are over; a remark would not be shown")
    problems = []
    for field, text in (("author", command.author), ("text", command.text)):
        if not text.strip() or not is_storable(text) or len(text) > MAX_REMARK:
            detail = f"must be 1 to {MAX_REMARK} characters, without NUL or lone surrogates"
            problems.append(Problem(field, detail))
    if problems:
        raise InvalidConfiguration(tuple(problems))
    text = command.text.strip()
    return (RemarkMade(command.author, text, count(text)),)
