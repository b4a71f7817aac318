"""A fault after a first word: it has cost something, and the gateway was there."""

import pytest
from msgspec.structs import replace

from meeting_core import ReportedUsage, Usage
from meeting_core.decider.fault_policy import FAULT_RULES
from meeting_core.model import (
    AcceptReply,
    AttemptFailed,
    EntryRange,
    Fact,
    FaultClass,
    ReportFault,
)
from tests.builders import (
    START,
    Later,
    after,
    attempt_failed,
    attempt_started,
    convened,
    meeting_after,
    round_opened,
    turn,
    turn_skipped,
    waited,
)
from tests.spec import given

FREE = [each for each in FaultClass if not FAULT_RULES[each].is_charged]


def asked(**changes: object) -> tuple[Fact, ...]:
    """A meeting whose Ann is asked; 100 tokens are set aside for the prompt, 200 for the reply."""
    return (convened(**changes), round_opened(1), attempt_started())


def broken(fault: FaultClass = FaultClass.UNAVAILABLE, **changes: object) -> ReportFault:
    fields: dict[str, object] = {"tokens_seen": 190, **changes}
    return ReportFault(turn(), 1, fault, "no answer", **fields)  # type: ignore[arg-type]


def failed_by(command: ReportFault | AcceptReply, **changes: object) -> AttemptFailed:
    failed, *_ = given(*asked(**changes)).when(command).facts
    assert isinstance(failed, AttemptFailed)
    return failed


@pytest.mark.parametrize("fault", FREE)
def test_no_fault_is_free_after_a_first_word(fault: FaultClass):
    assert failed_by(broken(fault, tokens_seen=0)).charged == 0
    for seen in (1, 190):
        assert failed_by(broken(fault, tokens_seen=seen)).charged == 300


@pytest.mark.parametrize("fault", list(FaultClass))
def test_what_came_is_charged_if_it_is_more_than_was_set_aside(fault: FaultClass):
    failed = failed_by(broken(fault, tokens_seen=900))
    assert (failed.charged, failed.usage) == (1_000, Usage(100, 900, "estimated"))


def test_what_was_reported_is_charged_if_it_can_be_true():
    believed = failed_by(broken(usage=ReportedUsage(95, 180)))
    assert (believed.charged, believed.usage) == (275, Usage(95, 180, "reported"))
    opening = failed_by(broken(usage=ReportedUsage(95, 1)))
    assert opening.usage == Usage(95, 200, "partly_reported")
    nothing = failed_by(broken(usage=ReportedUsage(0, 0)))
    assert (nothing.charged, nothing.usage) == (300, None)


def test_a_gateway_that_spoke_is_not_unreachable_and_the_attempt_counts():
    """Else a meeting would call again and again, each call paid for, and then fail."""
    unreachable = broken(reached=False, is_unreachable=True)
    given(*asked()).when(unreachable).then(attempt_failed(charged=300, retry_at=waited()))


def test_max_attempts_holds_for_them():
    facts = [*asked(max_attempts=2), attempt_failed(retry_at=START), attempt_started(number=2)]
    last = ReportFault(turn(), 2, FaultClass.UNAVAILABLE, "no answer", tokens_seen=5)
    given(*facts).when(last).then(attempt_failed(number=2), turn_skipped())


def test_a_wait_for_the_gateway_ends_when_it_speaks():
    unreachable = attempt_failed(charged=0, give_up_at=after(60))
    facts = [*asked(), unreachable, Later(5, attempt_started(number=2))]
    spoke = ReportFault(
        turn(), 2, FaultClass.UNAVAILABLE, "reset", is_unreachable=True, tokens_seen=40
    )
    (failed,) = given(*facts).when(spoke, at=after(6)).facts
    assert isinstance(failed, AttemptFailed)
    assert (failed.give_up_at, failed.charged) == (None, 300)
    assert failed.retry_at is not None


def test_a_reply_that_was_all_thought_is_charged_by_what_came():
    thought = AcceptReply(turn(), 1, " ", "length", thought_tokens=5_000)
    failed = failed_by(thought)
    assert failed.fault is FaultClass.EMPTY
    assert failed.usage == Usage(100, 5_000, "estimated")


def test_a_reply_without_an_end_is_charged_by_what_came():
    endless = AcceptReply(turn(), 1, "word " * 500, "length", None, is_truncated=True)
    meeting = meeting_after(*asked(), *given(*asked()).when(endless).facts)
    assert meeting.ledger.spent == 100 + meeting_after(*asked()).ledger.spent + 500
    (ended,) = meeting.turns
    assert ended.is_cut


@pytest.mark.parametrize(
    ("usage", "charged"),
    [
        (None, 0),
        (ReportedUsage(4_096, 0, 4_096), 4_096),
        (ReportedUsage(4_096), 4_096),
        (ReportedUsage(None, None, 4_096), 4_096),
        (ReportedUsage(0, 0, 0), 0),
    ],
)
def test_a_brief_that_was_too_long_is_charged_what_is_reported_and_tried_once_shorter(
    usage: ReportedUsage | None, charged: int
):
    silent = broken(FaultClass.CONTEXT_TOO_LONG, tokens_seen=0, usage=usage)
    asked = attempt_started(prompt=2_000)
    asked = replace(asked, manifest=replace(asked.manifest, whole=EntryRange(2, 2)))
    facts = (convened(), round_opened(1), asked)
    (failed,) = given(*facts).when(silent).facts
    assert isinstance(failed, AttemptFailed)
    assert (failed.charged, failed.retry_at) == (charged, START)
    (profile,) = meeting_after(*facts, failed).model_profiles
    assert profile.context_tokens == 1_000
