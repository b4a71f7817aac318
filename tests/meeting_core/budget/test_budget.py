"""The ceiling of a meeting: reserve before a call, settle after it, keep the synthesis's share."""

import pytest
from hypothesis import given as given_values
from hypothesis import strategies as st

from meeting_core import Fact, Usage, build_brief
from meeting_core.budget import (
    synthesis_allowance,
    synthesis_share,
    tokens_left,
    turn_allowance,
)
from meeting_core.model import (
    Amount,
    AttemptStarted,
    BudgetReduction,
    Convened,
    Ledger,
    ModelProfile,
    Reservation,
    RoundClosed,
    StartAttempt,
    SynthesisCompleted,
    SynthesisStarted,
    SynthesisTask,
)
from meeting_core.prompt import min_brief_tokens
from tests.builders import (
    START,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    configuration,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    started_after,
    turn,
    turn_completed,
)
from tests.spec import given

SHARE = 3_500 + 500
"""What the turns may not touch: the synthesis's context and its output."""


def spending(tokens: int, ceiling: int) -> list[Fact]:
    """A meeting of one round under a ceiling, in which Ann has spent so much.

    Nobody counted it, so that nothing is learnt from it.
    """
    usage = Usage(tokens - 6, 6, "estimated")
    config = convened(meeting_tokens=ceiling, num_rounds=1, round_topics=("What was done",))
    return [config, round_opened(1), attempt_started(prompt=10), turn_completed(usage=usage)]


def min_tokens_for_bob(facts: list[Fact]) -> int:
    return min_brief_tokens(meeting_after(*facts), turn("bob"), "bob")


def left_for_bob(affordable: int) -> list[Fact]:
    """A meeting in which Bob's shortest brief is affordable, with so many tokens to answer."""
    ceiling = 20_000
    prompt = min_tokens_for_bob(spending(1_000, ceiling))
    return spending(ceiling - SHARE - prompt - affordable, ceiling)


def started_with_min_brief(facts: list[Fact], cap: int, *, number: int = 1) -> AttemptStarted:
    """Bob's attempt with the shortest brief there is, because the money ran short."""
    meeting, task = meeting_after(*facts), turn("bob")
    brief = build_brief(meeting, task, "bob", context_tokens=0)
    budget_reductions: tuple[BudgetReduction, ...] = ("brief",) if cap == 200 else ("brief", "cap")
    manifest = brief.manifest
    reserved = Reservation(manifest.tokens, cap)
    return AttemptStarted(
        task, number, "bob", reserved, manifest, brief.digest, "", budget_reductions
    )


def test_without_a_ceiling_every_turn_has_its_whole_cap():
    facts = [convened(), round_opened(1)]
    given(*facts).when(StartAttempt(turn())).then(started_after(facts, turn(), cap=200))


def test_with_enough_left_every_turn_has_its_whole_brief_and_cap():
    facts = left_for_bob(1_000)
    given(*facts).when(StartAttempt(turn("bob"))).then(started_after(facts, turn("bob"), cap=200))


@pytest.mark.parametrize(("affordable", "cap"), [(200, 200), (199, 199), (32, 32)])
def test_the_brief_is_shortened_and_then_the_cap_lowered_to_what_can_be_paid_for(
    affordable: int, cap: int
):
    facts = left_for_bob(affordable)
    given(*facts).when(StartAttempt(turn("bob"))).then(started_with_min_brief(facts, cap))


@pytest.mark.parametrize("affordable", [31, 0, -500])
def test_out_of_money_ends_the_rounds(affordable: int):
    given(*left_for_bob(affordable)).when(StartAttempt(turn("bob"))).then(
        RoundClosed(1, "partial", "budget")
    )


def test_after_the_money_has_ended_the_rounds_the_minutes_are_written_from_their_share():
    facts = [*left_for_bob(0), round_closed(1, "partial", "budget"), SynthesisStarted()]
    given(*facts).when(StartAttempt(SynthesisTask())).then(
        started_after(facts, SynthesisTask(), cap=500)
    )


