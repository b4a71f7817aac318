"""Every fault that llmock can make: what our gateways make of it, and llmock's verdict on them.

Above a gateway stands the least client that behaves: it tries again where that can help, after
the wait that was asked for, and lets be what cannot get better.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import get_args

import anyio
import pytest
from anyio import to_thread
from llmock import scenarios, verdict
from llmock.chaos import STREAM_FAULT_KINDS, StreamChaos
from llmock.pytest_plugin import LLMock
from llmock.scenarios import (
    Behavior,
    Delay,
    Fail,
    Match,
    Reply,
    SlowFirstToken,
    StreamFault,
    ToolCall,
    ToolFault,
    behavior_to_dict,
)
from llmock.testing import LLMockServer

from meeting_core.model import FaultClass
from meeting_service.gateways.anthropic import Anthropic
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.ports import Gateway, GatewayFault, GatewayReply
from tests.contracts.gateway_cases import LONG_ENOUGH_SECONDS, fault_of, ignore, request

pytestmark = pytest.mark.anyio

STALL_SECONDS = 60.0
"""Far longer than any test here may take."""

DELAY_SECONDS = 1.0
"""Longer than the deadline; llmock sits a delay out, even once its client has left."""

DEADLINE_SECONDS = 0.3

PACE_MS = 20
"""So slow that llmock sees a client leave: a stream that it sent to its end counts as read."""

MAX_TRIES = 4

HOPELESS = {FaultClass.REJECTED, FaultClass.REFUSED, FaultClass.CONTEXT_TOO_LONG}

BY_STATUS = {
    400: FaultClass.REJECTED,
    401: FaultClass.REJECTED,
    403: FaultClass.REJECTED,
    404: FaultClass.REJECTED,
    408: FaultClass.UNAVAILABLE,
    409: FaultClass.UNAVAILABLE,
    413: FaultClass.CONTEXT_TOO_LONG,
    418: FaultClass.REJECTED,
    422: FaultClass.REJECTED,
    429: FaultClass.RATE_LIMITED,
    500: FaultClass.UNAVAILABLE,
    502: FaultClass.UNAVAILABLE,
    503: FaultClass.UNAVAILABLE,
    504: FaultClass.UNAVAILABLE,
    529: FaultClass.UNAVAILABLE,
}

BY_CODE = {
    "content_filter": FaultClass.REFUSED,
    "context_length_exceeded": FaultClass.CONTEXT_TOO_LONG,
    "insufficient_quota": FaultClass.REJECTED,
}

BY_STREAM_FAULT = {
    "disconnect": FaultClass.TRUNCATED,
    "malformed": FaultClass.TRUNCATED,
    "stall": FaultClass.TIMED_OUT,
    "truncate": FaultClass.TRUNCATED,
}

TOOL_FAULTS = ("malformed_arguments", "unknown_tool")

FAULTS: list[tuple[FaultClass, tuple[Behavior, ...]]] = [
    *((kind, (Fail(status, retry_after=0.0),)) for status, kind in BY_STATUS.items()),
    (FaultClass.RATE_LIMITED, (Fail(429, retry_after=0.4),)),
    (FaultClass.UNAVAILABLE, (Fail(503, times=2, retry_after=0.1),)),
    (FaultClass.UNAVAILABLE, (Fail(500, times=3),)),
    *(
        (kind, (StreamFault(name, after_chunks=chunks, stall_seconds=STALL_SECONDS),))
        for name, kind in BY_STREAM_FAULT.items()
        for chunks in (0, 1, 5)
    ),
    (FaultClass.TIMED_OUT, (Delay(DELAY_SECONDS),)),
    (FaultClass.TIMED_OUT, (SlowFirstToken(STALL_SECONDS),)),
    (FaultClass.REFUSED, (Reply("Half a", finish_reason="content_filter"),)),
    (FaultClass.EMPTY, (Reply(""),)),
    (FaultClass.EMPTY, (Reply(tool_calls=(ToolCall("look_up"),)),)),
    # No tools are offered, so that it takes a broken server to call one.
    *((FaultClass.EMPTY, (Reply(""), ToolFault(name, match=Match()))) for name in TOOL_FAULTS),
]

HARMLESS: list[Behavior] = [
    Delay(0.05),
    SlowFirstToken(0.05),
    StreamFault("stall", after_chunks=2, stall_seconds=0.05),
    Reply("Half a", finish_reason="length"),
]

NewGateway = Callable[..., Gateway]


def named(value: object) -> str | None:
    """Name a case by what llmock does, and leave the rest to pytest."""
    if not isinstance(value, tuple):
        return None
    fields = [field for each in value for field in behavior_to_dict(each).items()]
    return " ".join(str(what) for name, what in fields if what and name not in {"match", "times"})


@pytest.fixture(scope="module")
def server() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture
def llmock(server: LLMockServer) -> LLMock:
    return LLMock(server).reset()


@pytest.fixture
def new_openai(llmock: LLMock) -> NewGateway:
    return partial(OpenAICompatible, base_url=llmock.base_url("openai"), api_key="sk-of-a-test")


@pytest.fixture(params=["openai", "anthropic"])
def new_gateway(request: pytest.FixtureRequest, llmock: LLMock) -> NewGateway:
    kind = {"openai": OpenAICompatible, "anthropic": Anthropic}[request.param]
    return partial(kind, base_url=llmock.base_url(request.param), api_key="sk-of-a-test")


def opened(new_gateway: NewGateway, **settings: object) -> AbstractAsyncContextManager[Gateway]:
    return aclosing(new_gateway(**settings))


def deadline_for(kind: FaultClass) -> float:
    return DEADLINE_SECONDS if kind is FaultClass.TIMED_OUT else LONG_ENOUGH_SECONDS


async def persist(
    llmock: LLMock, gateway: Gateway, timeout_seconds: float
) -> tuple[list[FaultClass], GatewayReply | None]:
    """Call until it works or cannot get better; give what went wrong, and the reply."""
    faults: list[FaultClass] = []
    while len(faults) < MAX_TRIES:
        try:
            return faults, await gateway.complete(request(timeout_seconds=timeout_seconds), ignore)
        except GatewayFault as fault:
            faults.append(fault.fault_class)
            if fault.fault_class in HOPELESS:
                break
            await until_answered(llmock)
            await anyio.sleep(fault.retry_after_seconds or 0.1 * 2 ** len(faults))
    return faults, None


async def until_answered(llmock: LLMock) -> None:
    """Wait until llmock is through with every request: what overlaps is no retry to it."""
    await to_thread.run_sync(lambda: llmock.requests)


async def verdict_on(llmock: LLMock) -> verdict.Verdict:
    await until_answered(llmock)
    return llmock.verdict()


@pytest.mark.parametrize(("kind", "behaviours"), FAULTS, ids=named)
async def test_every_fault_is_of_one_class_and_handled_to_llmocks_liking(
    llmock: LLMock,
    new_gateway: NewGateway,
    kind: FaultClass,
    behaviours: tuple[Behavior, ...],
) -> None:
    llmock.add(*behaviours)
    if any(isinstance(each, StreamFault) and each.kind == "malformed" for each in behaviours):
        llmock.pace(PACE_MS)
    async with opened(new_gateway) as gateway:
        faults, reply = await persist(llmock, gateway, deadline_for(kind))
    assert set(faults) == {kind}
    assert (reply is None) == (kind in HOPELESS)
    found = await verdict_on(llmock)
    found.assert_ok(strict=True)
    assert "PASS" in found.render()


@pytest.mark.parametrize("behaviours", [(each,) for each in HARMLESS], ids=named)
async def test_what_is_only_slow_or_short_is_no_fault(
    llmock: LLMock, new_gateway: NewGateway, behaviours: tuple[Behavior]
) -> None:
    llmock.add(*behaviours)
    async with opened(new_gateway) as gateway:
        faults, reply = await persist(llmock, gateway, LONG_ENOUGH_SECONDS)
    assert faults == []
    assert reply is not None
    (await verdict_on(llmock)).assert_ok(strict=True)


@pytest.mark.parametrize(("code", "kind"), BY_CODE.items())
async def test_an_error_that_only_its_code_explains(
    llmock: LLMock, new_openai: NewGateway, code: str, kind: FaultClass
) -> None:
    llmock.add(Fail(429, code=code, message="No."))
    async with opened(new_openai) as gateway:
        assert await persist(llmock, gateway, LONG_ENOUGH_SECONDS) == ([kind], None)
    assert (await verdict_on(llmock)).passed


@pytest.mark.parametrize(("status", "kind"), BY_STATUS.items())
async def test_an_error_drawn_by_lot(
    llmock: LLMock, server: LLMockServer, new_gateway: NewGateway, status: int, kind: FaultClass
) -> None:
    server.state.chaos.error_rates = {status: 1.0}
    async with opened(new_gateway) as gateway:
        fault = await fault_of(partial(gateway.complete, request(), ignore))
    assert fault.fault_class is kind
    assert (await verdict_on(llmock)).passed


@pytest.mark.parametrize(("name", "kind"), BY_STREAM_FAULT.items())
async def test_a_stream_broken_by_lot(
    llmock: LLMock, server: LLMockServer, new_gateway: NewGateway, name: str, kind: FaultClass
) -> None:
    server.state.stream_chaos = StreamChaos(
        # Further on it may hit a ping, which no test needs.
        ((name, 1.0),),
        stall_seconds=STALL_SECONDS,
        max_after_chunks=1,
        chunk_delay_ms=PACE_MS,
    )
    async with opened(new_gateway) as gateway:
        asking = request(timeout_seconds=deadline_for(kind))
        fault = await fault_of(partial(gateway.complete, asking, ignore))
        await until_answered(llmock)
        server.state.stream_chaos = StreamChaos()
        await gateway.complete(request(), ignore)
    assert fault.fault_class is kind
    (await verdict_on(llmock)).assert_ok(strict=True)


async def test_a_quota_says_when_there_is_more_of_it(
    llmock: LLMock, new_gateway: NewGateway
) -> None:
    llmock.limits(rpm=1)
    async with opened(new_gateway) as gateway:
        await gateway.complete(request(1), ignore)
        fault = await fault_of(partial(gateway.complete, request(2), ignore))
    assert fault.fault_class is FaultClass.RATE_LIMITED
    assert fault.retry_after_seconds == pytest.approx(60, abs=5)
    assert (await verdict_on(llmock)).passed


async def test_a_window_that_the_prompt_does_not_fit_into(
    llmock: LLMock, new_gateway: NewGateway
) -> None:
    llmock.limits(context_window=1)
    async with opened(new_gateway) as gateway:
        assert await persist(llmock, gateway, LONG_ENOUGH_SECONDS) == (
            [FaultClass.CONTEXT_TOO_LONG],
            None,
        )
    (await verdict_on(llmock)).assert_ok(strict=True)


async def test_a_status_forced_by_a_header(llmock: LLMock, new_gateway: NewGateway) -> None:
    async with opened(new_gateway, headers={"x-llmock-force-status": "503"}) as gateway:
        fault = await fault_of(partial(gateway.complete, request(), ignore))
    assert fault.fault_class is FaultClass.UNAVAILABLE
    assert (await verdict_on(llmock)).passed


def test_no_fault_of_llmock_is_left_out() -> None:
    events = {type(each) for _, behaviours in FAULTS for each in behaviours}
    assert events == set(get_args(Behavior))
    assert set(STREAM_FAULT_KINDS) == BY_STREAM_FAULT.keys()
    assert set(get_args(scenarios.StreamFaultKind)) == BY_STREAM_FAULT.keys()
    assert set(get_args(scenarios.ToolFaultKind)) == set(TOOL_FAULTS)
    assert BY_STATUS.keys() >= verdict.NON_RETRYABLE | verdict.RETRYABLE
