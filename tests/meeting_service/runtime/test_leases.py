"""Leases: kept while the process runs, given up when it stops, whatever its runners do."""

import threading
from functools import partial
from typing import Any
from uuid import uuid4

import anyio
import pytest
from anyio import to_thread
from msgspec.structs import replace

from meeting_core import Meeting
from meeting_core.model import AttemptAbandoned, Convene
from meeting_service.ports import TooManyLive
from tests.builders import configuration
from tests.meeting_service.runtime.office import (
    POLICY,
    TIMEOUT_SECONDS,
    FlakyRecorder,
    Office,
    office,
    utc_now,
)

pytestmark = pytest.mark.anyio


class SlowRenewals(FlakyRecorder):
    """Renews only when it is let to; counts the renewals that were begun."""

    def __init__(self) -> None:
        super().__init__(utc_now)
        self.begun = 0
        self.beginning = anyio.Event()
        self.may_renew = anyio.Event()

    async def renew_leases(self, owner: str, **kwargs: Any) -> bool:
        self.begun += 1
        self.beginning.set()
        await self.may_renew.wait()
        return await super().renew_leases(owner, **kwargs)


async def test_the_leases_are_given_up_though_a_runner_hangs_in_a_thread() -> None:
    hanging, may_end = threading.Event(), threading.Event()

    def hang() -> str:
        hanging.set()
        may_end.wait(TIMEOUT_SECONDS)
        return "saved.md"

    async def save(meeting: Meeting, markdown: str) -> str:
        return await to_thread.run_sync(hang)

    policy = replace(POLICY, drain_seconds=0.2)
    async with office(save, policy=policy) as made:
        meeting_id = await made.convene()
        with anyio.fail_after(TIMEOUT_SECONDS):
            await to_thread.run_sync(hanging.wait)
            began = anyio.current_time()
            await made.supervisor.drain()
        assert anyio.current_time() - began < 2 * policy.drain_seconds
        assert made.recorder._owners == {}
        other = Office(recorder=made.recorder)
        await made.recorder.register_owner("next", lease_seconds=9)
        leases = await other.recorder.claim_leases("next", lease_seconds=9, limit=9)
        assert [lease.meeting_id for lease in leases] == [meeting_id]
        may_end.set()


async def test_a_renewal_under_way_at_the_end_does_not_bring_the_owner_back() -> None:
    recorder = SlowRenewals()
    async with office(recorder=recorder) as made:
        with anyio.fail_after(TIMEOUT_SECONDS):
            await recorder.beginning.wait()
            await made.supervisor.drain()
        begun = recorder.begun
        recorder.may_renew.set()
        await anyio.wait_all_tasks_blocked()
        assert recorder._owners == {}
        assert recorder.begun == begun == 1


async def test_an_owner_that_the_store_has_forgotten_registers_again() -> None:
    async with office() as made:
        made.speaker.may_answer = anyio.Event()
        meeting_id = await made.convene()
        made.recorder._owners.clear()
        with anyio.fail_after(TIMEOUT_SECONDS):
            while made.supervisor.owner not in made.recorder._owners:
                await anyio.lowlevel.checkpoint()
        made.speaker.may_answer.set()
        assert (await made.ended(meeting_id)).state == "complete"


async def test_a_runner_aborted_while_its_append_waits_makes_no_call_afterwards() -> None:
    policy = replace(POLICY, drain_seconds=0.05)
    async with office(policy=policy) as made:
        made.speaker.may_answer = anyio.Event()
        meeting_id = await made.convene()
        with anyio.fail_after(TIMEOUT_SECONDS):
            await made.speaker.asked.wait()
            made.recorder.is_unreachable = True
            made.speaker.may_answer.set()
            # The end of the first turn, and the intent of the second, wait for the database.
            await made.recorder.refused.wait()
            await made.supervisor.drain()
            made.recorder.is_unreachable = False
            await made.supervisor.stopped(meeting_id)
        assert made.speaker.seen == [f"{meeting_id}/round-1-ann/1"]
        last = (await made.meetings.events(meeting_id))[-1].fact
        assert isinstance(last, AttemptAbandoned)
        assert (last.agent_id, last.cause) == ("bob", "shutdown")


async def test_starts_at_once_do_not_pass_the_number_of_live_meetings() -> None:
    policy = replace(POLICY, max_live_meetings=3)
    refused = 0

    async def start(made: Office) -> None:
        nonlocal refused
        try:
            await made.supervisor.convene(Convene(uuid4(), configuration()), "test")
        except TooManyLive:
            refused += 1

    async with office(policy=policy) as made:
        made.speaker.waits = True
        async with anyio.create_task_group() as starts:
            for _ in range(10):
                starts.start_soon(partial(start, made))
        assert (refused, await made.recorder.count_live()) == (7, 3)
        assert made.supervisor.running == 3