def test_an_open_attempt_keeps_its_reservation_from_everybody():
    meeting = meeting_after(*left_for_bob(200), attempt_started(turn("bob"), prompt=150, cap=200))
    assert meeting.ledger.reserved == 350
    left = tokens_left(meeting.config, meeting.ledger)
    assert left == 20_000 - meeting.ledger.spent - 350


def test_an_abandoned_attempt_leaves_less_for_the_next():
    facts = left_for_bob(500)
    prompt = min_tokens_for_bob(facts)
    facts.append(attempt_started(turn("bob"), prompt=prompt, cap=200))
    facts.append(attempt_abandoned(turn("bob"), charged=prompt + 200))
    left = 500 - 200 - prompt
    given(*facts).when(StartAttempt(turn("bob"))).then(
        started_with_min_brief(facts, left, number=2)
    )


def test_a_retry_too_is_held_to_what_is_left():
    facts = [*left_for_bob(400), attempt_started(turn("bob"), cap=200)]
    usage = Usage(100, 200, "reported")
    facts.append(attempt_failed(turn("bob"), charged=300, usage=usage, retry_at=START))
    given(*facts).when(StartAttempt(turn("bob"))).then(started_with_min_brief(facts, 100, number=2))


def test_a_reply_longer_than_its_reservation_is_charged_in_full():
    usage = Usage(100, 5_800, "reported")
    facts = [convened(meeting_tokens=9_000), round_opened(1), attempt_started()]
    ledger = meeting_after(*facts, turn_completed(usage=usage)).ledger
    assert ledger == Ledger(5_900, 0, overrun=5_600)
    given(*facts, turn_completed(usage=usage)).when(StartAttempt(turn("bob"))).then(
        RoundClosed(1, "partial", "budget")
    )


@pytest.mark.parametrize("output", [31, 100])
def test_a_synthesis_that_cannot_be_paid_for_or_would_see_nothing_is_not_asked_for(output: int):
    facts = left_for_synthesis(convened(meeting_tokens=9_000), output=output)
    given(*facts).when(StartAttempt(SynthesisTask())).then(
        SynthesisCompleted(degraded="no summary was written (the token budget is spent)")
    )


def left_for_synthesis(config: Convened, *, output: int) -> list[Fact]:
    """A meeting whose only reply cost so much that this is left for the synthesis's output."""
    closing = [round_closed(1, "partial", "budget"), SynthesisStarted()]
    ceiling = config.configuration.meeting_tokens
    assert ceiling is not None
    opening = [config, round_opened(1), attempt_started(prompt=10)]
    meeting = meeting_after(*opening, turn_completed(), *closing)
    prompt = min_brief_tokens(meeting, SynthesisTask(), "ann")
    usage = Usage(ceiling - prompt - output - 6, 6, "reported")
    return [*opening, turn_completed(usage=usage), *closing]


@given_values(st.integers(0, 30_000), st.integers(0, 6_000), st.integers(1, 3_500))
def test_no_cap_ever_passes_the_ceiling(spent: int, reserved: int, prompt: int):
    config = configuration(meeting_tokens=20_000)
    ledger = Ledger(spent, reserved)
    author = ModelProfile("")
    for allowance, share, wanted in (
        (
            turn_allowance(config, ledger, "", author, (Amount(300),)),
            synthesis_share(config),
            200,
        ),
        (synthesis_allowance(config, ledger, ""), 0, 500),
    ):
        affordable = 20_000 - spent - reserved - share - prompt
        assert allowance.output_beside(prompt, wanted) == min(wanted, affordable)
        assert allowance.covers(prompt, wanted) == (affordable >= wanted)
        beside = allowance.prompt_beside(wanted)
        assert beside is not None
        assert allowance.covers(beside, wanted)
        assert not allowance.covers(beside + 1, wanted)


def test_a_reservation_is_given_back_when_it_is_settled():
    ledger = Ledger(100).reserve(Amount(70, 7))
    assert ledger == Ledger(100, 70, 0, 7)
    assert ledger.settle(Amount(70, 7), Amount(33, 3)) == Ledger(133, 0, 3, 0)
