"""Where an answer ends, over the wire: reasons, remarks, marks of the end, thoughts, silence."""

import json
from typing import Any

import pytest

from meeting_core.model import ReportedUsage
from meeting_service.gateways.anthropic import Anthropic
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.ports import (
    Empty,
    GatewayFault,
    GatewayReply,
    RateLimited,
    Refused,
    Rejected,
    TimedOut,
    Truncated,
    Unavailable,
)
from tests.contracts.gateway_cases import request
from tests.meeting_service.gateways import test_anthropic as anthropic
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    END,
    Drops,
    Hangs,
    Script,
    chunked,
    counts,
    ends,
    event,
    head,
    says,
    stream,
    whole,
    wire_peer,
)

pytestmark = pytest.mark.anyio


async def ask(
    *scripts: Script, kind: type[OpenAICompatible | Anthropic] = OpenAICompatible, **settings: Any
) -> tuple[GatewayReply | GatewayFault, str]:
    """Make one call after the other; return what came of the last one, and what was shown of it."""
    result: GatewayReply | GatewayFault | None = None
    deltas: list[str] = []
    async with wire_peer(*scripts) as peer:
        gateway = kind(base_url=peer.base_url, **settings)
        for attempt in range(len(scripts)):
            deltas.clear()
            try:
                result = await gateway.complete(request(attempt + 1), deltas.append)
            except GatewayFault as fault:
                result = fault
        await gateway.aclose()
    assert result is not None
    return result, "".join(deltas)


def piece(text: str, reason: Any) -> str:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": reason}])


@pytest.mark.parametrize(
    "reason", ["stop", "null", "NULL", "", " ", "None", "undefined", "in_progress", False, 0, {}]
)
async def test_no_reason_ends_an_answer_that_goes_on(reason: Any) -> None:
    for ending in (DONE, ends("stop"), ends("stop") + DONE):
        reply, shown = await ask(stream(piece("One, ", reason), piece("two.", reason), ending))
        assert isinstance(reply, GatewayReply)
        assert (reply.text, reply.finish_reason, shown) == ("One, two.", "stop", "One, two.")


@pytest.mark.parametrize("reason", ["null", "", "None", "undefined", "in_progress", None, 7])
async def test_a_clean_end_without_a_reason_is_a_break(reason: Any) -> None:
    fault, _ = await ask(stream(piece("One, ", reason), ends(None)))
    assert isinstance(fault, Truncated)
    assert fault.tokens_seen > 0


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("incomplete", "length"),
        ("eos", "stop"),
        ("end_turn", "stop"),
    ],
)
async def test_reasons_in_other_words(reason: str, expected: str) -> None:
    reply, _ = await ask(stream(piece("One.", None), ends(reason)))
    assert isinstance(reply, GatewayReply)
    assert reply.finish_reason == expected


@pytest.mark.parametrize("mark", ["[DONE]", " [DONE] ", '"[DONE]"', "[done]"])
async def test_marks_of_the_end(mark: str) -> None:
    reply, _ = await ask([head(), chunked(says("One.") + f"data: {mark}\n\n"), Hangs()])
    assert isinstance(reply, GatewayReply)
    assert reply.finish_reason == "stop"


@pytest.mark.parametrize(
    ("pieces", "is_whole"),
    [
        ([says("One."), ends()], True),
        ([says("One, "), piece("two.", "stop")], True),
        ([piece("One, ", "stop")], False),
        ([piece("One, ", "stop"), piece("two.", "stop")], False),
        ([says("One, "), ends(), says("two, "), ends()], False),
    ],
)
async def test_silence_after_a_reason(pieces: list[str], is_whole: bool) -> None:
    result, _ = await ask([head(), *map(chunked, pieces), Hangs()], idle_timeout_seconds=0.05)
    assert isinstance(result, GatewayReply if is_whole else TimedOut)


async def test_anthropic_in_a_bridge_that_ends_as_openai_does() -> None:
    script = stream(anthropic.starts(input_tokens=9), anthropic.says("One."), DONE)
    reply, _ = await ask(script, kind=Anthropic)
    assert isinstance(reply, GatewayReply)
    assert (reply.text, reply.finish_reason) == ("One.", "stop")


