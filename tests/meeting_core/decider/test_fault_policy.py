"""A wait before another attempt: doubled each time, spread by chance, the same in every replay."""

import pytest
from hypothesis import given as given_values
from hypothesis import strategies as st

from meeting_core.decider.fault_policy import FAULT_RULES, JITTER, MAX_WAIT_SECONDS, retry_at
from meeting_core.model import FaultClass, ReportFault, call_key
from tests.builders import (
    MEETING_ID,
    START,
    after,
    attempt_failed,
    attempt_started,
    convened,
    round_opened,
    turn,
)
from tests.spec import given

SEEDS = st.text(max_size=40)
WAITED = [FaultClass.RATE_LIMITED, FaultClass.UNAVAILABLE, FaultClass.TIMED_OUT]


def seconds(
    fault: FaultClass = FaultClass.UNAVAILABLE,
    repeats: int = 1,
    *,
    wish: float | None = None,
    seed: str = "seed",
) -> float | None:
    """How long to wait after so many faults in a row."""
    at = retry_at(
        fault,
        repeats,
        repeats,
        max_attempts=10,
        retry_after_seconds=wish,
        seed=seed,
        now=START,
    )
    return None if at is None else (at - START).total_seconds()


@given_values(st.sampled_from(WAITED), st.integers(1, 9), SEEDS)
def test_a_wait_is_the_doubled_one_and_up_to_half_as_much_again(
    fault: FaultClass, repeats: int, seed: str
):
    doubled = FAULT_RULES[fault].first_wait_seconds * 2.0 ** (repeats - 1)
    wait = seconds(fault, repeats, seed=seed)
    assert wait is not None
    assert min(doubled, MAX_WAIT_SECONDS) <= wait
    assert wait <= min(doubled * (1 + JITTER), MAX_WAIT_SECONDS)


@given_values(st.sampled_from(WAITED), st.integers(1, 9), SEEDS)
def test_equal_seeds_wait_equally_long(fault: FaultClass, repeats: int, seed: str):
    assert seconds(fault, repeats, seed=seed) == seconds(fault, repeats, seed=seed)


def test_different_seeds_are_spread_out():
    waits = {seconds(seed=f"meeting-{n}") for n in range(1_000)}
    assert len(waits) > 990
    shares = sorted((wait or 0) / 0.5 - 1 for wait in waits)
    assert shares[0] < 0.01
    assert shares[-1] > JITTER - 0.01
    assert abs(sum(shares) / len(shares) - JITTER / 2) < 0.02


@given_values(st.sampled_from(WAITED), st.floats(0, MAX_WAIT_SECONDS), SEEDS)
def test_a_providers_wish_is_never_undercut_and_nothing_is_added_to_it(
    fault: FaultClass, wish: float, seed: str
):
    ours, wait = seconds(fault, seed=seed), seconds(fault, wish=wish, seed=seed)
    assert ours is not None
    assert wait == pytest.approx(max(wish, ours), abs=1e-6)


@pytest.mark.parametrize(
    ("wish", "wait"),
    [
        (12.0, 12.0),
        (MAX_WAIT_SECONDS + 5.0, 35.0),
        (86_400.0, 86_400.0),
        (86_401.0, None),
        (1e300, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_a_wish_is_honoured_as_long_as_any_task_could_wait(wish: float, wait: float | None):
    assert seconds(FaultClass.RATE_LIMITED, wish=wish) == wait


@pytest.mark.parametrize("fault", [each for each in FaultClass if each not in WAITED])
def test_where_there_is_nothing_to_wait_for_chance_adds_nothing(fault: FaultClass):
    if FAULT_RULES[fault].max_in_a_row > 1:
        assert seconds(fault) == 0.0
    else:
        assert seconds(fault) is None


def test_the_seed_of_a_wait_is_the_name_of_the_attempt():
    facts = (convened(), round_opened(1), attempt_started())
    fault = ReportFault(turn(), 1, FaultClass.UNAVAILABLE, "no answer")
    wait = seconds(seed=call_key(MEETING_ID, turn(), 1))
    assert wait is not None
    given(*facts).when(fault).then(attempt_failed(retry_at=after(wait)))
