"""The supervisor and its runners, over a store in memory that misbehaves."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import anyio
import pytest
from eventsourcing.persistence import OperationalError, StoredEvent
from msgspec.structs import replace

from meeting_core import Meeting, fold
from meeting_core.model import Adopt, Cancel, Convene, EndRounds, MeetingId, Pause, RaiseBudget
from meeting_service.ports import RoomTaken
from meeting_service.runtime.gateway_client import GatewayClient
from meeting_service.runtime.rate_limiter import CallLimiter, CallRules
from meeting_service.runtime.supervisor import Supervisor
from tests.builders import ANN, BOB, configuration
from tests.meeting_service.runtime.office import (
    POLICY,
    TIMEOUT_SECONDS,
    FlakyRecorder,
    Office,
    office,
    utc_now,
)

pytestmark = pytest.mark.anyio


async def test_a_meeting_stored_behind_a_lost_connection_is_run_all_the_same() -> None:
    async with office() as made:
        made.recorder.losses = 1
        meeting_id = uuid4()
        with pytest.raises(OperationalError):
            await made.supervisor.convene(Convene(meeting_id, configuration()), "test")
        assert (await made.ended(meeting_id)).state == "complete"


async def test_an_append_of_unknown_outcome_is_recognised_and_not_repeated() -> None:
    async with office() as made:
        made.speaker.waits = False
        meeting_id = uuid4()
        made.recorder.losses = 0
        await made.supervisor.convene(Convene(meeting_id, configuration()), "test")
        made.recorder.losses = 5
        meeting = await made.ended(meeting_id)
    assert meeting.state == "complete"
    assert len(made.speaker.seen) == len(set(made.speaker.seen))
    assert len(made.speaker.seen) == len(meeting.turns) + 1


async def test_a_cancel_leaves_no_call_under_way() -> None:
    async with office() as made:
        made.speaker.waits = True
        meeting_id = await made.convene()
        await made.speaker.asked.wait()
        made.supervisor.on_change(await made.meetings.handle(meeting_id, Cancel(), "test"))
        with anyio.fail_after(1):
            await made.speaker.left.wait()
        assert (await made.ended(meeting_id)).state == "cancelled"


async def test_a_cancel_by_another_process_leaves_no_call_under_way() -> None:
    async with office() as made:
        made.speaker.waits = True
        meeting_id = await made.convene()
        await made.speaker.asked.wait()
        await made.meetings.handle(meeting_id, Cancel(), "another process")
        with anyio.fail_after(1):
            await made.speaker.left.wait()
        assert (await made.ended(meeting_id)).state == "cancelled"


async def test_ending_the_rounds_aborts_the_call_and_has_the_minutes_written() -> None:
    async with office() as made:
        meeting_id, meeting = await made.wrapped_up_in_the_second_turn()
        made.supervisor.on_change(meeting)
        await made.check_wrapped_up(meeting_id)


async def test_the_rounds_ended_by_another_process_are_over_within_a_poll() -> None:
    async with office() as made:
        meeting_id, _ = await made.wrapped_up_in_the_second_turn()
        await made.check_wrapped_up(meeting_id)


async def test_a_budget_raised_by_another_process_is_noticed() -> None:
    async with office() as made:
        meeting_id = await made.convene(meeting_tokens=4_700, on_budget="pause")
        with anyio.fail_after(TIMEOUT_SECONDS):
            while (await made.meetings.load(meeting_id)).pause_cause != "budget":
                await anyio.lowlevel.checkpoint()
        await made.meetings.handle(meeting_id, RaiseBudget(50_000), "another process")
        meeting = await made.ended(meeting_id)
    assert (meeting.state, meeting.ended_by) == ("complete", "agenda")


async def test_ending_the_rounds_of_a_paused_meeting_ends_the_pause_too() -> None:
    async with office() as made:
        made.speaker.waits = True
        meeting_id = await made.convene()
        await made.speaker.asked.wait()
        await made.meetings.handle(meeting_id, Pause(), "another process")
        await made.meetings.handle(meeting_id, EndRounds(), "another process")
        with anyio.fail_after(1):
            await made.speaker.left.wait()
        assert (await made.ended(meeting_id)).failure == "nobody_spoke"


async def test_minutes_that_cannot_be_saved_are_told_in_the_outcome() -> None:
    async def full(meeting: Meeting, markdown: str) -> str:
        raise OSError(28, "No space left on device")

    async with office(full) as made:
        meeting = await made.ended(await made.convene())
    assert (meeting.state, meeting.output_path) == ("complete", None)
    assert meeting.outcome is not None
    assert "No space left on device" in meeting.outcome.degraded[0]


async def test_one_meetings_misfortune_does_not_end_the_others() -> None:
    async def broken(meeting: Meeting, markdown: str) -> str:
        if meeting.config.title == "Unlucky":
            raise RuntimeError("a bug")
        return "saved.md"

    async with office(broken) as made:
        unlucky = await made.convene(title="Unlucky")
        lucky = await made.convene()
        assert (await made.ended(lucky)).state == "complete"
        failed = await made.ended(unlucky)
    assert (failed.state, failed.failure) == ("error", "internal_error")


class Cancelling(FlakyRecorder):
    """Lets a cancellation out that nobody asked for, once, when it appends to one meeting."""

    cancels: MeetingId | None = None

    async def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        if stored_events and stored_events[0].originator_id == self.cancels:
            self.cancels = None
            raise asyncio.CancelledError
        return await super().insert_events(stored_events, **kwargs)


async def test_a_cancellation_that_nobody_asked_for_ends_one_meeting_and_no_other() -> None:
    recorder = Cancelling(utc_now)
    async with office(recorder=recorder) as made:
        made.speaker.may_answer = anyio.Event()
        unlucky, lucky = await made.convene(), await made.convene()
        recorder.cancels = unlucky
        made.speaker.may_answer.set()
        ended = [await made.ended(unlucky), await made.ended(lucky)]
    # Out here: what cancels the supervisor would end the block above without a word.
    assert [meeting.state for meeting in ended] == ["error", "complete"]
    assert (ended[0].failure, made.loops.problem) == ("internal_error", None)


async def test_minutes_whose_saving_was_cancelled_by_nobody_are_told_in_the_outcome() -> None:
    async def cancelled(meeting: Meeting, markdown: str) -> str:
        raise asyncio.CancelledError

    async with office(cancelled) as made:
        meeting = await made.ended(await made.convene())
    assert (meeting.state, meeting.output_path) == ("complete", None)
    assert meeting.outcome is not None
    assert "CancelledError" in meeting.outcome.degraded[0]


async def test_a_gateway_that_is_gone_from_the_settings_skips_the_speaker() -> None:
    async with office() as made:
        team = configuration().participants
        gone = type(team[0])("gone", "Gone", gateway="old")
        meeting = await made.ended(await made.convene(participants=(team[0], gone)))
    assert meeting.state == "complete"
    assert {turn.skipped_reason for turn in meeting.turns} == {None, "rejected"}


async def test_an_owner_whose_lease_is_gone_pays_for_no_call_of_the_next() -> None:
    async with office() as made:
        made.speaker.waits = True
        meeting_id = await made.convene()
        await made.speaker.asked.wait()
        before = await made.meetings.load(meeting_id)
        adopt = Adopt("other", 2, "takeover")
        metadata = made.meetings.metadata("other")
        events, after = made.meetings.decide_events(before, adopt, metadata)
        more, after, _ = made.meetings.run_internal_steps(after, metadata, lambda *_: True)
        await made.meetings.append(before, events + more, after)
        made.supervisor.on_change(after)
        with anyio.fail_after(TIMEOUT_SECONDS):
            await made.supervisor.stopped(meeting_id)
        assert made.speaker.seen == [f"{meeting_id}/round-1-ann/1"]
        assert await made.meetings.load(meeting_id) == after


ONE_AT_A_TIME = CallRules(max_at_once=1)


def slots_for(made: Office, rooms: str) -> CallLimiter:
    """Let each of two gateways take one call at a time; both are the same speaker."""
    gateways = dict.fromkeys(rooms.split(), made.speaker)
    limiter = CallLimiter(rules=dict.fromkeys(gateways, ONE_AT_A_TIME))
    deps = replace(made.deps, gateways=GatewayClient(gateways, limiter))
    made.supervisor = Supervisor(deps, POLICY)
    return limiter


@pytest.mark.parametrize("ending", ["complete", "cancelled", "room taken"])
async def test_however_a_meeting_ends_its_call_slot_is_given_back(ending: str) -> None:
    made = Office()
    limiter = slots_for(made, "left right")
    participants = (replace(ANN, gateway="left"), replace(BOB, gateway="right"))
    async with made.supervisor.supervising():
        made.speaker.waits_for = "" if ending != "cancelled" else "/round-1-ann/"
        meeting_id = await made.convene(participants=participants, room_id="lab")
        if ending == "room taken":
            with pytest.raises(RoomTaken):
                await made.convene(participants=participants[::-1], room_id="lab")
        elif ending == "cancelled":
            with anyio.fail_after(TIMEOUT_SECONDS):
                await made.speaker.held.wait()
            made.supervisor.on_change(await made.meetings.handle(meeting_id, Cancel(), "test"))
        await made.ended(meeting_id)
        await made.supervisor.stopped(meeting_id)
        others = [uuid4() for _ in participants]
        for participant, other in zip(participants, others, strict=True):
            assert limiter.try_acquire(participant.gateway, other)


async def test_meetings_behind_one_call_slot_take_turns_and_all_end() -> None:
    made = Office()
    slots_for(made, "only")
    participants = (replace(ANN, gateway="only"), replace(BOB, gateway="only"))
    async with made.supervisor.supervising():
        meetings = [await made.convene(participants=participants) for _ in range(20)]
        for meeting_id in meetings:
            assert (await made.ended(meeting_id)).state == "complete"


async def test_old_news_of_a_meeting_aborts_nothing() -> None:
    async with office() as made:
        made.speaker.waits = True
        meeting_id = await made.convene()
        await made.speaker.asked.wait()
        history = await made.meetings.events(meeting_id)
        made.supervisor.on_change(fold(history[:-1]))
        await anyio.wait_all_tasks_blocked()
        assert not made.speaker.left.is_set()
        assert await made.meetings.events(meeting_id) == history


async def test_a_meeting_whose_claim_was_never_heard_of_is_claimed_again() -> None:
    made = Office()
    convene = Convene(uuid4(), configuration())
    events, after = made.meetings.decide_events(None, convene, made.meetings.metadata("x"))
    await made.recorder.register_owner("gone", lease_seconds=0.01)
    await made.meetings.append(None, events, after, lease_owner="gone")
    made.recorder.lost_claims = 1
    async with made.supervisor.supervising():
        assert (await made.ended(after.id)).state == "complete"
    assert made.recorder.lost_claims == 0


async def test_a_lease_that_left_and_came_back_leaves_one_runner() -> None:
    async with office() as made:
        made.speaker.waits = True
        meeting_id = await made.convene()
        await made.speaker.asked.wait()
        made.speaker.waits = False
        await made.recorder.lose_lease_to("other", meeting_id)
        meeting = await made.ended(meeting_id)
        assert (meeting.state, meeting.adoptions) == ("complete", 1)
        assert (await made.ended(await made.convene())).state == "complete"


async def test_a_meeting_without_a_lease_is_resumed() -> None:
    """Its events were restored alone, after it had been adopted before."""
    made = Office()
    metadata = made.meetings.metadata("x")
    events, after = made.meetings.decide_events(None, Convene(uuid4(), configuration()), metadata)
    more, after = made.meetings.decide_events(after, Adopt("a", 7, "restart"), metadata)
    await made.meetings.append(None, events + more, after)
    async with made.supervisor.supervising():
        assert (await made.ended(after.id)).state == "complete"