class TestWordsInPlaceOfJson:
    @pytest.mark.parametrize("words", ["ping", "keep-alive", "OK", "heartbeat 7"])
    async def test_words_that_something_follows_are_passed_over(self, words: str) -> None:
        for script in (
            stream(f"data: {words}\n\n", says("One."), f"data: {words}\n\n", says(" Two."), DONE),
            stream(says("One. Two."), ends(), f"data: {words}\n\n"),
        ):
            reply, _ = await ask(script)
            assert isinstance(reply, GatewayReply)
            assert reply.text == "One. Two."

    @pytest.mark.parametrize(
        ("words", "kind", "wait"),
        [
            ("Error: 429 Too Many Requests, retry after 8s", RateLimited, 8.0),
            ("rate limit reached, try again in 59s", RateLimited, 59.0),
            ("upstream connect error or disconnect/reset before headers", Unavailable, None),
            ("502 Bad Gateway", Unavailable, None),
            ("Internal Server Error", Unavailable, None),
            ("the model is overloaded", Unavailable, None),
            ("something went wrong", Truncated, None),
        ],
    )
    @pytest.mark.parametrize("said", [False, True])
    async def test_words_that_nothing_follows_are_what_went_wrong(
        self, words: str, kind: type[GatewayFault], wait: float | None, said: bool
    ) -> None:
        opening = [says("One, ")] if said else []
        for script in (
            stream(*opening, f"data: {words}\n\n"),
            stream(*opening, f"data: {words}\n\n", DONE),
            stream(*opening, f"event: error\ndata: {words}\n\n"),
            stream(*opening, f"error: {words}\n\n"),
            *([] if said else [whole("200 OK", words, content_type="text/plain")]),
            *([] if said else [stream(words)]),
        ):
            fault, _ = await ask(script)
            assert type(fault) is kind
            assert isinstance(fault, GatewayFault)
            assert words.removeprefix("Error: ") in fault.detail
            assert fault.retry_after_seconds == wait
            assert (fault.tokens_seen > 0, fault.reached) == (said, said)
            assert not (said and fault.is_unreachable)


FULL = {"message": "slow down", "code": 429, "retry_after_ms": 1_500}


@pytest.mark.parametrize(
    "body",
    [
        {"error": FULL},
        [{"error": FULL}],
        {"choices": [], "error": FULL},
        {"choices": [{"index": 0, "delta": {"content": ""}, "error": FULL}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}], "error": FULL},
        {"object": "error", **FULL},
        {"type": "error", "error": {**FULL, "type": "rate_limit_error"}},
        {"success": False, "errors": [FULL]},
        {"status": "failed", "choices": [], **FULL},
        {"error_code": 429, "error_msg": "slow down", "retry_after": 1.5},
        {"Message": "slow down", "code": "rate_limit_exceeded", "retry_after": 1.5},
        {"base_resp": {"status_code": 429, "status_msg": "slow down", "retry_after": 1.5}},
        {"detail": [{"msg": "slow down", "type": "rate_limit_exceeded", "retry_after": 1.5}]},
    ],
)
async def test_an_error_in_any_envelope_has_its_text_class_and_wait(body: Any) -> None:
    text = json.dumps(body)
    for script in (
        stream(f"data: {text}\n\n"),
        stream(f"data: {text}\n\n", DONE),
        stream(f"event: error\ndata: {text}\n\n"),
        stream(f"error: {text}\n\n"),
        stream(text),
        stream(json.dumps(body, indent=2)),
        whole("200 OK", text),
        whole("200 OK", json.dumps(body, indent=1)),
    ):
        fault, _ = await ask(script)
        assert type(fault) is RateLimited
        assert isinstance(fault, GatewayFault)
        assert "slow down" in fault.detail
        assert fault.retry_after_seconds == 1.5
        assert (fault.tokens_seen, fault.reached) == (0, False)


@pytest.mark.parametrize(
    "body", [{"error": {"message": "busy", "code": 502}}, {"type": "error", "error": {"type": "x"}}]
)
async def test_what_was_held_back_is_counted_as_seen(body: Any) -> None:
    """A thought in doubt, and a piece in doubt, had come when the stream broke."""
    thinking = stream(says("hm</think>One."), DONE)
    for opening in ("word " * 150, "<think>" + "word " * 150):
        fault, shown = await ask(thinking, thinking, stream(says(opening), event(**body)))
        assert isinstance(fault, GatewayFault)
        assert fault.tokens_seen >= 150
        assert shown == ""


