"""A model server of a test's own, and a whole service that holds a short meeting with its models.

The server plays bytes over a socket: a test says for each request what comes back.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import pytest
from msgspec import Struct

from meeting_service import app
from meeting_service.settings import OpenAICompatibleGateway, RemoteGateway, Secret
from meeting_service.store.memory import InMemoryRecorder
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    Asked,
    Script,
    WirePeer,
    ends,
    event,
    says,
    stream,
    whole,
)
from tests.meeting_service.http.service import Client, served, settings_for
from tests.model_peer import MINUTES

NOTHING: Mapping[str, Any] = MappingProxyType({})
KEY = "sk-a-key-of-the-test"
TASKS = {"round-1-ann": "Ann speaks.", "round-1-bob": "Bob speaks.", "synthesis": MINUTES}
"""What the two participants say in the one round, and what is written at the end."""

Answer: TypeAlias = Callable[[Asked], Script | None]
"""What a request is answered with; None for what a good server says."""


def task_of(asked: Asked) -> str:
    return asked.headers.get("idempotency-key", "//").split("/")[1]


def model_of(asked: Asked) -> str:
    return str(asked.body.get("model", ""))


def good_answer(asked: Asked, **usage: Any) -> Script:
    """Answer as a server that keeps to the protocol."""
    if asked.method == "GET":
        return whole("200 OK", json.dumps({"object": "list", "data": []}))
    counted = usage or {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}
    text = TASKS.get(task_of(asked), "Fine.")
    if not asked.body.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return whole("200 OK", json.dumps({"choices": [choice], "usage": counted}))
    return speaks(text, **counted)


def speaks(text: str, **usage: Any) -> Script:
    """A whole answer with a usage, if any."""
    counted = [event(choices=[], usage=usage)] if usage else []
    return stream(says(text), ends(), *counted, DONE)


def refuses(status: int, body: Any, **headers: str) -> Script:
    text = body if isinstance(body, str) else json.dumps(body)
    return whole(f"{status} Refused", text, **headers)


def at_first(*scripts: Script | None, task: str = "round-1-ann") -> Answer:
    """Answer the first requests of a task so, and all others well."""
    left = list(scripts)

    def answer(asked: Asked) -> Script | None:
        return left.pop(0) if left and task_of(asked) == task else None

    return answer


class ModelServer(WirePeer):
    """Answers each request by what the test says of it, and the list of models too."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(lambda asked: self.answer_to(asked) or good_answer(asked))
        self.answer_to = answer

    @property
    def calls(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "POST"]

    def calls_of(self, task: str) -> list[Asked]:
        return [asked for asked in self.calls if task_of(asked) == task]


@asynccontextmanager
async def model_server(
    answer: Answer = lambda _: None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ModelServer]:
    peer = ModelServer(answer)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await peer.aclose()
        await server.wait_closed()


class Held(Struct, frozen=True):
    """What is stored of a meeting that has ended."""

    status: dict[str, Any]
    facts: list[dict[str, Any]]

    @property
    def turns(self) -> list[dict[str, Any]]:
        return [turn for held in self.status["rounds"] for turn in held["turns"]]

    @property
    def texts(self) -> list[str | None]:
        return [turn["response"] for turn in self.turns]

    @property
    def skipped(self) -> list[str | None]:
        return [turn["skipped_reason"] for turn in self.turns]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The attempts that failed."""
        return [fact["data"] for fact in self.facts if "attempt_failed" in fact["name"]]

    @property
    def faults(self) -> list[tuple[str, int]]:
        """Each failed attempt's fault and charge."""
        return [(each["fault"], each["charged"]) for each in self.failed]

    @property
    def usages(self) -> list[dict[str, Any]]:
        """What each turn is taken to have cost."""
        spoken = [fact["data"] for fact in self.facts if "turn_completed" in fact["name"]]
        return [each["reply"]["usage"] for each in spoken]


def two_participants(**changes: Any) -> list[dict[str, Any]]:
    """Return the two participants; what changes is said of the first."""
    return [{"id": "ann", "name": "Ann", **changes}, {"id": "bob", "name": "Bob"}]


@asynccontextmanager
async def service(gateway: RemoteGateway, folder: Path, **changes: Any) -> AsyncIterator[Client]:
    """Run a service with one gateway, over a store in memory."""

    @asynccontextmanager
    async def in_memory(*_: Any) -> AsyncIterator[InMemoryRecorder]:
        yield InMemoryRecorder(partial(datetime.now, UTC))

    settings = settings_for("postgresql://unused", folder, gateways={"main": gateway}, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "open_recorder", in_memory)
        async with served(settings) as client:
            yield client


async def hold(client: Client, **start: Any) -> Held:
    """Hold a meeting of one round and two participants."""
    meeting_id = await client.start(
        **{"participants": two_participants(), "num_rounds": 1, **start}
    )
    status = await client.ended(meeting_id)
    return Held(status, await client.facts(meeting_id))


def speaks_openai(peer: ModelServer, **fields: Any) -> OpenAICompatibleGateway:
    given = {"base_url": peer.base_url, "model": "model-a", "api_key": Secret(KEY), **fields}
    return OpenAICompatibleGateway(**given)


async def held(
    answer: Answer,
    folder: Path,
    /,
    gateway: Mapping[str, Any] = NOTHING,
    settings: Mapping[str, Any] = NOTHING,
    **start: Any,
) -> tuple[Held, ModelServer]:
    """Hold a meeting whose model server answers so."""
    async with (
        model_server(answer) as peer,
        service(speaks_openai(peer, **gateway), folder, **settings) as client,
    ):
        return await hold(client, **start), peer


class SharedService(Struct, frozen=True):
    """One service and one model server for several tests that differ in what the server answers."""

    client: Client
    peer: ModelServer

    async def held(self, answer: Answer, **start: Any) -> tuple[Held, ModelServer]:
        """Hold a meeting whose model server answers so."""
        self.peer.answer_to = answer
        self.peer.asked.clear()
        return await hold(self.client, **start), self.peer
