"""What model servers refuse: too long a brief, an empty account, a model; through the service.

Each test holds a meeting with a server of its own, and looks at what is stored.
"""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from meeting_service.settings import AnthropicGateway, Secret
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    Script,
    counts,
    ends,
    error,
    event,
    says,
    stream,
)
from tests.meeting_service.model_servers.refusing_peer import (
    KEY,
    Answer,
    Asked,
    ModelServer,
    SharedService,
    at_first,
    held,
    hold,
    model_of,
    model_server,
    refuses,
    service,
    speaks,
    task_of,
    two_participants,
)

pytestmark = pytest.mark.anyio

GEMINI = "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."
XAI = "This model's maximum prompt length is 8192 but the request contains 9000 tokens."
VLLM = "The decoder prompt (length 9000) is longer than the maximum model length of 8192."
LONG_SPEECH = "We agreed on this and on that. " * 20


def after_a_long_speech(*scripts: Script) -> Answer:
    """Let Ann say so much that Bob's brief can leave some of it out, and refuse his first calls."""
    refused = at_first(*scripts, task="round-1-bob")

    def answer(asked: Asked) -> Script | None:
        return speaks(LONG_SPEECH) if task_of(asked) == "round-1-ann" else refused(asked)

    return answer


def sizes_of(peer: ModelServer) -> list[int]:
    return [len(json.dumps(call.body["messages"])) for call in peer.calls_of("round-1-bob")]


@pytest.mark.parametrize(
    "script",
    [
        refuses(400, [error(GEMINI, code=400, status="INVALID_ARGUMENT")]),
        refuses(400, {"code": "Client specified an invalid argument", "error": XAI}),
        refuses(413, error(XAI)),
        refuses(422, {"object": "error", "message": VLLM, "type": "BadRequestError"}),
        refuses(500, error(VLLM, type="internal_server_error")),
        stream(event(**error(GEMINI, code=400))),
        stream(f"data: {json.dumps([error(GEMINI)])}\n\n"),
        stream(ends("length"), counts(8_192, 0), DONE),
        stream(ends("stop"), counts(4_096, 0), DONE),
        stream(event(choices=[], usage={"prompt_tokens": 8_191, "total_tokens": 8_192}), DONE),
        stream(says("\n"), ends("length"), counts(4_090, 6), DONE),
        stream(ends(), event(choices=[], usage={"total_tokens": 32_768}), DONE),
        stream(ends(), event(choices=[], usage={"prompt_tokens": 2_048}), DONE),
    ],
    ids=[
        *("array", "xai", "413", "422", "500", "in a stream", "array in a stream"),
        *("silent, length", "silent, stop", "silent, without a choice"),
        *("silent, but for blanks", "silent, with a total alone", "silent, with a prompt alone"),
    ],
)
async def test_too_long_a_brief_is_asked_again_once_with_a_shorter_one(
    shared: SharedService, script: Script
) -> None:
    meeting, peer = await shared.held(after_a_long_speech(script))
    first, second = sizes_of(peer)
    assert second < first
    assert [fault for fault, _ in meeting.faults] == ["context_too_long"]
    assert meeting.texts == [LONG_SPEECH.strip(), "Bob speaks."]


async def test_a_brief_that_cannot_be_shorter_is_not_sent_again(shared: SharedService) -> None:
    silent = stream(ends("length"), counts(8_192, 0), DONE)
    meeting, peer = await shared.held(at_first(silent))
    assert len(peer.calls_of("round-1-ann")) == 1
    assert meeting.skipped == ["context_too_long", None]
    assert "the brief seems to fill the model's window" in meeting.failed[0]["detail"]


async def test_a_cap_that_is_too_large_is_no_brief_that_is_too_long(shared: SharedService) -> None:
    said = error("max_completion_tokens is too large: 200. At most 100 completion tokens.")
    meeting, peer = await shared.held(at_first(refuses(400, said)))
    assert len(peer.calls_of("round-1-ann")) == 1
    assert meeting.skipped == ["rejected", None]
    assert "check max_tokens_per_turn" in meeting.failed[0]["detail"]


