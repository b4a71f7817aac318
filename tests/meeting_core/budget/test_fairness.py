"""Under a ceiling each turn gets its share: briefs give way first, then caps, then rounds."""

from collections import Counter

import pytest
from msgspec.structs import replace

from meeting_core import (
    Configuration,
    Fact,
    InvalidConfiguration,
    ModelPrice,
    Participant,
    PriceTable,
    Usage,
    build_brief,
    decide,
    estimate_tokens,
)
from meeting_core.budget import synthesis_share, synthesis_share_micros
from meeting_core.model import (
    AttemptStarted,
    Convene,
    Convened,
    Failed,
    ModelProfile,
    Paused,
    RoundClosed,
    StartAttempt,
)
from meeting_core.prompt import fixed_tokens
from tests.builders import (
    MEETING_ID,
    START,
    attempt_started,
    convened,
    meeting_after,
    round_closed,
    round_opened,
    started_after,
    turn,
    turn_completed,
)
from tests.meeting_core.scenario import Stage, long_speaker
from tests.spec import given

SHARE = 3_500 + 500
"""What the turns may not touch: the synthesis's context and its output."""

PARTICIPANTS = tuple(
    Participant(name, name.title(), model="m") for name in ("ann", "bob", "cat", "dan")
)
LONG = "alpha " * 150
PRICES = PriceTable("2026-11", "USD", (ModelPrice("m", 3.0, 15.0),))


def long_turn(agent_id: str = "ann", round_num: int = 1) -> list[Fact]:
    completed = turn_completed(agent_id, round_num, LONG, text_tokens=estimate_tokens(LONG))
    return [attempt_started(turn(agent_id, round_num), prompt=90), completed]


def tokens_of(facts: list[Fact], agent_id: str, *, context_tokens: int | None = None) -> int:
    """What the agent's brief takes now."""
    meeting = meeting_after(*facts)
    task = turn(agent_id, meeting.round_num)
    return build_brief(meeting, task, agent_id, context_tokens=context_tokens).manifest.tokens


def bob_is_next(ceiling: int, **changes: object) -> list[Fact]:
    """The first of two rounds, or what changes say; Ann has spoken at length."""
    return [convened(meeting_tokens=ceiling, **changes), round_opened(1), *long_turn()]


def ceiling_giving(each: int, calls: int) -> int:
    """The ceiling under which each of so many calls after Ann's gets so many tokens."""
    return SHARE + meeting_after(*bob_is_next(9_000)).ledger.spent + each * calls


