"""The gateway to Anthropic, byte by byte over a plain socket."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from meeting_core.model import Message, ReportedUsage
from meeting_service.gateways.anthropic import Anthropic
from meeting_service.ports import (
    ContextTooLong,
    Empty,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    RateLimited,
    Refused,
    Rejected,
    Truncated,
    Unavailable,
)
from tests.contracts.gateway_cases import KEY, ignore, request
from tests.meeting_service.gateways.wire_peer import (
    Drops,
    Script,
    WirePeer,
    chunked,
    head,
    stream,
    whole,
    wire_peer,
)

pytestmark = pytest.mark.anyio


def event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n"


def starts(**usage: int) -> str:
    return event("message_start", message={"model": "claude-real-1", "usage": usage})


def says(text: str) -> str:
    delta = {"type": "text_delta", "text": text}
    return event("content_block_delta", index=0, delta=delta)


def ends(reason: str = "end_turn", **usage: int) -> str:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


STOP = event("message_stop")
GOOD = stream(
    starts(input_tokens=7, cache_read_input_tokens=4, output_tokens=1),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("ping"),
    says("All "),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
    says("good."),
    event("an_event_of_next_year"),
    ends(output_tokens=3),
    STOP,
)


async def ask(
    script: Script, asking: GatewayRequest | None = None, **settings: Any
) -> tuple[GatewayReply | GatewayFault, WirePeer]:
    """Make one call against a peer that plays the script."""
    async with wire_peer(script) as peer:
        base_url = peer.base_url.removesuffix("/v1")
        gateway = Anthropic(base_url=base_url, **{"api_key": KEY} | settings)
        try:
            return await gateway.complete(asking or request(), ignore), peer
        except GatewayFault as fault:
            return fault, peer
        finally:
            await gateway.aclose()


async def test_a_call_is_one_streamed_message() -> None:
    asking = request(messages=(*request().messages, Message("system", "Be brief.")))
    reply, peer = await ask(GOOD, asking, extra_body={"temperature": 0.5})
    (asked,) = peer.asked
    assert (asked.method, asked.path) == ("POST", "/v1/messages")
    assert asked.body == {
        "model": "model-a",
        "max_tokens": 100,
        "system": "You are Devi.\n\nBe brief.",
        "messages": [{"role": "user", "content": "What is next?"}],
        "stream": True,
        "temperature": 0.5,
    }
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in asked.headers
    assert asked.headers["idempotency-key"] == request().call_key
    expected = GatewayReply("All good.", "stop", "claude-real-1", ReportedUsage(11, 3))
    assert reply == replace(expected, thought_tokens=1)


async def test_nothing_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-from-the-environment")
    _, peer = await ask(GOOD, api_key="")
    assert "from-the-environment" not in str(peer.asked[0].headers)


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [("max_tokens", "length"), ("stop_sequence", "stop"), ("pause_turn", "pause_turn")],
)
async def test_finish_reasons_are_told_in_the_usual_words(reason: str, finish_reason: str) -> None:
    reply, _ = await ask(stream(starts(input_tokens=1), says("Half"), ends(reason), STOP))
    assert isinstance(reply, GatewayReply)
    assert reply.finish_reason == finish_reason


async def test_a_complete_answer_stands_whatever_follows() -> None:
    opening = starts(input_tokens=7) + says("Done.") + ends(output_tokens=3) + STOP
    for tail in ([Drops()], [chunked(event("error", error={"type": "api_error"})), Drops()]):
        reply, _ = await ask([head(), chunked(opening), *tail])
        assert reply == GatewayReply("Done.", "stop", "claude-real-1", ReportedUsage(7, 3))


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (stream(starts(input_tokens=7), says("Half")), Truncated),
        ([head(), chunked(says("Done.") + ends(output_tokens=3)), Drops()], Truncated),
        ([head(), chunked(starts(input_tokens=7) + says("Half")), Drops()], Truncated),
        (stream(starts(input_tokens=7), "event: message_delta\ndata: {broken\n\n"), Truncated),
        (stream(starts(input_tokens=7), says("No."), ends("refusal"), STOP), Refused),
        (stream(starts(input_tokens=7), ends(output_tokens=1), STOP), Empty),
        (whole("200 OK", "<html>", content_type="text/html"), Rejected),
        ([Drops()], Unavailable),
    ],
)
async def test_an_answer_that_is_none_is_one_fault(
    script: Script, kind: type[GatewayFault]
) -> None:
    fault, peer = await ask(script)
    assert type(fault) is kind
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        ("429 Too Many Requests", "rate_limit_error", RateLimited),
        ("529 Overloaded", "overloaded_error", Unavailable),
        ("500 Internal", "api_error", Unavailable),
        ("413 Too Large", "request_too_large", ContextTooLong),
        ("401 Unauthorized", "authentication_error", Rejected),
        ("402 Payment Required", "billing_error", Rejected),
        ("404 Not Found", "not_found_error", Rejected),
    ],
)
async def test_a_refusal_is_the_same_fault_as_a_status_and_inside_a_stream(
    status: str, error: str, kind: type[GatewayFault]
) -> None:
    body = {"type": "error", "error": {"type": error, "message": f"because of {KEY}"}}
    inside = f"event: error\ndata: {json.dumps(body)}\n\n"
    for script in (whole(status, json.dumps(body)), stream(starts(input_tokens=1), inside)):
        fault, peer = await ask(script)
        assert type(fault) is kind
        assert isinstance(fault, GatewayFault)
        assert "because of [secret]" in fault.detail
        assert len(peer.asked) == 1


async def test_what_only_began_is_a_report_of_the_prompt_alone() -> None:
    fault, _ = await ask(stream(starts(input_tokens=7, output_tokens=1), says("Half")))
    assert isinstance(fault, Truncated)
    assert fault.usage == ReportedUsage(7)


def test_what_the_gateway_sets_itself_cannot_be_set() -> None:
    with pytest.raises(ValueError, match="max_tokens, system"):
        Anthropic(api_key=KEY, extra_body={"system": "", "max_tokens": 1})


async def test_json_that_only_others_can_read_is_read() -> None:
    odd = 'event: an_event_of_next_year\ndata: {"type": "next", "share": NaN}\n\n'
    half = '{"type": "content_block_delta", "delta": {"text": "\\ud83c"}}'
    other = '{"type": "content_block_delta", "delta": {"text": "\\udf89"}}'
    pieces = (f"event: content_block_delta\ndata: {each}\n\n" for each in (half, other))
    reply, _ = await ask(stream(starts(input_tokens=7), odd, *pieces, ends(), STOP))
    assert isinstance(reply, GatewayReply)
    assert reply.text == "\U0001f389"
