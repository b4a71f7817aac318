"""The one object that runners have for their gateways."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import anyio
import pytest

from meeting_service.ports import (
    GatewayReply,
    GatewayRequest,
    Rejected,
    TimedOut,
    Unavailable,
)
from meeting_service.runtime.gateway_client import GRACE_SECONDS, GatewayClient
from meeting_service.runtime.rate_limiter import CallLimiter, CallRules
from tests.virtual_time import BACKEND

pytestmark = pytest.mark.anyio

FIRST, SECOND = uuid4(), uuid4()


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return BACKEND


class Provider:
    """A gateway that raises what it is given, or answers."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.calls = 0

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return GatewayReply("yes", "stop")

    async def probe(self) -> None: ...

    async def aclose(self) -> None: ...


class Deaf(Provider):
    """A gateway that does not keep to the time of its calls."""

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        await anyio.sleep_forever()
        raise AssertionError


async def call(client: GatewayClient, gateway: str = "main") -> GatewayReply:
    request = GatewayRequest((), 10, "m", 3.0, f"{FIRST}/round-1-ann/1")
    return await client.call(gateway, request, lambda _: None)


async def test_a_gateway_found_unreachable_is_not_called_again_and_the_others_are() -> None:
    main = Provider(Unavailable("gone", reached=False, is_unreachable=True))
    client = GatewayClient({"main": main, "other": Provider()})
    for _ in range(3):
        with pytest.raises(Unavailable) as fault:
            await call(client)
        assert fault.value.is_unreachable
    assert main.calls == 1
    assert (await call(client, "other")).text == "yes"
    await client.wait_until_reachable("other", SECOND)
    main.error = None
    await client.wait_until_reachable("main", FIRST)
    assert (await call(client)).text == "yes"


async def test_whatever_an_adapter_breaks_is_a_fault() -> None:
    client = GatewayClient({"main": Provider(ZeroDivisionError())})
    with pytest.raises(Unavailable, match="ZeroDivisionError"):
        await call(client)


async def test_a_cancellation_that_nobody_asked_for_is_a_fault() -> None:
    client = GatewayClient({"main": Provider(asyncio.CancelledError())})
    with pytest.raises(Unavailable, match="CancelledError"):
        await call(client)


async def test_a_call_that_is_cancelled_reports_no_fault() -> None:
    client = GatewayClient({"main": Deaf()})
    with anyio.move_on_after(1) as scope:
        await call(client)
    assert scope.cancelled_caught
    task = asyncio.create_task(call(client))
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_adapter_that_misses_its_time_is_cut_off_a_little_later() -> None:
    began = anyio.current_time()
    with pytest.raises(TimedOut, match="within 3 s"):
        await call(GatewayClient({"main": Deaf()}))
    assert anyio.current_time() - began == 3.0 + GRACE_SECONDS


async def test_a_gateway_that_is_not_configured_is_told_by_its_name() -> None:
    with pytest.raises(Rejected, match="other") as fault:
        await call(GatewayClient({}), "other")
    assert not fault.value.reached


async def test_a_meeting_holds_one_call_slot_and_gives_it_back_for_one_of_another_gateway() -> None:
    rules = dict.fromkeys(("left", "right"), CallRules(max_at_once=1))
    client = GatewayClient({}, CallLimiter(rules=rules))
    assert client.try_acquire("left", FIRST)
    assert not client.try_acquire("left", SECOND)
    await client.acquire("right", FIRST)
    assert client.try_acquire("left", SECOND)
    client.release(FIRST, was_used=True)
    client.release(FIRST, was_used=True)
    assert client.try_acquire("right", SECOND)
    assert client.try_acquire("left", FIRST)


async def test_without_bounds_nothing_is_kept_of_the_callers() -> None:
    client = GatewayClient({}, CallLimiter(rules={"main": CallRules()}))
    assert client.try_acquire("main", FIRST)
    await client.acquire("main", SECOND)
    assert client.call_slot_wait(SECOND) is None
    assert not vars(client)["_held_slots"]
