"""A short meeting through the whole service, whose model is a server of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from msgspec import Struct

from meeting_service import app
from meeting_service.settings import AnthropicGateway, OpenAICompatibleGateway
from meeting_service.store.memory import InMemoryRecorder
from tests.builders import SYNTHESIS
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    Asked,
    Script,
    Waits,
    WirePeer,
    choosing_peer,
    counts,
    ends,
    says,
    stream,
    whole,
)
from tests.meeting_service.http.service import served, settings_for

OtherAnswer: TypeAlias = Callable[[Asked], Script]

FIRST, SECOND = "round-1-planner/1", "round-1-planner/2"
"""The first two calls of a meeting's first turn."""

OTHER_TEXT = "I can take the second part."
WORDS = "We ship the plan on Monday, with a day of slack for what nobody knows yet. " * 10
"""150 words."""


class Held(Struct, frozen=True):
    """What became of a meeting."""

    peer: WirePeer
    status: dict[str, Any]
    facts: list[dict[str, Any]]
    spending: dict[str, Any]
    frames: list[tuple[str, str, dict[str, Any]]]

    @property
    def turn(self) -> dict[str, Any]:
        """The first turn, as clients see it."""
        return dict(self.status["rounds"][0]["turns"][0])

    @property
    def reply(self) -> dict[str, Any]:
        """The first turn's reply, as the history has it."""
        first = next(each for each in self.facts if each["name"].startswith("meeting.turn_comp"))
        assert first["data"]["agent_id"] == "planner"
        return dict(first["data"]["reply"])

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls of the first turn, as the spending shows them."""
        return [each for each in self.spending["attempts"] if each["task"] == "round-1-planner"]

    @property
    def outcomes(self) -> list[str]:
        return [each["outcome"] for each in self.calls]

    @property
    def details(self) -> list[str]:
        """What the history says of the calls that failed."""
        failed = "meeting.attempt_failed"
        return [each["data"]["detail"] for each in self.facts if each["name"].startswith(failed)]

    @property
    def deltas(self) -> str:
        """What watchers saw of the first turn while it was spoken."""
        return "".join(
            data["text"]
            for name, _, data in self.frames
            if name == "meeting-turn-delta" and data["agent_id"] == "planner"
        )

    def assert_whole(self, text: str) -> None:
        """Check that the first turn is this text, and that nothing was wrong with it."""
        assert self.status["state"] == "complete"
        assert self.status["outcome"]["degraded"] == []
        assert (self.turn["response"], self.turn["is_cut"]) == (text, False)
        assert self.outcomes == ["completed"]


def spoken(text: str, *, prompt: int = 300, completion: int = 9) -> Script:
    return stream(says(text), ends(), counts(prompt, completion), DONE)


def good_answer(asked: Asked) -> Script:
    """What the model answers to the calls that a test does not care about."""
    is_synthesis = "/synthesis/" in asked.headers["idempotency-key"]
    return spoken(SYNTHESIS if is_synthesis else OTHER_TEXT)


@asynccontextmanager
async def _in_memory(*_: Any) -> AsyncIterator[InMemoryRecorder]:
    yield InMemoryRecorder(partial(datetime.now, UTC))


async def hold(
    folder: Path,
    answers: Mapping[str, Script],
    *,
    other_answer: OtherAnswer = good_answer,
    service: Mapping[str, Any] | None = None,
    max_tokens_per_turn: int = 200,
    kind: type[OpenAICompatibleGateway | AnthropicGateway] = OpenAICompatibleGateway,
    **gateway: Any,
) -> Held:
    """Hold a meeting of two participants and one round, over a store in memory.

    The calls are answered by their names in the meeting (`round-1-planner/1`).
    `service` are settings beside the gateway's.
    """
    is_watched = asyncio.Event()

    def choose(asked: Asked) -> Script:
        if asked.method == "GET":
            return whole("200 OK", '{"data": []}')
        call = asked.headers["idempotency-key"].partition("/")[2]
        # Nothing is answered before somebody watches, so that all deltas are seen.
        return [Waits(is_watched), *(answers.get(call) or other_answer(asked))]

    async with choosing_peer(choose) as peer:
        settings = kind(base_url=peer.base_url, model="small-1", **gateway)
        changes = {"gateways": {"wire": settings}, **(service or {})}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(app, "open_recorder", _in_memory)
            async with served(settings_for("postgresql://unused", folder, **changes)) as client:
                meeting_id = await client.start(max_tokens_per_turn=max_tokens_per_turn)
                frames = await client.watched(meeting_id, is_watched.set)
                spending = await client.get(f"/api/meetings/{meeting_id}/spending")
                return Held(
                    peer,
                    await client.status(meeting_id),
                    await client.facts(meeting_id),
                    dict(spending.json()),
                    frames,
                )
