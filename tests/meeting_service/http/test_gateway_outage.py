"""A provider that fails during a meeting: waited for, given up in time, probed once at a time."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import httpx2
import pytest
from anyio.abc import TaskStatus

from meeting_service.settings import OpenAICompatibleGateway, Settings
from tests.meeting_service.http.service import Client, served, settings_for
from tests.model_peer import ModelPeer

pytestmark = pytest.mark.anyio

Way: TypeAlias = Literal["answers 503", "is not there"]
WAYS: tuple[Way, ...] = ("answers 503", "is not there")
OUTAGE_SECONDS = 3.0
SHORT_TIMEOUT_SECONDS = 1.5
MEETINGS = 100
TEST_SECONDS = 60.0
TEAM = ["planner", "dev", "qa"]


def settings_of(url: str, database_url: str, folder: Path, **changes: Any) -> Settings:
    gateway = OpenAICompatibleGateway(base_url=url, model="peer")
    return settings_for(database_url, folder, gateways={"peer": gateway}, **changes)


class Provider:
    """A model server that becomes unreachable while it serves `call`, and can be brought back."""

    def __init__(self, way: Way, call: str) -> None:
        self.peer = ModelPeer()
        self.peer.before_reply = self._hold
        self.url = ""
        self._way, self._call = way, call
        self._is_asked, self._is_unreachable = anyio.Event(), anyio.Event()
        self._may_stop, self._has_stopped = anyio.Event(), anyio.Event()

    async def _hold(self, call_key: str) -> None:
        if call_key.endswith(self._call):
            self._is_asked.set()
            await self._is_unreachable.wait()

    async def listen(self, *, task_status: TaskStatus[None]) -> None:
        port = httpx2.URL(self.url).port or 0
        self._may_stop, self._has_stopped = anyio.Event(), anyio.Event()
        async with self.peer.listening(port) as self.url:
            task_status.started()
            await self._may_stop.wait()
        self._has_stopped.set()

    async def fail(self) -> None:
        """Wait for that call, then be unreachable for all that follow."""
        await self._is_asked.wait()
        if self._way == "answers 503":
            self.peer.is_unreachable = True
        else:
            await self.stop()
        self._is_unreachable.set()

    async def stop(self) -> None:
        self._may_stop.set()
        await self._has_stopped.wait()


@asynccontextmanager
async def failing_provider(
    way: Way, call: str
) -> AsyncIterator[tuple[Provider, Callable[[], Any]]]:
    """Run a provider; yield it, and a function that brings it back."""
    provider = Provider(way, call)
    async with anyio.create_task_group() as tasks:
        await tasks.start(provider.listen)

        async def come_back() -> None:
            provider.peer.is_unreachable = False
            if way == "is not there":
                await tasks.start(provider.listen)

        yield provider, come_back
        await provider.stop()


async def saw_warning(client: Client, meeting_id: str, code: str) -> None:
    """Watch a meeting until this warning comes."""
    async with client.sse(f"/api/meetings/{meeting_id}/events") as source:
        async for event in source:
            if event.event == "meeting-warning" and json.loads(event.data)["code"] == code:
                return
    raise AssertionError(f"{code} never came")


def codes_in(received: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    return [data["code"] for name, _, data in received if name == "meeting-warning"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_meeting_goes_on_by_itself_after_an_outage_and_loses_no_turn(
    database_url: str, tmp_path: Path, way: Way
) -> None:
    async with (
        failing_provider(way, "/round-1-dev/1") as (provider, come_back),
        served(settings_of(provider.url, database_url, tmp_path)) as client,
    ):
        meeting_id = await client.start(participants=TEAM, num_rounds=2)
        await provider.fail()
        await saw_warning(client, meeting_id, "gateway_away")
        with anyio.move_on_after(OUTAGE_SECONDS) as outage:
            await saw_warning(client, meeting_id, "gateway_back")
        assert outage.cancelled_caught, "the warning came before the provider was back"
        assert (await client.status(meeting_id))["waiting"]["for"] == "gateway"
        await come_back()
        codes = codes_in(await client.watched(meeting_id))
        assert codes == ["gateway_away", "gateway_back"]
        status = await client.status(meeting_id)
    assert (status["state"], status["waiting"]) == ("complete", None)
    turns = [turn for held in status["rounds"] for turn in held["turns"]]
    assert len(turns) == 2 * len(TEAM)
    assert all(turn["response"] for turn in turns)
    assert provider.peer.max_probes <= 1
    assert len(provider.peer.seen) == len(set(provider.peer.seen))


@pytest.mark.parametrize("way", WAYS)
async def test_an_outage_longer_than_the_reconnect_timeout_ends_the_meeting_and_says_why(
    database_url: str, tmp_path: Path, way: Way
) -> None:
    async with failing_provider(way, "/round-1-dev/1") as (provider, _):
        settings = settings_of(
            provider.url,
            database_url,
            tmp_path,
            gateway_reconnect_timeout_seconds=SHORT_TIMEOUT_SECONDS,
        )
        async with served(settings) as client:
            meeting_id = await client.start(participants=TEAM)
            await provider.fail()
            began = anyio.current_time()
            received = await client.watched(meeting_id)
            seconds = anyio.current_time() - began
            status = await client.status(meeting_id)
    assert SHORT_TIMEOUT_SECONDS <= seconds <= SHORT_TIMEOUT_SECONDS + 1
    assert codes_in(received) == ["gateway_away"]
    assert (status["state"], status["error_reason"]) == ("error", "gateway_unreachable")
    cause = "answered 503" if way == "answers 503" else f"cannot reach {provider.url}"
    assert cause in status["error_message"]
    name, _, data = received[-1]
    assert (name, data["reason"]) == ("meeting-error", "gateway_unreachable")
    assert data["error"] == status["error_message"]


async def test_a_hundred_meetings_behind_one_gateway_send_one_to_see_whether_it_is_back(
    database_url: str, tmp_path: Path
) -> None:
    peer = ModelPeer()
    peer.is_unreachable = True
    is_crowded, probed = anyio.Event(), anyio.Event()
    unreachable: set[str] = set()
    complete: set[str] = set()
    all_unreachable, all_complete, is_watching = anyio.Event(), anyio.Event(), anyio.Event()

    async def take_time() -> None:
        """Return a second probe the time to come, if there is to be one."""
        if peer.max_probes > 1:
            is_crowded.set()
        with anyio.move_on_after(0.2):
            await is_crowded.wait()
        probed.set()

    async def watch(client: Client) -> None:
        async with client.sse("/api/events") as source:
            is_watching.set()
            async for event in source:
                data = json.loads(event.data) if event.data else {}
                if data.get("code") == "gateway_away":
                    unreachable.add(data["meeting_id"])
                elif event.event == "meeting-complete":
                    assert data["state"] == "complete"
                    complete.add(data["meeting_id"])
                if len(unreachable) == MEETINGS:
                    all_unreachable.set()
                if len(complete) == MEETINGS:
                    all_complete.set()
                    return

    peer.before_probe = take_time
    async with (
        peer.listening() as url,
        served(settings_of(url, database_url, tmp_path)) as client,
        anyio.create_task_group() as tasks,
    ):
        with anyio.fail_after(TEST_SECONDS):
            tasks.start_soon(watch, client)
            await is_watching.wait()
            for _ in range(MEETINGS):
                await client.start()
            await all_unreachable.wait()
            probed = anyio.Event()
            await probed.wait()
            calls_during_outage = len(peer.seen)
            peer.is_unreachable = False
            await all_complete.wait()
    assert peer.max_probes == 1
    assert peer.probes <= 10
    assert calls_during_outage <= 10
    assert len(peer.seen) == calls_during_outage + 3 * MEETINGS
    assert len(peer.seen) == len(set(peer.seen))
