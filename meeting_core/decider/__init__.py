"""The decider: what a command leads to. One pure function per command; time is passed in."""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from meeting_core.budget.allowance import synthesis_share, synthesis_share_micros
from meeting_core.decider.finish_attempt import abandoned, accept_reply, kept_reason, report_fault
from meeting_core.decider.start_attempt import (
    draft_or_nothing,
    end_rounds,
    round_ending,
    start_attempt,
)
from meeting_core.errors import (
    AlreadyConvened,
    InvalidConfiguration,
    MeetingEnded,
    OutOfTurn,
    Problem,
    RoundUnfinished,
    StaleEpoch,
    WrongPhase,
)
from meeting_core.model.commands import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Cancel,
    CloseRound,
    Command,
    Complete,
    Convene,
    EndRounds,
    Fail,
    GiveUpSynthesis,
    MakeRemark,
    OpenRound,
    Pause,
    RaiseBudget,
    ReportFault,
    Resume,
    StartAttempt,
    StartSynthesis,
)
from meeting_core.model.configuration import MAX_COST, Configuration, Limits, checked
from meeting_core.model.events import (
    Adopted,
    BudgetRaised,
    Cancelled,
    Completed,
    Convened,
    Fact,
    Failed,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
    RoundOpened,
    SynthesisStarted,
)
from meeting_core.model.ledger import price_of
from meeting_core.model.meeting import Meeting
from meeting_core.model.values import Phase, clean_text, is_storable
from meeting_core.prompt.brief import fixed_tokens
from meeting_core.prompt.minutes import outcome_of
from meeting_core.prompt.tokens import TokenCounter, cut_to_tokens, estimate_tokens
from meeting_core.steps.agenda import awaits_digest, next_author, next_speaker

DOCUMENT_SHARE = 0.4
MINUTES_SHARE = 0.2
MAX_REMARK = 4_000
MAX_RAISED = {"meeting_tokens": Limits().max_meeting_tokens, "meeting_cost": MAX_COST}


def decide(
    meeting: Meeting | None,
    command: Command,
    now: datetime,
    count: TokenCounter = estimate_tokens,
) -> tuple[Fact, ...]:
    """Answer a command with the facts it leads to; none when there is nothing to do.

    Raises: a `Refusal` when the command breaks a rule.
    """
    if isinstance(command, Convene):
        return _convene(meeting, command, count)
    if meeting is None:
        raise WrongPhase("the meeting has not been convened")
    if isinstance(command, Cancel) and meeting.phase is Phase.CANCELLED:
        return ()
    if meeting.has_ended:
        raise MeetingEnded(f"the meeting has ended: {meeting.phase}")
    match command:
        case StartAttempt():
            return start_attempt(meeting, command, now, count)
        case AcceptReply():
            return accept_reply(meeting, command, now, count)
        case ReportFault():
            return report_fault(meeting, command, now, count)
        case AbandonAttempt():
            return abandoned(meeting, command.cause)
        case OpenRound():
            return _open_round(meeting, command)
        case CloseRound():
            return _close_round(meeting, command)
        case EndRounds():
            return _end_rounds(meeting)
        case StartSynthesis():
            return _start_synthesis(meeting)
        case GiveUpSynthesis():
            return _give_up_synthesis(meeting)
        case Complete():
            return _complete(meeting, command)
        case Cancel():
            return (*abandoned(meeting, "cancel"), Cancelled(kept_reason(command.reason)))
        case Fail():
            failed = Failed(command.reason, kept_reason(command.detail))
            return (*abandoned(meeting, "failure"), failed)
        case Pause():
            return () if meeting.phase is Phase.PAUSED else (Paused(kept_reason(command.reason)),)
        case Resume():
            return _resume(meeting)
        case RaiseBudget():
            return _raise_budget(meeting, command)
        case Adopt():
            return _adopt(meeting, command)
        case MakeRemark():
            return _make_remark(meeting, command, count)
        case _:
            assert_never(command)


def _convene(meeting: Meeting | None, command: Convene, count: TokenCounter) -> tuple[Fact, ...]:
    if meeting is not None:
        raise AlreadyConvened(f"meeting {meeting.id} is convened already")
    config = checked(command.configuration, command.limits)
    return (Convened(_fitted(config, count), command.request_digest),)


def _fitted(config: Configuration, count: TokenCounter) -> Configuration:
    """Cut the quoted documents to their share of the context.

    Raises: `InvalidConfiguration` when what every brief must hold leaves no room for a meeting.
    """
    bare = replace(config, document_context="", parent_minutes="")
    taken = fixed_tokens(bare, count)
    needed = taken + config.max_tokens_per_turn
    if config.context_tokens < needed:
        detail = (
            f"is {config.context_tokens}; goal, topics and instructions take {taken} and one turn "
            f"up to {config.max_tokens_per_turn}, so at least {needed} are needed"
        )
        raise InvalidConfiguration((Problem("context_tokens", detail),))
    room = config.context_tokens - needed
    fitted = replace(
        config,
        document_context=cut_to_tokens(config.document_context, int(room * DOCUMENT_SHARE), count),
        parent_minutes=cut_to_tokens(config.parent_minutes, int(room * MINUTES_SHARE), count),
    )
    if fitted.meeting_tokens is not None or fitted.meeting_cost is not None:
        turn = fixed_tokens(fitted, count) + fitted.min_tokens_per_turn
        _check_tokens(fitted, turn)
        _check_cost(fitted, turn)
    return fitted