@pytest.mark.parametrize(
    ("calls", "round_num", "spoken"), [(4, 1, ()), (3, 1, ("ann",)), (1, 2, ("ann", "bob", "ann"))]
)
def test_what_is_left_beside_the_synthesiss_share_is_spread_over_the_turns_to_come(
    calls: int, round_num: int, spoken: tuple[str, ...]
):
    def opening(ceiling: int) -> list[Fact]:
        facts: list[Fact] = [convened(meeting_tokens=ceiling), round_opened(1)]
        for n, agent_id in enumerate(spoken):
            facts += [attempt_started(turn(agent_id, 1 + n // 2), prompt=90)]
            facts += [turn_completed(agent_id, 1 + n // 2)]
            if n % 2:
                facts += [round_closed(1), round_opened(2)]
        return facts

    speaker = ("ann", "bob")[len(spoken) % 2]
    spent = meeting_after(*opening(9_000)).ledger.spent
    whole = tokens_of(opening(9_000), speaker) + 200
    enough = opening(SHARE + spent + calls * whole)
    task = turn(speaker, round_num)
    given(*enough).when(StartAttempt(task)).then(started_after(enough, task, cap=200))
    short = opening(SHARE + spent + calls * whole - 1)
    (started,) = decide(meeting_after(*short), StartAttempt(task), START)
    assert isinstance(started, AttemptStarted)
    assert started.budget_reductions
    assert started.reserved.total <= whole - 1


def test_first_the_brief_is_shortened():
    whole = tokens_of(bob_is_next(9_000), "bob")
    facts = bob_is_next(ceiling_giving(whole + 200 - 1, 3))
    given(*facts).when(StartAttempt(turn("bob"))).then(
        started_after(
            facts, turn("bob"), cap=200, context_tokens=whole - 1, budget_reductions=("brief",)
        )
    )


def test_then_the_cap_is_lowered_too():
    min_tokens = tokens_of(bob_is_next(9_000), "bob", context_tokens=0)
    facts = bob_is_next(ceiling_giving(min_tokens + 120, 3))
    given(*facts).when(StartAttempt(turn("bob"))).then(
        started_after(
            facts, turn("bob"), cap=120, context_tokens=0, budget_reductions=("brief", "cap")
        )
    )


def test_where_there_is_nothing_to_shorten_only_the_cap_is_lowered():
    def opening(ceiling: int) -> list[Fact]:
        return [convened(meeting_tokens=ceiling), round_opened(1)]

    facts = opening(SHARE + 4 * (tokens_of(opening(9_000), "ann") + 120))
    given(*facts).when(StartAttempt(turn())).then(
        started_after(facts, turn(), cap=120, budget_reductions=("cap",))
    )


def test_where_all_turns_to_come_cannot_have_a_useful_cap_this_rounds_turns_share_what_is_left():
    min_tokens = tokens_of(bob_is_next(9_000), "bob", context_tokens=0)
    facts = bob_is_next(ceiling_giving(min_tokens + 31, 3))
    left = 3 * (min_tokens + 31)
    assert left >= tokens_of(facts, "bob") + 200
    given(*facts).when(StartAttempt(turn("bob"))).then(started_after(facts, turn("bob"), cap=200))


def last_round(each: int) -> list[Fact]:
    """Bob's turn in a meeting of one round, where he can have so many tokens."""
    one = {"num_rounds": 1, "round_topics": ("What was done",)}
    spent = meeting_after(*bob_is_next(9_000, **one)).ledger.spent
    return bob_is_next(SHARE + spent + each, **one)


def test_a_cap_below_the_least_useful_one_ends_the_rounds():
    min_tokens = tokens_of(last_round(5_000), "bob", context_tokens=0)
    enough = last_round(min_tokens + 32)
    given(*enough).when(StartAttempt(turn("bob"))).then(
        started_after(
            enough, turn("bob"), cap=32, context_tokens=0, budget_reductions=("brief", "cap")
        )
    )
    given(*last_round(min_tokens + 31)).when(StartAttempt(turn("bob"))).then(
        RoundClosed(1, "partial", "budget")
    )


def test_the_least_useful_cap_is_the_meetings_own():
    def opening(cap: int) -> list[Fact]:
        config = convened(meeting_tokens=SHARE + 2 * (min_tokens + cap), min_tokens_per_turn=150)
        return [config, round_opened(1)]

    min_tokens = 0
    min_tokens = tokens_of(opening(2_500), "ann")
    facts = opening(150)
    given(*facts).when(StartAttempt(turn())).then(
        started_after(facts, turn(), cap=150, budget_reductions=("cap",))
    )
    given(*opening(149)).when(StartAttempt(turn())).then(RoundClosed(1, "silent", "budget"))


def test_the_nearer_the_ceiling_the_more_is_spared_and_never_the_other_way_round():
    order: list[tuple[str, ...] | None] = [None, ("brief", "cap"), ("brief",), ()]
    seen = []
    for each in range(0, 1_200, 7):
        (fact,) = decide(meeting_after(*last_round(each)), StartAttempt(turn("bob")), START)
        if not isinstance(fact, AttemptStarted):
            seen.append((0, 0, 0))
            continue
        assert fact.reserved.total <= each
        reserved = fact.reserved
        seen.append(
            (order.index(fact.budget_reductions), reserved.output_tokens, reserved.prompt_tokens)
        )
    assert seen == sorted(seen)
    assert {place for place, *_ in seen} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("on_budget", "expected"),
    [
        ("wrap_up", RoundClosed(1, "partial", "budget")),
        ("pause", Paused("raise the budget, or end the rounds", "budget")),
        ("fail", Failed("budget", "what is left pays for no useful turn")),
    ],
)
def test_what_happens_when_the_money_is_out_is_the_meetings_choice(on_budget: str, expected: Fact):
    facts = [
        convened(meeting_tokens=9_000, on_budget=on_budget),
        round_opened(1),
        attempt_started(),
    ]
    facts.append(turn_completed(usage=Usage(5_000, 6, "reported")))
    given(*facts).when(StartAttempt(turn("bob"))).then(expected)


def four_participants(**changes: object) -> Configuration:
    """Four participants and three rounds: twelve turns."""
    return Configuration(
        participants=PARTICIPANTS,
        num_rounds=3,
        round_topics=("One", "Two", "Three"),
        context_tokens=1_500,
        synthesis_max_tokens=300,
        **changes,  # type: ignore[arg-type]
    )


def min_tokens_for_one_round() -> int:
    return synthesis_share(four_participants()) + 4 * (fixed_tokens(four_participants()) + 32)


def test_a_meeting_is_not_convened_when_one_round_of_short_turns_cannot_be_paid_for():
    min_tokens = min_tokens_for_one_round()
    given().when(Convene(MEETING_ID, four_participants(meeting_tokens=min_tokens))).then(
        Convened(four_participants(meeting_tokens=min_tokens))
    )
    given().when(
        Convene(MEETING_ID, four_participants(meeting_tokens=min_tokens - 1))
    ).then_refused(
        InvalidConfiguration, f"meeting_tokens: is {min_tokens - 1}", f"take {min_tokens}"
    )


def test_nor_when_a_ceiling_in_money_cannot_pay_for_it():
    config = four_participants(meeting_cost=1.0, prices=PRICES)
    price = ModelPrice("m", 3.0, 15.0)
    turns = 4 * price.micros(fixed_tokens(config), 32)
    min_cost = (synthesis_share_micros(config, ModelProfile("m")) + turns) / 1_000_000
    kept = four_participants(meeting_cost=min_cost, prices=PRICES)
    given().when(Convene(MEETING_ID, kept)).then(Convened(kept))
    short = four_participants(meeting_cost=min_cost - 0.000_002, prices=PRICES)
    given().when(Convene(MEETING_ID, short)).then_refused(InvalidConfiguration, "meeting_cost")


def turns_per_participant(stage: Stage) -> set[int]:
    """Return how often the participants spoke: one number if all spoke equally often."""
    spoke = Counter(turn.agent_id for turn in stage.meeting.turns if turn.text is not None)
    return {spoke[each.agent_id] for each in PARTICIPANTS}


def test_nobody_is_starved_whatever_the_ceiling():
    rounds_held = []
    for ceiling in range(min_tokens_for_one_round(), 16_000, 170):
        stage = Stage(four_participants(meeting_tokens=ceiling), long_speaker).play()
        (rounds,) = turns_per_participant(stage)
        rounds_held.append(rounds)
        assert stage.meeting.ledger.spent <= ceiling
        assert stage.meeting.synthesis is not None
        assert stage.meeting.synthesis.agent_id == "ann"
    assert rounds_held == sorted(rounds_held)
    assert {1, 3} <= set(rounds_held)


def test_nobody_is_starved_whose_instructions_are_longer_than_the_others():
    talkative = Participant("cat", "Cat", instructions="Be very careful. " * 60)
    participants = (*PARTICIPANTS[:2], talkative, PARTICIPANTS[3])
    for ceiling in range(4_700, 8_000, 170):
        config = replace(four_participants(meeting_tokens=ceiling), participants=participants)
        assert len(turns_per_participant(Stage(config, long_speaker).play())) == 1


def test_nobody_is_starved_whatever_the_ceiling_in_money():
    rounds_held = []
    for cents in range(2, 12):
        config = four_participants(meeting_cost=cents / 100, prices=PRICES)
        stage = Stage(config, long_speaker).play()
        (rounds,) = turns_per_participant(stage)
        rounds_held.append(rounds)
        assert stage.meeting.ledger.spent_micros <= cents * 10_000
    assert rounds_held == sorted(rounds_held)
    assert {1, 3} <= set(rounds_held)


def test_a_ceiling_in_money_shortens_first_and_lowers_the_cap_then():
    def budget_reductions(cost: float) -> set[tuple[str, ...]]:
        stage = Stage(four_participants(meeting_cost=cost, prices=PRICES), long_speaker).play()
        return {attempt.budget_reductions for attempt in stage.attempts}

    assert budget_reductions(1.0) == {()}
    assert budget_reductions(0.06) == {(), ("brief",)}
    assert budget_reductions(0.035) == {(), ("cap",), ("brief", "cap")}


def test_where_a_prompt_costs_nothing_the_brief_is_not_shortened_for_money():
    prices = PriceTable("2026-11", "USD", (ModelPrice("m", 0.0, 15.0),))
    participants = tuple(Participant(name, name.title(), model="m") for name in ("ann", "bob"))
    config = convened(participants=participants, meeting_cost=0.015, prices=prices)
    facts = [config, round_opened(1), *long_turn()]
    (started,) = decide(meeting_after(*facts), StartAttempt(turn("bob")), START)
    assert isinstance(started, AttemptStarted)
    assert started.manifest.shortened is None
    assert started.budget_reductions == ("cap",)


def test_dear_words_and_cheap_words_are_reserved_at_their_own_price():
    config = four_participants(meeting_cost=1.0, prices=PRICES)
    stage = Stage(config).play(lambda meeting: meeting.task_state is not None)
    (started,) = stage.attempts
    dear = 3 * started.reserved.prompt_tokens + 15 * 200
    assert stage.meeting.ledger.reserved_micros == dear
