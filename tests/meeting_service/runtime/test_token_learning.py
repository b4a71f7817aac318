"""What is kept of how models count: written when a meeting ends, read when one starts."""

from collections.abc import Collection, Mapping

import anyio
import pytest
from eventsourcing.persistence import OperationalError
from msgspec.structs import replace

from meeting_core import Meeting, Participant, ReportedUsage
from meeting_core.model import (
    AS_ESTIMATED,
    UNKNOWN_MODEL,
    AcceptReply,
    Command,
    ModelFactors,
    TokenFactors,
    uniform,
)
from meeting_core.projector import fold
from meeting_core.steps import Ask
from meeting_service.command_handler import FoldedEvent, Meetings
from meeting_service.ports import ModelKey
from meeting_service.runtime.token_learning import KnownGateway, TokenLearning
from meeting_service.store.memory import InMemoryRecorder
from tests.builders import configuration
from tests.meeting_core.scenario import Stage
from tests.meeting_service.runtime.office import TIMEOUT_SECONDS, utc_now

pytestmark = pytest.mark.anyio

GOAL = "회의록은 내일 보내 드리겠습니다. " * 20
CONFIG = configuration(
    participants=(
        Participant("ann", "Ann", model="m", gateway="main"),
        Participant("bob", "Bob", model="m", gateway="main", fallback_models=("n",)),
    ),
    goal=GOAL,
)


class FailingRecorder(InMemoryRecorder):
    """Cannot say what it keeps of models."""

    async def select_token_factors(self, models: Collection[ModelKey]) -> Mapping[ModelKey, str]:
        raise OperationalError("the connection was lost")


class Probe:
    """Measures what it is told to; counts how often it is asked."""

    def __init__(self, factors: TokenFactors | None) -> None:
        self.factors = factors
        self.asked: list[str] = []

    async def measure(self, model: str) -> TokenFactors | None:
        self.asked.append(model)
        return self.factors


def half_reported(ask: Ask, meeting: Meeting) -> Command:
    """Speak a line; what was reserved was twice what is reported."""
    attempt = meeting.open_attempt
    assert attempt is not None
    usage = ReportedUsage(attempt.manifest.tokens * 9 // 10, 5)
    return AcceptReply(ask.task, ask.number, f"{meeting.version} 네.", "stop", usage)


async def stored(meetings: Meetings) -> list[FoldedEvent]:
    """Store a whole meeting."""
    events = Stage(CONFIG, half_reported).play().events
    await meetings.recorder.insert_events([meetings.mapper.to_stored_event(e) for e in events])
    return [FoldedEvent(event, fold(events[: n + 1])) for n, event in enumerate(events)]


def learning_over(
    recorder: InMemoryRecorder, **gateways: KnownGateway
) -> tuple[Meetings, TokenLearning]:
    meetings = Meetings(recorder, utc_now)
    return meetings, TokenLearning(meetings, gateways)


async def learnt(learning: TokenLearning) -> None:
    """Wait until nothing is left to learn."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with learning.learning():
            while not learning.is_idle.is_set():
                await learning.is_idle.wait()


async def test_models_of_which_nothing_is_known_begin_safe():
    _, learning = learning_over(InMemoryRecorder(utc_now))
    unknown = ModelFactors("m", UNKNOWN_MODEL), ModelFactors("n", UNKNOWN_MODEL)
    assert await learning.starting_factors(CONFIG) == unknown


async def test_a_gateway_may_be_given_a_start():
    _, learning = learning_over(InMemoryRecorder(utc_now), main=KnownGateway(uniform(1_200)))
    given = ModelFactors("m", uniform(1_200)), ModelFactors("n", uniform(1_200))
    assert await learning.starting_factors(CONFIG) == given


async def test_the_next_meeting_begins_with_what_the_last_one_taught():
    meetings, learning = learning_over(InMemoryRecorder(utc_now))
    events = await stored(meetings)
    learning.on_append(None, events, ())
    await learnt(learning)
    (known, other) = await learning.starting_factors(CONFIG)
    assert known.factors.hangul < UNKNOWN_MODEL.hangul
    assert known.factors.cyrillic == UNKNOWN_MODEL.cyrillic
    assert other == ModelFactors("n", UNKNOWN_MODEL)
    elsewhere = replace(CONFIG, participants=(Participant("cat", "Cat", model="m"),))
    assert await learning.starting_factors(elsewhere) == (ModelFactors("m", UNKNOWN_MODEL),)


async def test_a_meeting_whose_last_append_failed_teaches_nothing():
    meetings, learning = learning_over(InMemoryRecorder(utc_now))
    events = await stored(Meetings(InMemoryRecorder(utc_now), utc_now))
    learning.on_append(None, events, ())
    first = [meetings.mapper.to_stored_event(each.event) for each in events[:-1]]
    await meetings.recorder.insert_events(first)
    await learnt(learning)
    assert await meetings.recorder.select_token_factors([("main", "m")]) == {}


@pytest.mark.parametrize(
    "row",
    [
        "",
        "{",
        "[]",
        '{"factors": {"hangul": "many"}, "scripts": ["hangul"]}',
        '{"factors": {"hangul": 999999}, "scripts": ["hangul"]}',
        '{"factors": {"hangul": -5}, "scripts": ["hangul"]}',
        '{"factors": 7, "scripts": 7}',
    ],
)
async def test_a_row_that_cannot_be_true_is_passed_over(row: str):
    recorder = InMemoryRecorder(utc_now)
    _, learning = learning_over(recorder)
    await recorder.save_token_factors("main", "m", row)
    assert (await learning.starting_factors(CONFIG))[0] == ModelFactors("m", UNKNOWN_MODEL)


async def test_a_store_that_fails_keeps_no_meeting_from_starting():
    _, learning = learning_over(FailingRecorder(utc_now))
    assert (await learning.starting_factors(CONFIG))[0] == ModelFactors("m", UNKNOWN_MODEL)


async def test_a_server_is_asked_once_for_each_model_and_its_word_is_kept():
    probe = Probe(uniform(1_700))
    recorder = InMemoryRecorder(utc_now)
    _, learning = learning_over(recorder, main=KnownGateway(uniform(900), probe))
    assert (await learning.starting_factors(CONFIG))[0] == ModelFactors("m", uniform(900))
    await learnt(learning)
    assert (await learning.starting_factors(CONFIG))[0] == ModelFactors("m", uniform(1_700))
    await learnt(learning)
    assert probe.asked == ["m", "n"]


async def test_a_server_that_cannot_count_changes_nothing():
    probe = Probe(None)
    _, learning = learning_over(InMemoryRecorder(utc_now), main=KnownGateway(probe=probe))
    await learning.starting_factors(CONFIG)
    await learnt(learning)
    assert (await learning.starting_factors(CONFIG))[0] == ModelFactors("m", UNKNOWN_MODEL)


async def test_with_an_exact_counter_nothing_is_learnt_and_nothing_begins_weighed():
    meetings = Meetings(InMemoryRecorder(utc_now), utc_now, count=len)
    learning = TokenLearning(meetings, {"main": KnownGateway(AS_ESTIMATED)})
    assert await learning.starting_factors(CONFIG) == ()
    learning.on_append(None, await stored(meetings), ())
    assert not learning.is_waiting
