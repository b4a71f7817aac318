"""Meetings that cannot be read are put aside: the process and the other meetings go on."""

import asyncio
from typing import Any
from uuid import uuid4

import anyio
import pytest
from eventsourcing.persistence import DataError, InternalError, OperationalError, StoredEvent
from msgspec.structs import replace

from meeting_core.model import Cancelled, Convene, MeetingId, Pause, RemarkMade
from meeting_service.ports import ReadModels
from meeting_service.projections import read_models
from meeting_service.runtime.adoption import MAX_CLAIMS_WITHOUT_PROGRESS
from meeting_service.runtime.supervisor import Supervisor
from tests.builders import configuration
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

FROM_A_NEWER_REPLICA = "meeting.delegated.v1"


async def append_unreadable(
    made: Office, meeting_id: MeetingId, topic: str = FROM_A_NEWER_REPLICA
) -> None:
    """Append what this version cannot decode, as a newer replica would."""
    newest = await made.recorder.select_events(meeting_id, desc=True, limit=1)
    version = newest[0].originator_version + 1
    await made.recorder.insert_events([StoredEvent(meeting_id, version, topic, b"[]")])


async def quarantined(made: Office, meeting_id: MeetingId) -> str:
    """Wait until the meeting is put aside and its runner is gone; return the reason."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        while (reason := await made.recorder.quarantine_reason(meeting_id)) is None:
            await anyio.lowlevel.checkpoint()
        await made.supervisor.stopped(meeting_id)
    return reason


async def orphan(recorder: FlakyRecorder, **fields: Any) -> MeetingId:
    """Store a meeting whose owner is gone."""
    other = Office(recorder=recorder)
    command = Convene(uuid4(), configuration(**fields))
    events, after = other.meetings.decide_events(None, command, other.meetings.metadata("x"))
    await other.meetings.append(None, events, after, lease_owner="gone")
    return after.id


@pytest.mark.parametrize("topic", [RemarkMade.TOPIC, Cancelled.TOPIC])
async def test_an_event_that_does_not_decode_ends_one_runner_and_nothing_else(
    topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with office() as made:
        made.speaker.waits_for = "/round-1-ann/"
        meeting_id = await made.convene()
        with anyio.fail_after(TIMEOUT_SECONDS):
            await made.speaker.held.wait()
        await append_unreadable(made, meeting_id, topic)
        assert "version 4" in await quarantined(made, meeting_id)
        assert made.speaker.left.is_set()
        made.speaker.waits_for = ""
        assert (await made.ended(await made.convene())).state == "complete"
        assert made.loops.problem is None
    assert caplog.text.count(f"meeting {meeting_id} is quarantined") == 1
    assert "Traceback" not in caplog.text


async def test_a_runner_that_meets_an_unreadable_event_by_itself_stops() -> None:
    async with office() as made:
        made.speaker.may_answer = anyio.Event()
        meeting_id = await made.convene()
        with anyio.fail_after(TIMEOUT_SECONDS):
            await made.speaker.asked.wait()
        # Not among the facts that others append, so no poll finds it.
        await append_unreadable(made, meeting_id)
        made.speaker.may_answer.set()
        assert FROM_A_NEWER_REPLICA in await quarantined(made, meeting_id)
        assert made.supervisor.running == 0
        assert (await made.ended(await made.convene())).state == "complete"


async def test_a_row_without_events_keeps_no_process_from_starting() -> None:
    made = Office()
    whole = await orphan(made.recorder)
    row = read_models(None, await made.meetings.load(whole)).summary
    assert row is not None
    empty = uuid4()
    models = ReadModels(replace(row, meeting_id=empty))
    made.recorder._write_rows(models)
    async with made.supervisor.supervising():
        assert (await made.ended(whole)).state == "complete"
        assert str(empty) in await quarantined(made, empty)


async def test_a_meeting_that_cannot_be_loaded_is_claimed_once() -> None:
    made = Office()
    meeting_id = await orphan(made.recorder)
    await append_unreadable(made, meeting_id)
    async with made.supervisor.supervising():
        await quarantined(made, meeting_id)
        for _ in range(2 * MAX_CLAIMS_WITHOUT_PROGRESS):
            await made.supervisor._claim()
    assert made.recorder.claimed == [meeting_id]
    assert [each.meeting_id for each in await made.recorder.select_quarantined(10)] == [meeting_id]


async def test_a_meeting_that_folds_to_nothing_sensible_is_quarantined_beside_others() -> None:
    made = Office()
    broken, whole = await orphan(made.recorder), await orphan(made.recorder)
    stored = await made.recorder.select_events(broken)
    again = replace_version(stored[0], stored[-1].originator_version + 1)
    await made.recorder.insert_events([again])
    async with made.supervisor.supervising():
        assert "CorruptHistory" in await quarantined(made, broken)
        assert (await made.ended(whole)).state == "complete"


async def test_a_meeting_whose_row_says_live_though_it_has_ended_is_quarantined() -> None:
    async with office() as made:
        ended = await made.ended(await made.convene())
        await made.supervisor.stopped(ended.id)
    row = read_models(None, ended).summary
    assert row is not None
    made.recorder._write_rows(ReadModels(replace(row, is_live=True)))
    async with office(recorder=made.recorder) as next_one:
        assert "MeetingEnded" in await quarantined(next_one, ended.id)


async def test_a_released_meeting_that_can_be_read_again_goes_on() -> None:
    made = Office()
    meeting_id = await orphan(made.recorder)
    await append_unreadable(made, meeting_id)
    async with made.supervisor.supervising():
        await quarantined(made, meeting_id)
        del made.recorder._streams[meeting_id][max(made.recorder._streams[meeting_id])]
        assert await made.recorder.release_quarantine(meeting_id)
        assert (await made.ended(meeting_id)).state == "complete"


@pytest.mark.parametrize("error", [InternalError("page 7"), DataError("odd")], ids=repr)
async def test_a_meeting_whose_events_the_store_cannot_return_is_claimed_once(
    error: Exception,
) -> None:
    recorder = FailingRecorder(utc_now)
    broken, whole = await orphan(recorder), await orphan(recorder)
    recorder.read_errors[broken] = error
    async with office(recorder=recorder) as made:
        assert type(error).__name__ in await quarantined(made, broken)
        assert (await made.ended(whole)).state == "complete"
    assert recorder.claimed.count(broken) == 1


async def test_a_running_meeting_whose_events_the_store_cannot_return_stops_alone() -> None:
    recorder = FailingRecorder(utc_now)
    async with office(recorder=recorder) as made:
        made.speaker.waits_for = "/round-1-ann/"
        meeting_id = await made.convene()
        with anyio.fail_after(TIMEOUT_SECONDS):
            await made.speaker.held.wait()
        await made.meetings.handle(meeting_id, Pause(), "another process")
        recorder.read_errors[meeting_id] = InternalError("page 7")
        assert "InternalError" in await quarantined(made, meeting_id)
        assert made.speaker.left.is_set()
        assert made.loops.problem is None


async def test_a_meeting_whose_reads_always_fail_keeps_no_other_from_being_adopted() -> None:
    recorder = FailingRecorder(utc_now)
    stuck = await orphan(recorder)
    recorder.read_errors[stuck] = OperationalError("no answer in time")
    policy = replace(POLICY, lease_seconds=0.1)
    async with office(recorder=recorder, policy=policy) as made:
        with anyio.fail_after(TIMEOUT_SECONDS):
            while stuck not in recorder.read:
                await anyio.lowlevel.checkpoint()
        later = await orphan(recorder)
        assert (await made.ended(later)).state == "complete"
        assert "ClaimedTooOften" in await quarantined(made, stuck)
    # The last claim does not even try.
    assert recorder.claimed.count(stuck) == MAX_CLAIMS_WITHOUT_PROGRESS + 2
    assert recorder.read.count(stuck) == MAX_CLAIMS_WITHOUT_PROGRESS + 1


async def test_a_meeting_that_can_be_read_again_is_adopted_by_the_next_claim() -> None:
    recorder = FailingRecorder(utc_now)
    meeting_id = await orphan(recorder)
    recorder.read_errors[meeting_id] = OperationalError("no answer in time")
    async with office(recorder=recorder) as made:
        with anyio.fail_after(TIMEOUT_SECONDS):
            while meeting_id not in recorder.read:
                await anyio.lowlevel.checkpoint()
        recorder.read_errors.clear()
        assert (await made.ended(meeting_id)).state == "complete"


@pytest.mark.parametrize("error", [KeyError("agent"), asyncio.CancelledError()], ids=repr)
async def test_a_meeting_that_cannot_be_ended_is_quarantined_beside_others(
    error: BaseException,
) -> None:
    recorder = FailingRecorder(utc_now)
    broken, *others = [await orphan(recorder) for _ in range(4)]
    recorder.append_errors[broken] = error
    policy = replace(POLICY, recovery="fail")
    async with office(recorder=recorder, policy=policy) as made:
        reason = await quarantined(made, broken)
        ended = [await made.ended(each) for each in others]
    assert type(error).__name__ in reason
    assert {meeting.failure for meeting in ended} == {"orchestrator_restart"}
    assert sorted(recorder.claimed) == sorted([broken, *others])


async def test_the_feed_is_notified_of_a_quarantine_and_of_its_end() -> None:
    made, notified = Office(), list[tuple[MeetingId, str | None]]()
    made.supervisor = Supervisor(
        made.deps, POLICY, made.loops, on_quarantine=lambda *each: notified.append(each)
    )
    meeting_id = await orphan(made.recorder)
    await append_unreadable(made, meeting_id)
    async with made.supervisor.supervising():
        reason = await quarantined(made, meeting_id)
        del made.recorder._streams[meeting_id][max(made.recorder._streams[meeting_id])]
        assert await made.recorder.release_quarantine(meeting_id)
        await made.ended(meeting_id)
    assert notified == [(meeting_id, reason), (meeting_id, None)]


def replace_version(event: StoredEvent, version: int) -> StoredEvent:
    return StoredEvent(event.originator_id, version, event.topic, event.state)
