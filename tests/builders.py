"""Facts and configurations with defaults, so that a test shows only what matters to it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from meeting_core import (
    Configuration,
    Fact,
    Limits,
    Meeting,
    MeetingEvent,
    Outcome,
    Participant,
    ReportedUsage,
    Usage,
    build_brief,
    fold,
)
from meeting_core.decider.fault_policy import retry_at
from meeting_core.model import (
    AS_ESTIMATED,
    CUT_MARK,
    AbandonCause,
    AgentId,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetReduction,
    Completed,
    Convene,
    Convened,
    DigestTask,
    EndCause,
    FaultClass,
    Manifest,
    ModelFactors,
    Reply,
    Reservation,
    RoundClosed,
    RoundDigested,
    RoundEnding,
    RoundOpened,
    SkipReason,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    SynthesisTask,
    Task,
    TurnCompleted,
    TurnSkipped,
    TurnTask,
    call_key,
    profile_of,
)
from meeting_core.prompt import TEMPLATE, cut_to_tokens, document_tokens, estimate_tokens

MEETING_ID = UUID("00000000-0000-4000-8000-000000000001")
LIMITS = Limits()
START = datetime(2026, 11, 23, 10, 45, tzinfo=UTC)

ANN, BOB = Participant("ann", "Ann"), Participant("bob", "Bob")

SYNTHESIS = """\
## Discussion Summary
We talked.
## Action Items
- [ ] @ann: write it down [priority: high]
## Decisions
- go on
## Blockers
None"""


def after(seconds: float) -> datetime:
    """Return the time `seconds` after the meeting was convened."""
    return START + timedelta(seconds=seconds)


class Later(Struct, frozen=True):
    """A fact that happened so many seconds after the meeting was convened."""

    seconds: float
    fact: Fact


def history(*facts: Fact | Later) -> tuple[MeetingEvent, ...]:
    """Return facts as the events of one meeting's stream."""
    return tuple(wrapped_facts(facts))


def wrapped_facts(facts: Iterable[Fact | Later]) -> Iterable[MeetingEvent]:
    for version, fact in enumerate(facts, 1):
        at = after(fact.seconds) if isinstance(fact, Later) else START
        bare = fact.fact if isinstance(fact, Later) else fact
        ids = UUID(int=version), UUID(int=1_000 + version)
        yield MeetingEvent(MEETING_ID, version, at, *ids, "a test", bare)


def meeting_after(*facts: Fact | Later) -> Meeting:
    return fold(history(*facts))


def configuration(**changes: object) -> Configuration:
    """Two participants and two rounds, as `Convened` holds it: with its topics filled in."""
    fields = {
        "participants": (ANN, BOB),
        "num_rounds": 2,
        "round_topics": ("What was done", "What is next"),
    }
    return Configuration(**{**fields, **changes})  # type: ignore[arg-type]


def convened(**changes: object) -> Convened:
    config = configuration(**changes)
    return Convened(config, document_tokens=document_tokens(config, estimate_tokens))


def as_estimated(config: Configuration) -> tuple[ModelFactors, ...]:
    """The factors of models that all count as our estimate does."""
    models = dict.fromkeys(
        model for each in config.participants for model in (each.model, *each.fallback_models)
    )
    return tuple(ModelFactors(model, AS_ESTIMATED) for model in models)


def convene(config: Configuration, limits: Limits = LIMITS) -> Convene:
    """Call a meeting whose models count as our estimate does."""
    return Convene(MEETING_ID, config, limits, token_factors=as_estimated(config))


def called(config: Configuration) -> Convened:
    """What `convene` leads to with a configuration without documents."""
    return Convened(config, token_factors=as_estimated(config))


def round_opened(round_num: int = 1, *, order: tuple[AgentId, ...] = ("ann", "bob")) -> RoundOpened:
    return RoundOpened(round_num, order)


def reply(
    text: str = "I did my part.",
    text_tokens: int = 6,
    usage: Usage | None = None,
    finish_reason: str = "stop",
    **more: Any,
) -> Reply:
    return Reply(text, text_tokens, usage or Usage(90, 6, "reported"), finish_reason, **more)


def as_reported(usage: Usage) -> ReportedUsage:
    """What a provider reports that counts as this usage says."""
    return ReportedUsage(usage.prompt_tokens, usage.completion_tokens)


def turn(agent_id: str = "ann", round_num: int = 1) -> TurnTask:
    return TurnTask(round_num, agent_id)


def attempt_started(
    task: Task | None = None,
    number: int = 1,
    *,
    by: str = "",
    prompt: int = 100,
    cap: int = 200,
    model: str = "",
) -> AttemptStarted:
    """An attempt with a made-up brief; `started_after` gives the real one."""
    task = task or turn()
    agent_id = by or (task.agent_id if isinstance(task, TurnTask) else "ann")
    reserved = Reservation(prompt, cap)
    return AttemptStarted(
        task, number, agent_id, reserved, Manifest(TEMPLATE, prompt), "digest", model
    )


def started_after(
    facts: Iterable[Fact | Later],
    task: Task,
    *,
    by: str = "",
    number: int = 1,
    cap: int,
    context_tokens: int | None = None,
    budget_reductions: tuple[BudgetReduction, ...] = (),
) -> AttemptStarted:
    """The attempt that must start after these facts, with the brief it must show."""
    meeting = meeting_after(*facts)
    agent_id = by or (task.agent_id if isinstance(task, TurnTask) else "ann")
    brief = build_brief(meeting, task, agent_id, context_tokens=context_tokens)
    model = meeting.speaking(agent_id).model
    known = profile_of(meeting.model_profiles, model)
    return AttemptStarted(
        task,
        number,
        agent_id,
        Reservation(brief.tokens_for(known), cap, known.beyond_cap(cap)),
        brief.manifest,
        brief.digest,
        model,
        budget_reductions,
    )


