"""The stopwatch of one call, by a clock that the test turns."""

import pytest

from meeting_core.model import Timing
from meeting_service.runtime.stopwatch import Stopwatch


class Hand:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_it_tells_when_the_first_text_came_and_when_the_call_was_over(hand):
    watch, told = Stopwatch(hand), []
    tell = watch.timing(told.append)
    for text, seconds in (("All ", 0.25), ("is ", 0.5), ("well.", 1.0)):
        hand.seconds += seconds
        tell(text)
    hand.seconds += 0.125
    assert watch.read() == Timing(latency_ms=1_875, first_token_ms=250)
    assert told == ["All ", "is ", "well."]


def test_a_call_without_text_has_no_first_token(hand):
    watch, told = Stopwatch(hand), []
    watch.timing(told.append)("")
    hand.seconds += 2
    assert watch.read() == Timing(latency_ms=2_000, first_token_ms=None)
    assert told == [""]


def test_reading_it_does_not_stop_it(hand):
    watch = Stopwatch(hand)
    hand.seconds += 1
    assert watch.read() == Timing(1_000)
    hand.seconds += 1
    assert watch.read() == Timing(2_000)


def test_a_listener_that_breaks_is_still_timed(hand):
    watch = Stopwatch(hand)

    def explode(_: str) -> None:
        raise ValueError("a bug")

    hand.seconds += 0.5
    with pytest.raises(ValueError, match="a bug"):
        watch.timing(explode)("Half")
    assert watch.read().first_token_ms == 500


def test_part_of_a_millisecond_is_rounded(hand):
    watch = Stopwatch(hand)
    hand.seconds += 0.0016
    assert watch.read().latency_ms == 2