EMPTY = {
    "openai": refuses(429, error("You exceeded your current quota.", code="insufficient_quota")),
    "moonshot": refuses(
        429,
        error(
            "Your account is suspended due to insufficient balance",
            type="exceeded_current_quota_error",
        ),
        retry_after="1",
    ),
    "deepseek": refuses(402, error("Insufficient Balance")),
    "anthropic": refuses(400, error("Your credit balance is too low to access the API.")),
    "a bridge": refuses(403, error("用户额度不足", type="new_api_error")),
    "in a stream": stream(
        event(**error("You exceeded your current quota", code="insufficient_quota"))
    ),
}


@pytest.mark.parametrize("script", EMPTY.values(), ids=EMPTY.keys())
async def test_an_empty_account_is_not_asked_again_and_the_next_model_speaks(
    shared: SharedService, script: Script
) -> None:
    def answer(asked: Asked) -> Script | None:
        return script if model_of(asked) == "paid" else None

    team = two_participants(model="paid", fallback_models=["free"])
    meeting, peer = await shared.held(answer, participants=team)
    assert [model_of(call) for call in peer.calls_of("round-1-ann")] == ["paid", "free"]
    assert meeting.texts == ["Ann speaks.", "Bob speaks."]
    assert set(meeting.faults) == {("rejected", 0)}
    assert "check the account's quota and billing" in meeting.failed[0]["detail"]


NOT_SERVED = {
    "new-api": error(
        "No available channel for model gone under group default", code="model_not_found"
    ),
    "one-api": error("当前分组 default 下对于模型 gone 无可用渠道", type="one_api_error"),
    "instances": error("no instances available for model gone"),
    "gemini": [error("The model is overloaded. Please try again later.", status="UNAVAILABLE")],
    "loading": {"error": "Model gone is currently loading", "estimated_time": 0.1},
}


@pytest.mark.parametrize("body", NOT_SERVED.values(), ids=NOT_SERVED.keys())
async def test_a_model_that_is_not_served_keeps_nobody_waiting(tmp_path: Path, body: Any) -> None:
    def answer(asked: Asked) -> Script | None:
        return refuses(503, body) if model_of(asked) == "gone" else None

    team = two_participants(model="gone", fallback_models=["there"])
    with anyio.fail_after(5):
        meeting, peer = await held(answer, tmp_path, participants=team)
    assert meeting.texts == ["Ann speaks.", "Bob speaks."]
    assert {charged for _, charged in meeting.faults} == {0}
    assert len([call for call in peer.calls if model_of(call) == "gone"]) <= 4
    assert meeting.status["outcome"]["degraded"] == []


async def test_a_participant_without_another_model_is_passed_over(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Script | None:
        body = error("no available channel for model gone")
        return refuses(503, body) if model_of(asked) == "gone" else None

    team = two_participants(model="gone")
    with anyio.fail_after(10):
        meeting, _ = await held(answer, tmp_path, settings={"max_attempts": 1}, participants=team)
    assert meeting.status["state"] == "complete"
    assert meeting.skipped == ["unavailable", None]
    assert meeting.status["outcome"]["author"] == "bob"


async def test_anthropic_says_it_in_its_own_envelope(tmp_path: Path) -> None:
    long = {"type": "error", **error("prompt is too long: 210000 tokens > 200000 maximum")}
    scripts = [
        stream(f"event: error\ndata: {json.dumps(long)}\n\n"),
        refuses(400, {"type": "error", **error("Your credit balance is too low")}),
    ]

    def answer(asked: Asked) -> Script | None:
        if task_of(asked) == "round-1-bob" and scripts:
            return scripts.pop(0)
        return speaks_messages(LONG_SPEECH if task_of(asked) == "round-1-ann" else "Fine.")

    async with model_server(answer) as peer:
        url = peer.base_url.removesuffix("/v1")
        gateway = AnthropicGateway(base_url=url, model="model-a", api_key=Secret(KEY))
        async with service(gateway, tmp_path) as client:
            ann, bob = two_participants()
            team = [ann, {**bob, "fallback_models": ["model-b"]}]
            meeting = await hold(client, participants=team)
    assert meeting.faults == [("context_too_long", 0), ("rejected", 0)]
    models = [model_of(call) for call in peer.calls_of("round-1-bob")]
    assert models == ["model-a", "model-a", "model-b"]
    assert meeting.texts == [LONG_SPEECH.strip(), "Fine."]


def speaks_messages(text: str) -> Script:
    """A whole answer as Anthropic streams it."""
    usage = {"output_tokens": 20}
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 300}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]
    return stream(*(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events))