def _check_tokens(config: Configuration, turn: int) -> None:
    """Refuse a ceiling that cannot pay the synthesis and one round of short turns.

    Units: `turn` is what every turn takes, in tokens.
    """
    least = synthesis_share(config) + len(config.participants) * turn
    if config.meeting_tokens is not None and config.meeting_tokens < least:
        detail = (
            f"is {config.meeting_tokens}; the synthesis's share and one round of short turns, with "
            f"what every brief holds, take {least}"
        )
        raise InvalidConfiguration((Problem("meeting_tokens", detail),))


def _check_cost(config: Configuration, turn: int) -> None:
    """The same for a ceiling in money."""
    if config.meeting_cost is None:
        return
    seats = {seat.agent_id: price_of(config, seat.model) for seat in config.participants}
    author = seats[config.synthesizer or config.participants[0].agent_id]
    shortest = config.min_tokens_per_turn
    least = synthesis_share_micros(config, author.model) if author is not None else 0
    least += sum(price.micros(turn - shortest, shortest) for price in seats.values() if price)
    if int(config.meeting_cost * 1_000_000) < least:
        detail = (
            f"is {config.meeting_cost:g}; the synthesis's share and one round of short turns cost "
            f"{least / 1_000_000:g}"
        )
        raise InvalidConfiguration((Problem("meeting_cost", detail),))


def _open_round(meeting: Meeting, command: OpenRound) -> tuple[Fact, ...]:
    current = meeting.rounds[-1] if meeting.rounds else None
    if meeting.phase not in (Phase.GATHERING, Phase.IN_ROUND):
        raise WrongPhase(f"no round can open while the meeting is {meeting.state}")
    if current is not None and (current.ending is None or current.cause != "agenda"):
        raise RoundUnfinished(f"round {current.round_num} has not ended, or ended all rounds")
    if current is not None and awaits_digest(meeting):
        raise RoundUnfinished(f"round {current.round_num} has not been digested")
    if command.round_num != meeting.round_num + 1 or command.round_num > meeting.config.num_rounds:
        raise OutOfTurn(f"round {command.round_num} is not the next round")
    return (RoundOpened(command.round_num),)


def _close_round(meeting: Meeting, command: CloseRound) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.IN_ROUND or meeting.rounds[-1].ending is not None:
        raise WrongPhase("no round is open")
    if command.round_num != meeting.round_num:
        raise OutOfTurn(f"round {command.round_num} is not the open round")
    if next_speaker(meeting) is not None:
        raise RoundUnfinished(f"{next_speaker(meeting)} has not had a turn")
    return (RoundClosed(command.round_num, round_ending(meeting)),)


def _end_rounds(meeting: Meeting) -> tuple[Fact, ...]:
    phase = meeting.paused_from if meeting.phase is Phase.PAUSED else meeting.phase
    if phase is not Phase.IN_ROUND or meeting.rounds[-1].ending is not None:
        raise WrongPhase(f"no round is open while the meeting is {meeting.state}")
    resumed = _resume(meeting)
    return (*abandoned(meeting, "operator"), *resumed, *end_rounds(meeting, "operator"))


def _start_synthesis(meeting: Meeting) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.IN_ROUND:
        raise WrongPhase(f"no synthesis can start while the meeting is {meeting.state}")
    last = meeting.rounds[-1]
    rounds_are_over = last.ending is not None and (
        last.cause != "agenda" or last.round_num == meeting.config.num_rounds
    )
    if not rounds_are_over:
        raise RoundUnfinished("the rounds are not over")
    return (SynthesisStarted(),)


def _give_up_synthesis(meeting: Meeting) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.SYNTHESIZING or meeting.synthesis is not None:
        raise WrongPhase("no synthesis is under way")
    if next_author(meeting) is not None:
        raise OutOfTurn(f"{next_author(meeting)} has not tried to write the minutes")
    task_state = meeting.task_state
    cause = (
        f"{task_state.fault}: {task_state.detail}"
        if task_state is not None and task_state.fault
        else "nobody could"
    )
    return (draft_or_nothing(meeting, cause),)


def _complete(meeting: Meeting, command: Complete) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.SYNTHESIZING or meeting.synthesis is None:
        raise WrongPhase("the minutes are not written")
    outcome = outcome_of(meeting, kept_reason(command.output_error))
    output_path = None if command.output_path is None else clean_text(command.output_path)[0]
    return (Completed(outcome, output_path),)


def _resume(meeting: Meeting) -> tuple[Fact, ...]:
    if meeting.phase is not Phase.PAUSED or meeting.paused_from is None:
        return ()
    return (Resumed(meeting.paused_from),)


def _raise_budget(meeting: Meeting, command: RaiseBudget) -> tuple[Fact, ...]:
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
    return (raised, *(_resume(meeting) if meeting.pause_cause == "budget" else ()))


def _adopt(meeting: Meeting, command: Adopt) -> tuple[Fact, ...]:
    if command.epoch <= meeting.epoch:
        raise StaleEpoch(f"epoch {command.epoch} does not follow epoch {meeting.epoch}")
    adopted = Adopted(command.owner, command.epoch, command.cause)
    return (*abandoned(meeting, command.cause), adopted)


def _make_remark(meeting: Meeting, command: MakeRemark, count: TokenCounter) -> tuple[Fact, ...]:
    if meeting.phase is Phase.SYNTHESIZING or meeting.paused_from is Phase.SYNTHESIZING:
        raise WrongPhase("the rounds are over; a remark would not be heard")
    problems = []
    for field, text in (("author", command.author), ("text", command.text)):
        if not text.strip() or not is_storable(text) or len(text) > MAX_REMARK:
            detail = f"must be 1 to {MAX_REMARK} characters, without NUL or lone surrogates"
            problems.append(Problem(field, detail))
    if problems:
        raise InvalidConfiguration(tuple(problems))
    text = command.text.strip()
    return (RemarkMade(command.author, text, count(text)),)
