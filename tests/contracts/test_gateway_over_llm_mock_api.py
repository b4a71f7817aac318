"""The gateway to OpenAI-compatible servers over a second server, which was not written for us.

What llm-mock-api 0.1 cannot do: to end an answer for another reason than `stop`, to pause
once a text has begun, to break off, and to say when to come back.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from llm_mock_api import MockServer, MockServerOptions
from llm_mock_api.types.reply import ErrorReply, ReplyObject, ToolCall, Usage
from llm_mock_api.types.request import MockRequest

from meeting_core.model import FaultClass, ReportedUsage
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.ports import Empty, Gateway, GatewayReply
from tests.contracts.gateway_cases import (
    KEY,
    CallContract,
    NetworkCallContract,
    NetworkPeer,
    Plan,
    fault_of,
    ignore,
    request,
)

pytestmark = pytest.mark.anyio

Answer = ReplyObject | Callable[[MockRequest], Awaitable[ReplyObject]]

ERRORS = {
    FaultClass.RATE_LIMITED: ErrorReply(429, "Rate limit reached", "rate_limit_error"),
    FaultClass.UNAVAILABLE: ErrorReply(503, "The engine is overloaded"),
    FaultClass.CONTEXT_TOO_LONG: ErrorReply(
        400, "This model's maximum context length is 8 tokens", "invalid_request_error"
    ),
    FaultClass.REFUSED: ErrorReply(400, "The prompt was filtered", "content_filter"),
    FaultClass.UNSUPPORTED: ErrorReply(400, "Unsupported parameter: 'max_completion_tokens'"),
    FaultClass.REJECTED: ErrorReply(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"),
}


class OtherServer(NetworkPeer):
    """A server on a port of its own, whose rules are used up one after the other."""

    def __init__(self) -> None:
        # A few letters a piece, and no pause between the pieces.
        self.server = MockServer(MockServerOptions(default_latency=0, default_chunk_size=5))
        self.waiting = 0
        self.waited = anyio.Event()
        self._is_over = anyio.Event()

    @asynccontextmanager
    async def gateway(self, *plans: Plan) -> AsyncIterator[Gateway]:
        async with self.answering(*map(self.answer_to, plans)) as gateway:
            yield gateway

    @asynccontextmanager
    async def answering(self, *answers: Answer, **settings: Any) -> AsyncIterator[Gateway]:
        for answer in answers:
            self.server.when(lambda _: True).reply(answer).times(1)
        async with self.server:
            address = {"base_url": f"{self.server.url}/v1", "api_key": KEY}
            gateway = OpenAICompatible(**address | settings)
            try:
                yield gateway
            finally:
                await gateway.aclose()
                # It does not stop before it has answered, even if the client is gone.
                self._is_over.set()

    def answer_to(self, plan: Plan) -> Answer:
        match plan.fault:
            case None:
                return ReplyObject(text=plan.text)
            case FaultClass.TIMED_OUT:
                return self.never
            case FaultClass.EMPTY:
                return ReplyObject(text="")
            case kind:
                return ReplyObject(error=ERRORS[kind])

    def new_gateway(self, base_url: str) -> Gateway:
        return OpenAICompatible(base_url=base_url, api_key=KEY)

    async def never(self, _: MockRequest) -> ReplyObject:
        self.waiting += 1
        self.waited.set()
        await self._is_over.wait()
        return ReplyObject(text="Too late.")

    async def requests_seen(self) -> int:
        # A request is in its history once the answer is known.
        return self.server.history.count() + self.waiting

    def caps_seen(self) -> list[Any]:
        return [each.request.raw["max_completion_tokens"] for each in self.server.history]

    def call_keys_seen(self) -> list[str | None]:
        return [each.request.headers.get("idempotency-key") for each in self.server.history]


class TestOverAnotherServer(CallContract, NetworkCallContract):
    failures = tuple(kind for kind in FaultClass if kind is not FaultClass.TRUNCATED)

    @pytest.fixture
    def peer(self) -> OtherServer:
        return OtherServer()

    async def test_usage_comes_unasked_in_a_chunk_with_a_choice_that_ends_nothing(
        self, peer: OtherServer
    ) -> None:
        answer = ReplyObject(text="All good.", usage=Usage(input=11, output=3))
        async with peer.answering(answer, stream_options=False) as gateway:
            reply = await gateway.complete(request(), ignore)
        (seen,) = peer.server.history
        assert "stream_options" not in seen.request.raw
        assert reply == GatewayReply("All good.", "stop", "model-a", ReportedUsage(11, 3, 14))

    async def test_a_call_of_tools_that_nobody_offered_is_an_empty_answer(
        self, peer: OtherServer
    ) -> None:
        answer = ReplyObject(tools=[ToolCall(name="look_up", args={"for": "a plan"})])
        async with peer.answering(answer) as gateway:
            fault = await fault_of(partial(gateway.complete, request(), ignore))
        assert isinstance(fault, Empty)
        assert "tool_calls" in fault.detail

    async def test_thinking_aloud_is_no_answer(self, peer: OtherServer) -> None:
        async with peer.answering(ReplyObject(reasoning="Hm, hm.")) as gateway:
            fault = await fault_of(partial(gateway.complete, request(), ignore))
        assert isinstance(fault, Empty)

    async def test_a_call_that_has_no_answer_yet_can_be_cancelled(self, peer: OtherServer) -> None:
        async with peer.answering(peer.never) as gateway, anyio.create_task_group() as calls:
            calls.start_soon(gateway.complete, request(), ignore)
            await peer.waited.wait()
            calls.cancel_scope.cancel()
        assert peer.waiting == 1
