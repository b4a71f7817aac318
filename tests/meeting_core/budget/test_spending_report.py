"""Spending: every call accounted for, and sums that agree with the ledger."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from meeting_core import (
    Ask,
    BeginAttempt,
    Configuration,
    CorruptHistory,
    Ended,
    GiveCommand,
    Idle,
    Meeting,
    MeetingEvent,
    ModelPrice,
    Participant,
    PriceTable,
    ReportedUsage,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    decide,
    fold,
    next_step,
    project,
    spending,
)
from meeting_core.budget import Subtotal
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Amount,
    Command,
    Complete,
    Convene,
    EndRounds,
    FaultClass,
    RaiseBudget,
    ReportFault,
    SynthesisTask,
)
from tests.builders import (
    MEETING_ID,
    START,
    SYNTHESIS,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    configuration,
    convened,
    history,
    round_closed,
    round_opened,
    spoken,
    turn,
    turn_completed,
    whole_meeting,
)
from tests.meeting_core.choices import Draw, seeded
from tests.meeting_core.walk import walk

PRICES = PriceTable("2026-11", "EUR", (ModelPrice("big", 2.5, 10.0), ModelPrice("small", 0.3, 1.0)))
PRICED = (
    Participant("ann", "Ann", model="big", fallback_models=("small",)),
    Participant("bob", "Bob", model="small", fallback_models=("free",)),
)
NO_ID = UUID(int=0)
FAULTS = tuple(FaultClass)


def configurations() -> tuple[Configuration, ...]:
    base = configuration(participants=PRICED, prices=PRICES)
    fields = {name: getattr(base, name) for name in Configuration.__struct_fields__}
    return (
        base,
        configuration(max_attempts=2),
        Configuration(**{**fields, "digest_rounds": True, "synthesizer": "bob"}),
        Configuration(**{**fields, "meeting_tokens": 5_500, "on_budget": "pause"}),
    )


def held(draw: Draw) -> list[MeetingEvent]:
    """Hold a meeting in which calls fail, are abandoned, or pass their caps, to any end."""
    config = configurations()[draw(4)]
    events: list[MeetingEvent] = []
    meeting: Meeting | None = None
    now = START
    command: Command | None = Convene(MEETING_ID, config)
    while command is not None:
        now += timedelta(seconds=1)
        facts = decide(meeting, command, now)
        new = [
            MeetingEvent(MEETING_ID, version, now, NO_ID, NO_ID, "a test", fact)
            for version, fact in enumerate(facts, len(events) + 1)
        ]
        events += new
        meeting = project(meeting, new)
        assert meeting is not None
        command = next_command(meeting, draw)
        if isinstance(step := next_step(meeting), WaitUntil):
            now = step.at
    return events


def next_command(meeting: Meeting, draw: Draw) -> Command | None:
    step = next_step(meeting)
    match step:
        case Ended():
            return None
        case GiveCommand() | BeginAttempt():
            return step.command
        case WaitUntil() | WaitForGateway():
            return step.then.command
        case SaveMinutes():
            return Complete("minutes.md")
        case Idle():
            more = RaiseBudget(2 * (meeting.config.meeting_tokens or 0))
            return more if draw(2) else EndRounds()
        case Ask():
            return answer(meeting, step, draw)


def answer(meeting: Meeting, ask: Ask, draw: Draw) -> Command:
    usage = ReportedUsage(50 + draw(300), draw(400)) if draw(3) else None
    match draw(6):
        case 0:
            fault = FAULTS[draw(len(FAULTS))]
            is_unreachable = draw(2) == 1
            reached = draw(4) > 0
            return ReportFault(
                ask.task,
                ask.number,
                fault,
                "no luck",
                usage=usage,
                reached=reached,
                is_unreachable=is_unreachable,
            )
        case 1 if meeting.adoptions < 3:
            return Adopt("other", meeting.epoch + 1, "takeover")
        case 2 if draw(2) and meeting.version < 40:
            return AbandonAttempt("shutdown")
    text = "A word."
    if isinstance(ask.task, SynthesisTask):
        text = SYNTHESIS if draw(2) else "Nothing in its place."
    return AcceptReply(ask.task, ask.number, text, "stop", usage, "an alias")


def ledger_of(events: list[MeetingEvent]) -> Iterator[tuple[Amount, Amount]]:
    """Return what the ledger has spent and reserved after each event."""
    for n in range(1, len(events) + 1):
        ledger = fold(events[:n]).ledger
        spent = Amount(ledger.spent, ledger.spent_micros)
        yield spent, Amount(ledger.reserved, ledger.reserved_micros)


def check(events: list[MeetingEvent]) -> None:
    """See that at any point the sums agree with the ledger, and with each other."""
    for n, (spent, reserved) in enumerate(ledger_of(events), 1):
        found = spending(events[:n])
        assert (found.total.total, found.reserved) == (spent, reserved)
        rounds = [subtotal for _, subtotal in found.by_round]
        for parts in (
            [subtotal for _, subtotal in found.by_participant],
            [subtotal for _, subtotal in found.by_model],
            [*rounds, found.digests, found.synthesis],
        ):
            assert sum(part.calls for part in parts) == found.total.calls
            for name in ("useful", "waste"):
                for unit in ("tokens", "micros"):
                    whole = getattr(getattr(found.total, name), unit)
                    assert sum(getattr(getattr(part, name), unit) for part in parts) == whole
        sources = [amount for _, amount in found.by_source]
        assert sum(amount.tokens for amount in sources) == spent.tokens


@pytest.mark.parametrize("seed", range(60))
def test_after_every_event_the_sums_are_what_the_ledger_says(seed: int) -> None:
    check(held(seeded(seed)))


def test_the_meetings_held_here_have_every_kind_of_ending() -> None:
    endings: set[str] = set()
    for seed in range(60):
        endings |= {attempt.ending for attempt in spending(held(seeded(seed))).attempts}
    assert endings == {"completed", "drafted", "failed", "abandoned"}


@pytest.mark.parametrize("seed", range(40))
def test_on_any_walk_the_sums_are_what_the_ledger_says(seed: int) -> None:
    check(walk(seeded(seed)).events)


def test_a_meeting_in_which_nothing_went_wrong_wasted_nothing() -> None:
    found = spending(history(*whole_meeting()))
    assert found.total == Subtotal(5, Amount(4 * 96 + 440), Amount())
    assert found.by_participant == (
        ("ann", Subtotal(3, Amount(2 * 96 + 440))),
        ("bob", Subtotal(2, Amount(2 * 96))),
    )
    assert found.by_round == ((1, Subtotal(2, Amount(192))), (2, Subtotal(2, Amount(192))))
    assert (found.synthesis, found.digests) == (Subtotal(1, Amount(440)), Subtotal())
    assert found.by_source == (("reported", Amount(824)),)
    assert (found.currency, found.reserved) == (None, Amount())


def test_failed_and_abandoned_calls_are_waste_and_say_why() -> None:
    found = spending(
        history(
            convened(),
            round_opened(1),
            attempt_started(),
            attempt_failed(retry_at=START, charged=300),
            attempt_started(number=2),
            attempt_abandoned(number=2, cause="restart", charged=300),
            attempt_started(number=3),
            turn_completed(number=3),
            *spoken("bob"),
            round_closed(),
        )
    )
    assert [attempt.outcome for attempt in found.attempts] == [
        "failed:unavailable",
        "abandoned:restart",
        "completed",
        "completed",
    ]
    assert [attempt.usage.source for attempt in found.attempts[:2]] == ["unknown", "unknown"]
    assert found.total == Subtotal(4, Amount(192), Amount(600))
    assert dict(found.by_source) == {"unknown": Amount(600), "reported": Amount(192)}


def test_an_open_call_is_reserved_and_not_spent() -> None:
    found = spending(history(convened(), round_opened(1), attempt_started(turn(), prompt=100)))
    (attempt,) = found.attempts
    assert (attempt.outcome, attempt.charged, attempt.reserved) == ("open", Amount(), Amount(300))
    assert (found.total, found.reserved) == (Subtotal(), Amount(300))
    assert found.by_participant == ()


def test_a_call_is_priced_by_the_model_that_was_asked() -> None:
    facts = held(lambda bound: 3 % bound if bound != 4 else 0)
    found = spending(facts)
    assert (found.currency, found.prices_version) == ("EUR", "2026-11")
    for attempt in found.attempts:
        price = PRICES.of(attempt.model)
        assert price is not None
        usage = attempt.usage
        micros = price.micros(usage.prompt_tokens, usage.completion_tokens)
        assert attempt.charged == Amount(usage.total, micros)
        assert attempt.has_price
        assert attempt.answered_by == "an alias"


def test_a_history_that_cannot_have_happened_is_refused() -> None:
    for facts in ([], [round_opened(1)], [convened(), turn_completed()]):
        with pytest.raises(CorruptHistory):
            spending(history(*facts))
