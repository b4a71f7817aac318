"""Every gateway under the one contract: the scripted one, and real ones over llmock."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from anyio import to_thread
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Fail, Reply, SlowFirstToken, StreamFault
from llmock.testing import LLMockServer
from msgspec.structs import replace

from meeting_core.model import FaultClass
from meeting_service.gateways.anthropic import Anthropic
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.gateways.script_file import PlannedFault, PlannedReply, Script, faults_by_task
from meeting_service.gateways.scripted import Scripted
from meeting_service.ports import Gateway
from tests.contracts.gateway_cases import (
    KEY,
    GatewayContract,
    JudgingPeer,
    NetworkGatewayContract,
    Peer,
    Plan,
)

pytestmark = pytest.mark.anyio

STALL_SECONDS = 60.0
"""Far longer than any test here may take."""


class ScriptedPeer(Peer):
    @asynccontextmanager
    async def gateway(self, *plans: Plan) -> AsyncIterator[Gateway]:
        replies, faults = [], []
        for attempt, plan in enumerate(plans, 1):
            reply = PlannedReply(attempt=attempt, text=plan.text, finish_reason=plan.finish_reason)
            replies.append(reply)
            if plan.stalls:
                faults.append(PlannedFault(attempt=attempt, kind="stalled", after_words=1))
            elif plan.fault is not None:
                (fault,) = faults_by_task({f"round-1-dev/{attempt}": plan.fault})
                faults.append(replace(fault, retry_after_seconds=plan.retry_after_seconds))
        yield Scripted(script=Script(tuple(replies), tuple(faults)))

    @asynccontextmanager
    async def unreachable_gateway(self) -> AsyncIterator[Gateway]:
        # Any file that is there will do.
        yield Scripted(unreachable_file=Path(__file__))


class RequestHeaders:
    """Keeps the headers of requests, which llmock's journal does not."""

    def __init__(self, app: Any, seen: list[dict[str, str]]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.seen.append({k.decode(): v.decode() for k, v in scope["headers"]})
        await self.app(scope, receive, send)


class LLMockPeer(JudgingPeer):
    """A gateway over llmock, by one of the APIs that it speaks.

    Shape: `chunks_before_text` counts what a stream opens with.
    """

    provider: ClassVar[str]
    cap_field: ClassVar[str]
    chunks_before_text: ClassVar[int]

    def __init__(self, server: LLMockServer, headers: list[dict[str, str]]) -> None:
        self.server = server
        self.llmock = LLMock(server).reset()
        self.headers = headers
        headers.clear()

    @asynccontextmanager
    async def gateway(self, *plans: Plan) -> AsyncIterator[Gateway]:
        for plan in plans:
            self.llmock.add(*self.behaviours_of(plan))
        async with self.gateway_at(self.server.base_url(self.provider)) as gateway:
            yield gateway

    async def requests_seen(self) -> int:
        records = await to_thread.run_sync(lambda: self.server.state.journal.records(wait=5.0))
        return len(records)

    def caps_seen(self) -> list[Any]:
        return [record.body[self.cap_field] for record in self.llmock.requests]

    def call_keys_seen(self) -> list[str | None]:
        return [headers.get("idempotency-key") for headers in self.headers]

    def mistakes(self) -> list[str]:
        return [finding.code for finding in self.llmock.verdict().errors]

    def behaviours_of(self, plan: Plan) -> list[Any]:
        after_a_word = self.chunks_before_text + 1
        if plan.stalls:
            stall = StreamFault("stall", after_chunks=after_a_word, stall_seconds=STALL_SECONDS)
            return [Reply(plan.text), stall]
        if plan.fault is None:
            return [Reply(plan.text, finish_reason=plan.finish_reason)]
        too_long = "prompt is too long: 9 tokens > 8 maximum"
        cut = StreamFault("truncate", after_chunks=after_a_word)
        behaviours: dict[FaultClass, list[Any]] = {
            FaultClass.RATE_LIMITED: [Fail(429, retry_after=plan.retry_after_seconds)],
            FaultClass.UNAVAILABLE: [Fail(503, retry_after=plan.retry_after_seconds)],
            FaultClass.TIMED_OUT: [Reply(plan.text), SlowFirstToken(STALL_SECONDS)],
            FaultClass.CONTEXT_TOO_LONG: [Fail(400, message=too_long)],
            FaultClass.REFUSED: [Reply(plan.text, finish_reason="content_filter")],
            FaultClass.REJECTED: [Fail(401, message=f"Incorrect API key provided: {KEY}")],
            FaultClass.TRUNCATED: [Reply(plan.text), cut],
            FaultClass.EMPTY: [Reply("")],
            FaultClass.UNSUPPORTED: [Fail(400, message="Unknown parameter: 'stream_options'.")],
        }
        return behaviours[plan.fault]


class OpenAIPeer(LLMockPeer):
    provider = "openai"
    cap_field = "max_completion_tokens"
    chunks_before_text = 1

    def new_gateway(self, base_url: str) -> Gateway:
        return OpenAICompatible(base_url=base_url, api_key=KEY)


class AnthropicPeer(LLMockPeer):
    provider = "anthropic"
    cap_field = "max_tokens"
    chunks_before_text = 3

    def new_gateway(self, base_url: str) -> Gateway:
        return Anthropic(base_url=base_url, api_key=KEY)


class TestScripted(GatewayContract):
    @pytest.fixture
    def peer(self) -> Peer:
        return ScriptedPeer()


class TestOpenAICompatible(NetworkGatewayContract):
    @pytest.fixture
    def peer(self, llmock_peer: tuple[LLMockServer, list[dict[str, str]]]) -> Peer:
        return OpenAIPeer(*llmock_peer)


class TestAnthropic(NetworkGatewayContract):
    # There is one form of a request only, so no server asks for another.
    failures = tuple(kind for kind in FaultClass if kind is not FaultClass.UNSUPPORTED)

    @pytest.fixture
    def peer(self, llmock_peer: tuple[LLMockServer, list[dict[str, str]]]) -> Peer:
        return AnthropicPeer(*llmock_peer)


@pytest.fixture(scope="module")
def llmock_peer() -> Iterator[tuple[LLMockServer, list[dict[str, str]]]]:
    headers: list[dict[str, str]] = []
    server = LLMockServer()
    server.app.add_middleware(RequestHeaders, seen=headers)
    with server:
        yield server, headers