def attempt_failed(
    task: Task | None = None,
    number: int = 1,
    fault: FaultClass = FaultClass.UNAVAILABLE,
    *,
    by: str = "",
    detail: str = "no answer",
    charged: int = 300,
    usage: Usage | None = None,
    retry_at: datetime | None = None,
    give_up_at: datetime | None = None,
    is_model_unavailable: bool = False,
) -> AttemptFailed:
    task = task or turn()
    agent_id = by or (task.agent_id if isinstance(task, TurnTask) else "ann")
    return AttemptFailed(
        task,
        number,
        agent_id,
        fault,
        detail,
        charged,
        usage,
        retry_at,
        give_up_at,
        is_model_unavailable=is_model_unavailable,
    )


def characters_within(text: str, tokens: int) -> int:
    """Return how many characters of a text are quoted within a bound in tokens."""
    return len(cut_to_tokens(text, tokens).removesuffix(CUT_MARK))


def waited(
    number: int = 1,
    repeats: int = 1,
    fault_class: FaultClass = FaultClass.UNAVAILABLE,
    at: datetime = START,
    task: Task | None = None,
) -> datetime:
    """When the attempt after this one may start: our own wait, with its share of chance."""
    again = retry_at(
        fault_class,
        repeats,
        repeats,
        max_attempts=10,
        retry_after_seconds=None,
        seed=call_key(MEETING_ID, task or turn(), number),
        now=at,
    )
    assert again is not None
    return again


def attempt_abandoned(
    task: Task | None = None,
    number: int = 1,
    cause: AbandonCause = "restart",
    *,
    by: str = "",
    charged: int = 300,
) -> AttemptAbandoned:
    task = task or turn()
    agent_id = by or (task.agent_id if isinstance(task, TurnTask) else "ann")
    return AttemptAbandoned(task, number, agent_id, cause, charged)


def turn_completed(
    agent_id: str = "ann",
    round_num: int = 1,
    text: str = "I did my part.",
    *,
    number: int = 1,
    text_tokens: int = 6,
    usage: Usage | None = None,
    finish_reason: str = "stop",
) -> TurnCompleted:
    said = reply(text, text_tokens, usage, finish_reason)
    return TurnCompleted(round_num, agent_id, number, said)


def turn_skipped(
    agent_id: str = "ann",
    round_num: int = 1,
    reason: SkipReason = "unavailable",
    detail: str = "no answer",
) -> TurnSkipped:
    return TurnSkipped(round_num, agent_id, reason, detail)


def spoken(agent_id: str = "ann", round_num: int = 1, text: str = "I did my part.") -> list[Fact]:
    """A whole turn that went well."""
    started = attempt_started(turn(agent_id, round_num))
    return [started, turn_completed(agent_id, round_num, text)]


def skipped(agent_id: str = "ann", round_num: int = 1) -> list[Fact]:
    """A whole turn in which nothing was said."""
    task = turn(agent_id, round_num)
    failed = attempt_failed(task, charged=0)
    return [attempt_started(task), failed, turn_skipped(agent_id, round_num)]


def round_closed(
    round_num: int = 1, ending: RoundEnding = "complete", cause: EndCause = "agenda"
) -> RoundClosed:
    return RoundClosed(round_num, ending, cause)


def whole_round(round_num: int = 1) -> list[Fact]:
    """A round in which Ann and Bob spoke."""
    turns = [*spoken("ann", round_num), *spoken("bob", round_num)]
    return [round_opened(round_num), *turns, round_closed(round_num)]


def round_digested(
    round_num: int = 1,
    text: str = "Both did their part.",
    *,
    by: str = "ann",
    number: int = 1,
    text_tokens: int = 7,
) -> RoundDigested:
    said = reply(text, text_tokens, Usage(120, 7, "reported"))
    return RoundDigested(round_num, by, number, said)


def digested(round_num: int = 1, text: str = "Both did their part.") -> list[Fact]:
    """A closed round's digest that went well."""
    return [attempt_started(DigestTask(round_num)), round_digested(round_num, text)]


def up_to_synthesis(**changes: object) -> list[Fact]:
    """Everything before the closing call."""
    return [convened(**changes), *whole_round(1), *whole_round(2), SynthesisStarted()]


def synthesis_completed(
    text: str = SYNTHESIS, *, by: str = "ann", number: int = 1, usage: Usage | None = None
) -> SynthesisCompleted:
    said = reply(text, 50, usage or Usage(400, 40, "reported"))
    return SynthesisCompleted(by, number, said)


def synthesis_drafted(
    text: str, missing: tuple[str, ...], *, by: str = "ann", number: int = 1, text_tokens: int = 30
) -> SynthesisDrafted:
    said = reply(text, text_tokens, Usage(400, 30, "reported"))
    return SynthesisDrafted(by, number, said, missing)


def written(text: str = SYNTHESIS) -> list[Fact]:
    """A closing call that went well."""
    return [attempt_started(SynthesisTask(), cap=500), synthesis_completed(text)]


def whole_meeting(**changes: object) -> list[Fact]:
    """A meeting in which nothing went wrong, from its first fact to its last."""
    ended = Completed(Outcome("agenda", author="ann"))
    return [*up_to_synthesis(**changes), *written(), ended]