class TestThoughts:
    async def test_a_model_whose_prompt_opens_the_thought_is_known_from_its_third_answer(
        self,
    ) -> None:
        thinking = stream(says("I want "), says("it.\n</thi"), says("nk>\n\nY"), says("es."), DONE)
        first, shown = await ask(thinking)
        assert isinstance(first, GatewayReply)
        assert first.text == "Yes."
        assert shown.endswith("Yes.")
        third, shown = await ask(thinking, thinking, thinking)
        assert (third, shown) == (first, "Yes.")
        plain, shown = await ask(thinking, thinking, stream(says("So be it."), DONE))
        assert isinstance(plain, GatewayReply)
        assert plain.text == shown == "So be it."
        cut, shown = await ask(thinking, thinking, stream(says("So I think"), ends("length"), DONE))
        assert isinstance(cut, GatewayReply)
        assert cut.text == shown == "So I think"

    @pytest.mark.parametrize(
        "delta",
        [
            {"reasoning_content": "hm"},
            {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
            {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "x"}]},
            {"reasoning_content": [{"type": "text", "text": "hm"}]},
            {"content": [{"type": "thinking", "thinking": "hm"}]},
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
            {"content": [{"type": "reasoning", "reasoning": "hm"}]},
            {
                "content": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
                ]
            },
            {"content": {"type": "thinking", "thinking": "hm"}},
            {"content": [{"text": "hm", "thought": True}]},
            {"content": "<think>hm</think>"},
            {"content": [{"type": "text", "text": "<think>hm</think>"}]},
        ],
    )
    async def test_thoughts_beside_the_text(self, delta: dict[str, Any]) -> None:
        script = stream(event(choices=[{"delta": delta}]), says("Yes."), ends(), DONE)
        reply, shown = await ask(script, reasoning="keep")
        assert isinstance(reply, GatewayReply)
        assert (reply.text, reply.thought, shown) == ("Yes.", "hm", "Yes.")
        dropped, _ = await ask(script)
        assert isinstance(dropped, GatewayReply)
        assert (dropped.thought, dropped.thought_tokens) == ("", 1)

    async def test_blanks_are_no_thoughts(self) -> None:
        fault, _ = await ask(stream(says(" \n" * 40), ends(), DONE))
        assert isinstance(fault, Empty)
        assert "thoughts" not in fault.detail
        assert fault.tokens_seen > 0


async def test_a_status_counts_though_its_body_cannot_be_read() -> None:
    for coding in ("br", "zstd", "gzip"):
        fault, _ = await ask(
            whole("429 Slow", "\x0b\x02", content_encoding=coding, retry_after="3")
        )
        assert isinstance(fault, RateLimited)
        assert fault.retry_after_seconds == 3.0


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"delta": [], "finish_reason": "length"}, "length"),
        ({"delta": None, "finish_reason": "stop"}, "stop"),
        ({"delta": "", "message": [], "finish_reason": "stop"}, "stop"),
        ({"finish_reason": "stop"}, "stop"),
    ],
)
async def test_a_last_piece_of_an_odd_shape(choice: dict[str, Any], kind: str) -> None:
    reply, _ = await ask(stream(says("Yes."), event(choices=[choice]), counts(5, 2), DONE))
    assert isinstance(reply, GatewayReply)
    assert (reply.finish_reason, reply.usage) == (kind, ReportedUsage(5, 2))


async def test_events_that_end_by_a_single_line_end() -> None:
    events = says("One, ") + ": ping\n\n" + says("two.") + ends("length") + counts(5, 2) + DONE
    for body in (events, events.removesuffix(DONE)):
        reply, _ = await ask([head(), chunked(body.replace("\n\n", "\n")), END])
        assert isinstance(reply, GatewayReply)
        assert (reply.text, reply.finish_reason) == ("One, two.", "length")
        assert reply.usage == ReportedUsage(5, 2)


async def test_a_filter_within_an_answer() -> None:
    fault, _ = await ask(stream(says("Half"), ends("SAFETY"), DONE))
    assert isinstance(fault, Refused)
    assert fault.tokens_seen > 0


async def test_a_page_is_no_answer() -> None:
    page = "<html>\n<head><title>Sign in</title></head>\n<body>Sign in</body>\n</html>\n"
    fault, _ = await ask(whole("200 OK", page, content_type="text/html; charset=utf-8"))
    assert isinstance(fault, Rejected)
    assert "text/html" in fault.detail
    assert isinstance((await ask([head(), chunked(says("Half")), Drops()]))[0], Truncated)
