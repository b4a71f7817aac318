"""Meetings whose gateway no process has: they wait, visibly, and go on when it is there again."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio
import pytest
from eventsourcing.persistence import InternalError, OperationalError, StoredEvent
from msgspec.structs import replace

from meeting_core.model import MeetingId, Pause
from meeting_service.runtime.missing_gateways import GatewayWait
from tests.builders import ANN, BOB
from tests.meeting_service.runtime.office import (
    POLICY,
    TIMEOUT_SECONDS,
    FailingRecorder,
    FlakyRecorder,
    Office,
    office,
    utc_now,
)

pytestmark = pytest.mark.anyio

PARTICIPANTS = (replace(ANN, gateway="left"), replace(BOB, gateway="right"))


class OvertakenRecorder(FlakyRecorder):
    """Lets a rival append first, once."""

    rival: Callable[[], Awaitable[object]] | None = None

    async def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        rival, self.rival = self.rival, None
        if rival is not None:
            await rival()
        return await super().insert_events(stored_events, **kwargs)


async def left_behind(recorder: FlakyRecorder, count: int = 1) -> list[MeetingId]:
    """Begin meetings that need both gateways, in a process that then stops."""
    async with office(recorder=recorder, gateways=("left", "right")) as made:
        made.speaker.waits_for = "-bob/"
        return [await made.convene(participants=PARTICIPANTS) for _ in range(count)]


async def wait_of(made: Office, meeting_id: MeetingId) -> GatewayWait:
    with anyio.fail_after(TIMEOUT_SECONDS):
        while (wait := made.supervisor.gateway_wait(meeting_id)) is None:
            await anyio.lowlevel.checkpoint()
    return wait


async def test_a_process_leaves_meetings_alone_whose_gateways_it_lacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    recorder = FlakyRecorder(utc_now)
    meetings = await left_behind(recorder, 2)
    before = [await recorder.select_events(each) for each in meetings]
    async with office(recorder=recorder, gateways=("left",)) as made:
        waits = [await wait_of(made, each) for each in meetings]
        for _ in range(5):
            await made.supervisor._missing.look()
        assert made.supervisor.running == 0
        assert [await recorder.select_events(each) for each in meetings] == before
        async with office(recorder=recorder, gateways=("right", "left")) as complete:
            for each in meetings:
                meeting = await complete.ended(each)
                assert meeting.state == "complete"
                assert {turn.skipped_reason for turn in meeting.turns} == {None}
        await made.supervisor._missing.look()
        assert made.supervisor.gateway_wait(meetings[0]) is None
    assert {wait.gateway for wait in waits} == {"right"}
    assert (waits[0].until - waits[0].since).total_seconds() == pytest.approx(86_400, abs=2)
    logged = "2 meetings wait for gateway 'right', which no process has"
    assert caplog.text.count(logged) == 1
    assert caplog.text.count("no meeting waits for gateway 'right' any more") == 1


async def test_a_gateway_that_is_missing_for_too_long_ends_the_meeting_with_that_reason() -> None:
    recorder = FlakyRecorder(utc_now)
    (meeting_id,) = await left_behind(recorder)
    policy = replace(POLICY, missing_gateway_timeout_seconds=0.3)
    async with office(recorder=recorder, gateways=("other",), policy=policy) as made:
        meeting = await made.ended(meeting_id)
    assert (meeting.state, meeting.failure) == ("error", "gateway_missing")
    assert "'left'" in meeting.failure_detail
    assert [turn.skipped_reason for turn in meeting.turns] == [None]


@pytest.mark.parametrize(
    "error", [OperationalError("no answer"), InternalError("page 7")], ids=repr
)
async def test_a_meeting_that_waited_for_too_long_and_cannot_be_read_is_put_aside(
    error: Exception,
) -> None:
    recorder = FailingRecorder(utc_now)
    broken, whole = await left_behind(recorder, 2)
    recorder.read_errors[broken] = error
    policy = replace(POLICY, missing_gateway_timeout_seconds=0.3)
    async with office(recorder=recorder, gateways=("other",), policy=policy) as made:
        assert (await made.ended(whole)).failure == "gateway_missing"
        with anyio.fail_after(TIMEOUT_SECONDS):
            while (reason := await recorder.quarantine_reason(broken)) is None:
                await anyio.lowlevel.checkpoint()
    assert type(error).__name__ in reason


async def test_a_change_right_before_a_meeting_fails_does_not_leave_it_held() -> None:
    recorder = OvertakenRecorder(utc_now)
    (meeting_id,) = await left_behind(recorder)
    meetings = Office(recorder=recorder).meetings
    recorder.rival = partial(meetings.handle, meeting_id, Pause(), "another process")
    policy = replace(POLICY, missing_gateway_timeout_seconds=0.3)
    async with office(recorder=recorder, gateways=("other",), policy=policy) as made:
        with anyio.fail_after(TIMEOUT_SECONDS):
            assert (await made.ended(meeting_id)).failure == "gateway_missing"
    assert recorder.rival is None
