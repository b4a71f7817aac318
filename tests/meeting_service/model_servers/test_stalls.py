"""Silence: before the first token and within an answer; a second try fits into the turn."""

from pathlib import Path

import pytest

from meeting_service.settings import AnthropicGateway, OpenAICompatibleGateway, Settings
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    Hangs,
    Repeats,
    Script,
    chunked,
    counts,
    ends,
    event,
    head,
    says,
)
from tests.meeting_service.model_servers.meetings import FIRST, SECOND, hold, spoken

pytestmark = pytest.mark.anyio

TEXT = "I would ship on Monday."
ROLE = event(choices=[{"delta": {"role": "assistant", "content": ""}}])
THOUGHT = event(choices=[{"delta": {"reasoning_content": "hm "}}])


def test_by_default_two_tries_fit_into_a_turn() -> None:
    openai, anthropic = OpenAICompatibleGateway(base_url="http://h/v1"), AnthropicGateway()
    for gateway in (openai, anthropic):
        assert gateway.first_token_timeout_seconds == 25
        assert gateway.idle_timeout_seconds == 15
        silent = gateway.first_token_timeout_seconds + gateway.idle_timeout_seconds
        assert silent < Settings().turn_timeout_seconds


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([head(), Hangs()], "first_token_timeout_seconds"),
        ([head(), Repeats(chunked(": keep-alive\n\n"))], "first_token_timeout_seconds"),
        ([head(), chunked(ROLE), Hangs()], "first_token_timeout_seconds"),
        ([head(), Repeats(chunked(ROLE))], "first_token_timeout_seconds"),
        ([head(), chunked(THOUGHT), Hangs()], "idle_timeout_seconds"),
        ([head(), chunked(says("I wou")), Hangs()], "idle_timeout_seconds"),
        ([head(), chunked(says("I wou")), Repeats(chunked(": ping\n\n"))], "idle_timeout_seconds"),
    ],
    ids=["silence", "comments", "role", "roles", "thought", "text", "text and comments"],
)
async def test_a_stall_leaves_time_for_a_second_try(
    database_url: str, tmp_path: Path, script: Script, words: str
) -> None:
    held = await hold(
        database_url,
        tmp_path,
        {FIRST: script, SECOND: spoken(TEXT)},
        first_token_timeout_seconds=0.15,
        idle_timeout_seconds=0.1,
    )
    assert held.outcomes == ["failed:timed_out", "completed"]
    assert words in held.details[0]
    assert held.turn["response"] == TEXT
    assert held.calls[0]["charged_tokens"] > 0


async def test_thoughts_are_a_sign_of_life(database_url: str, tmp_path: Path) -> None:
    thinking = [chunked(THOUGHT) for _ in range(20)]
    script = [
        head(),
        *thinking,
        chunked(says(TEXT) + ends() + counts(300, 30) + DONE),
        b"0\r\n\r\n",
    ]
    held = await hold(database_url, tmp_path, {FIRST: script}, first_token_timeout_seconds=5.0)
    held.assert_whole(TEXT)
