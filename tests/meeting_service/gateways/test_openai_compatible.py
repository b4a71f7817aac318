"""The gateway to OpenAI-compatible servers, byte by byte over a plain socket."""

import json
import logging
import subprocess
import sys
import traceback
from typing import Any

import anyio
import pytest

from meeting_core.model import Message, ReportedUsage
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.ports import (
    ContextTooLong,
    Empty,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    RateLimited,
    Refused,
    Rejected,
    TimedOut,
    Truncated,
    Unavailable,
)
from tests.contracts.gateway_cases import KEY, ignore, request, seconds_to_cancel
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    END,
    Drops,
    Hangs,
    Repeats,
    Script,
    WirePeer,
    chunked,
    counts,
    ends,
    event,
    head,
    refusal,
    says,
    stream,
    whole,
    wire_peer,
)

pytestmark = pytest.mark.anyio

GOOD = stream(says("All "), says("good."), ends(), counts(11, 3), DONE)


async def ask(
    script: Script,
    asking: GatewayRequest | None = None,
    deltas: list[str] | None = None,
    **settings: Any,
) -> tuple[GatewayReply | GatewayFault, WirePeer]:
    """Make one call against a peer that plays the script."""
    async with wire_peer(script) as peer:
        gateway = OpenAICompatible(base_url=peer.base_url, **{"api_key": KEY} | settings)
        try:
            on_delta = ignore if deltas is None else deltas.append
            return await gateway.complete(asking or request(), on_delta), peer
        except GatewayFault as fault:
            return fault, peer
        finally:
            await gateway.aclose()


class TestWhatIsSent:
    async def test_a_call_is_one_streamed_chat_completion(self) -> None:
        _, peer = await ask(GOOD)
        (asked,) = peer.asked
        assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
        assert asked.body == {
            "model": "model-a",
            "messages": [
                {"role": "system", "content": "You are Devi."},
                {"role": "user", "content": "What is next?"},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 100,
        }
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert asked.headers["idempotency-key"] == request().call_key

    async def test_what_servers_differ_in_can_be_set(self) -> None:
        _, peer = await ask(
            GOOD,
            request(model=""),
            model="of-the-gateway",
            max_tokens_field="max_tokens",
            stream_options=False,
            extra_body={"temperature": 0.2, "metadata": {"team": "a"}},
            headers={"X-Team": "blue"},
            call_key_in_metadata=True,
        )
        (asked,) = peer.asked
        assert asked.body["model"] == "of-the-gateway"
        assert asked.body["max_tokens"] == 100
        assert asked.body["temperature"] == 0.2
        assert asked.body["metadata"] == {"team": "a", "call_key": request().call_key}
        assert asked.headers["x-team"] == "blue"
        assert not {"max_completion_tokens", "stream_options"} & asked.body.keys()

    async def test_a_call_key_of_any_letters_fits_into_a_header(self) -> None:
        _, peer = await ask(GOOD, request(call_key="m/round-1-zoë/1"))
        assert peer.asked[0].headers["idempotency-key"] == "m/round-1-zo%C3%AB/1"

    async def test_nothing_of_the_environment_is_sent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-from-the-environment")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-from-the-environment")
        _, peer = await ask(GOOD, api_key="")
        assert "from-the-environment" not in str(peer.asked[0].headers)

    async def test_one_connection_serves_calls_one_after_the_other(self) -> None:
        async with wire_peer(GOOD, GOOD) as peer:
            gateway = OpenAICompatible(base_url=peer.base_url)
            for _ in range(2):
                await gateway.complete(request(), ignore)
            await gateway.aclose()
        assert (len(peer.asked), peer.connections) == (2, 1)


class TestAnswers:
    async def test_usage_and_model_are_those_of_the_provider(self) -> None:
        reply, _ = await ask(GOOD)
        assert reply == GatewayReply("All good.", "stop", "real-1", ReportedUsage(11, 3))

    @pytest.mark.parametrize(
        "script",
        [
            stream(says("All "), says("good."), ends(), counts(11, 3)),
            stream(says("All "), says("good.", finish_reason=None), ends(), counts(11, 3), DONE),
            stream(": ping\n\n", says("All "), ": ping\n\n", says("good."), ends(), counts(11, 3)),
            [
                head(),
                *(
                    chunked(text.replace("\n", "\r\n"))
                    for text in (": keepalive\n\n", says("All "), says("good."), ends())
                ),
                chunked(counts(11, 3).replace("\n", "\r")),
                chunked(DONE.replace("\n", "\r\n")),
                END,
            ],
            [head(), chunked(says("All ") + says("good.") + ends() + counts(11, 3) + DONE), END],
            stream(says("All good."), ends(usage={"prompt_tokens": 11, "completion_tokens": 3})),
        ],
        ids=["no [DONE]", "odd field", "comments", "CRLF and CR", "one piece", "early usage"],
    )
    async def test_streams_differ_and_mean_the_same(self, script: Script) -> None:
        deltas: list[str] = []
        reply, _ = await ask(script, deltas=deltas)
        assert isinstance(reply, GatewayReply)
        assert (reply.text, reply.usage) == ("All good.", ReportedUsage(11, 3))
        assert "".join(deltas) == reply.text

    async def test_letters_may_be_cut_between_two_segments(self) -> None:
        raw = (says("naïve 漢字 🎉") + ends() + DONE).encode()
        pieces = [chunked(raw[n : n + 1]) for n in range(len(raw))]
        deltas: list[str] = []
        reply, _ = await ask([head(), *pieces, END], deltas=deltas)
        assert isinstance(reply, GatewayReply)
        assert reply.text == "naïve 漢字 🎉" == "".join(deltas)

    async def test_a_character_cut_in_two_is_put_together_again(self) -> None:
        deltas: list[str] = []
        pieces = ["Ship it \ud83c", "\udf89", "\ud83d", "", "\ude80! \udc00\ud800", "x\ud83c"]
        raw = [
            f"data: {json.dumps({'choices': [{'delta': {'content': each}}]})}\n\n"
            for each in pieces
        ]
        reply, _ = await ask(stream(*raw, ends(), DONE), deltas=deltas)
        assert isinstance(reply, GatewayReply)
        assert reply.text == "Ship it 🎉🚀! \udc00\ud800x\ud83c"
        # A half that nothing followed is told to nobody; the text keeps it, to be counted.
        assert "".join(deltas) == reply.text[:-1]

    @pytest.mark.parametrize(
        ("script", "usage"),
        [
            (stream(says("a"), ends(), DONE), None),
            (stream(says("a"), ends(), counts(0, 0), DONE), None),
            (stream(says("a"), ends(), counts(None, "7"), DONE), None),
            (stream(says("a"), ends(), counts(7, None), DONE), ReportedUsage(7, None)),
            (stream(says("a"), ends(), event(usage=[1]), DONE), None),
            (stream(says("a"), ends(), counts(5, 1), counts(0, 0), DONE), ReportedUsage(5, 1)),
        ],
    )
    async def test_usage_is_what_was_reported_or_none(
        self, script: Script, usage: ReportedUsage | None
    ) -> None:
        reply, _ = await ask(script)
        assert isinstance(reply, GatewayReply)
        assert reply.usage == usage

    async def test_shapes_that_nobody_promised_are_passed_over(self) -> None:
        reply, _ = await ask(
            stream(
                event(choices=None),
                event(choices=[{"index": 0}]),
                event(choices=[{"index": 0, "delta": None}]),
                event(choices=[{"index": 1, "delta": {"content": "of another choice"}}]),
                event(choices=[{"delta": {"reasoning_content": "hm", "content": None}}]),
                says([{"type": "image_url"}, 7]),
                says(""),
                says("Fine."),
                "data: 42\n\n",
                'data: "a text"\n\n',
                "data: [1]\n\n",
                "event: ping\ndata: {}\n\n",
                ends(),
                DONE,
            )
        )
        assert isinstance(reply, GatewayReply)
        assert reply.text == "Fine."

    async def test_a_finish_reason_is_believed_when_nothing_follows(self) -> None:
        deltas: list[str] = []
        silence = [head(), chunked(says("Done.") + ends()), Hangs()]
        with anyio.fail_after(5):
            reply, _ = await ask(silence, deltas=deltas, idle_timeout_seconds=0.1)
        assert reply == GatewayReply("Done.", "stop", "model-a", None)
        whole_answer = [head(), chunked(says("Done.") + ends() + DONE)]
        for tail in ([Drops()], [chunked("data: {broken\n\n")], [chunked(says("too late")), END]):
            reply, _ = await ask([*whole_answer, *tail])
            assert reply == GatewayReply("Done.", "stop", "model-a", None)

    async def test_a_bug_of_the_listener_is_not_a_fault_of_the_gateway(self) -> None:
        def explode(_: str) -> None:
            raise ValueError("a bug")

        async with wire_peer([*GOOD[:2], Hangs()]) as peer:
            gateway = OpenAICompatible(base_url=peer.base_url)
            with pytest.raises(ValueError, match="a bug"):
                await gateway.complete(request(), explode)
            with anyio.fail_after(1):
                await peer.left.wait()
            await gateway.aclose()


class TestOddAnswers:
    @pytest.mark.parametrize(
        ("script", "text"),
        [
            (stream(says("Done."), ends(), "data: {broken\n\n"), "Done."),
            (stream(says("Done."), ends(), "data: [Done]\n\n"), "Done."),
            (stream(says("Done."), ends(), "data: [END]\n\n"), "Done."),
            (stream(event(choices=[{"index": 1, "delta": {"content": "One."}}]), DONE), "One."),
            (stream(event(choices=[{"index": "0", "delta": {"content": "Two."}}]), DONE), "Two."),
            (
                [
                    head(),
                    *map(
                        chunked, (says("A "), b'data: {"choices":[{"delta":{"content":"\xffb"}}]}')
                    ),
                    chunked("\n\n" + ends() + DONE),
                    END,
                ],
                "A \ufffdb",
            ),
            (
                stream('data: {"choices":[{"delta":{"content":"a\tb"}}]}\n\n', ends(), DONE),
                "a\tb",
            ),
        ],
    )
    async def test_what_can_be_read_is_kept(self, script: Script, text: str) -> None:
        reply, _ = await ask(script)
        assert isinstance(reply, GatewayReply)
        assert reply.text == text

    @pytest.mark.parametrize(
        "opening",
        [
            event(choices=[{"delta": {"refusal": "I will not "}}]),
            event(choices=[{"delta": {"tool_calls": [{"function": {"arguments": "{"}}]}}]),
            event(choices=[{"delta": {}}, {"index": 1, "delta": {"content": "Other."}}]),
            event(choices=[{"delta": {"thinking_content": "Hm."}}]),
        ],
    )
    async def test_whatever_was_written_before_an_error_has_cost_something(
        self, opening: str
    ) -> None:
        fault, _ = await ask(stream(opening, event(error={"message": "gone", "code": 502})))
        assert isinstance(fault, Unavailable)
        assert fault.tokens_seen
        assert not fault.is_unreachable

    async def test_a_text_in_the_piece_of_its_error_has_cost_something(self) -> None:
        error = {"message": "gone", "code": 502}
        fault, _ = await ask(stream(says("word " * 200, error=error)))
        assert isinstance(fault, Unavailable)
        assert fault.tokens_seen > 100

    async def test_a_malformed_piece_is_not_quoted(self) -> None:
        piece = 'data: {"choices":[{"delta":{"reasoning":"SECRET\n\n'
        fault, _ = await ask(stream(says("Half a"), piece, ends()))
        assert isinstance(fault, Truncated)
        assert "SECRET" not in fault.detail


class TestBrokenAnswers:
    @pytest.mark.parametrize(
        ("script", "kind", "words"),
        [
            (stream(says("Half a")), Truncated, "finish reason"),
            (stream(says("Half a"), ends(None)), Truncated, "finish reason"),
            (stream(says("Half a"), ends(), says("more")), Truncated, "finish reason"),
            ([head(), chunked(says("Done.") + ends()), Drops()], Truncated, "broke off"),
            (stream(says("Half a"), "data: {broken\n\n", ends()), Truncated, "JSON"),
            (stream(DONE), Empty, "without text"),
            ([head(), END], Truncated, "finish reason"),
            ([head(), chunked(says("Half a")), Drops()], Truncated, "broke off"),
            ([head(), Drops()], Truncated, "broke off"),
            ([head(), chunked(says("Half a")), b"zz\r\n"], Truncated, "broke off"),
            (
                [head(), chunked(says("Half a")), chunked(b'data: "\xff"\n\n'), END],
                Truncated,
                "finish reason",
            ),
            (stream(says("Half a"), ends("error")), Truncated, "error"),
            (stream(says("Half a"), ends("content_filter")), Refused, "filter"),
            (
                stream(event(choices=[{"delta": {"refusal": "I will not."}}]), ends()),
                Refused,
                "not",
            ),
            (stream(ends(), DONE), Empty, "without text"),
            (stream(says(" \n"), ends(), DONE), Empty, "without text"),
            (stream(ends("length"), DONE), Empty, "cap of 100"),
            (stream(ends("tool_calls"), DONE), Empty, "tool_calls"),
            (whole("200 OK", "<html>", content_type="text/html"), Rejected, "text/html"),
            (whole("200 OK", '{"choices": []}'), Rejected, "application/json"),
            ([Drops()], Unavailable, "no answer"),
            ([b"HTTP/1.1 200", Drops()], Unavailable, "no answer"),
            ([b"220 mail.example.org ESMTP\r\n\r\n"], Unavailable, "no answer"),
        ],
    )
    async def test_an_answer_that_is_none_is_one_fault(
        self, script: Script, kind: type[GatewayFault], words: str
    ) -> None:
        fault, peer = await ask(script)
        assert type(fault) is kind
        assert isinstance(fault, GatewayFault)
        assert words in fault.detail
        assert "127.0.0.1" in fault.detail
        assert fault.reached
        assert len(peer.asked) == 1

    @pytest.mark.parametrize("tail", [[Drops()], [chunked("data: {\n\n")], [END]])
    async def test_what_was_reported_before_it_broke_off_is_kept(self, tail: Script) -> None:
        usage = {"prompt_tokens": 9, "completion_tokens": 1}
        fault, _ = await ask([head(), chunked(says("Half", usage=usage)), *tail])
        assert isinstance(fault, Truncated)
        assert fault.usage == ReportedUsage(9, 1)

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            ({"message": "slow down", "code": "rate_limit_exceeded"}, RateLimited),
            ({"message": "slow down", "code": 429}, RateLimited),
            ({"message": "bad gateway", "code": 502}, Unavailable),
            ({"message": "oops", "type": "server_error"}, Unavailable),
            ({"message": "pay", "type": "insufficient_quota", "code": None}, Rejected),
            ({"message": "x", "code": "context_length_exceeded"}, ContextTooLong),
            ({"message": "x", "code": "content_filter"}, Refused),
            ({"message": "something else"}, Truncated),
            ("a bare text", Truncated),
            ({"code": {"odd": "shape"}}, Truncated),
        ],
    )
    async def test_an_error_inside_the_stream(self, error: Any, kind: type[GatewayFault]) -> None:
        usage = {"prompt_tokens": 9, "completion_tokens": 1}
        fault, _ = await ask(stream(says("Half", usage=usage), event(error=error), DONE))
        assert isinstance(fault, kind)
        assert fault.usage == ReportedUsage(9, 1)


class TestRefusals:
    async def test_a_date_to_come_back_at_is_read(self) -> None:
        headers = {"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}
        fault, _ = await ask(refusal("429 Too Many Requests", {"message": "slow"}, **headers))
        assert isinstance(fault, RateLimited)
        assert fault.retry_after_seconds == 0.0

    async def test_a_redirect_is_not_followed(self) -> None:
        fault, peer = await ask(whole("307 Moved", "", location="http://127.0.0.1:1/v1"))
        assert isinstance(fault, Rejected)
        assert "base_url" in fault.detail
        assert len(peer.asked) == 1

    @pytest.mark.parametrize("body", ["", "<html>busy</html>", "[]", '"text"', "{}", "null"])
    async def test_a_refusal_without_the_usual_envelope(self, body: str) -> None:
        fault, _ = await ask(whole("503 Service Unavailable", body))
        assert isinstance(fault, Unavailable)
        assert "503" in fault.detail

    async def test_a_refusal_that_breaks_off(self) -> None:
        fault, _ = await ask([head("500 Oops", content_length="999"), b"{", Drops()])
        assert isinstance(fault, Unavailable)

    async def test_an_error_text_is_made_one_bounded_line(self) -> None:
        message = "first\nsecond\x1b[31m\u2028third\x00 " + "long " * 5_000
        fault, _ = await ask(refusal("400 Bad Request", {"message": message}))
        assert isinstance(fault, Rejected)
        assert fault.detail.isprintable()
        assert "first second [31m third long" in fault.detail
        assert len(fault.detail) == 500

    async def test_secrets_never_leave(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        echo = {"message": f"bad key {KEY}, header Bearer {KEY}, team {KEY[::-1]}", "code": KEY}
        for script in (refusal("401 Unauthorized", echo), stream(event(error=echo))):
            fault, _ = await ask(script, headers={"X-Token": KEY[::-1]})
            assert isinstance(fault, GatewayFault)
            logged = "".join(traceback.format_exception(fault)) + repr(fault) + caplog.text
            assert "[secret]" in fault.detail
            assert KEY not in logged
            assert KEY[::-1] not in logged


class TestTime:
    @pytest.mark.parametrize(
        "script",
        [
            [Hangs()],
            [b"HTTP/1.1 200 OK\r\n", Hangs()],
            [head(), Hangs()],
            [head(), chunked(": still there\n\n"), Hangs()],
            [head(), chunked(says("Half")), Hangs()],
        ],
    )
    async def test_the_deadline_covers_the_whole_call(self, script: Script) -> None:
        async with wire_peer(script) as peer:
            gateway = OpenAICompatible(base_url=peer.base_url)
            with anyio.fail_after(2), pytest.raises(TimedOut, match=r"within 0\.2 s") as caught:
                await gateway.complete(request(timeout_seconds=0.2), ignore)
            assert caught.value.reached
            with anyio.fail_after(1):
                await peer.left.wait()
            await gateway.aclose()

    @pytest.mark.parametrize("piece", [says(""), ": still there\n\n", ends(None)])
    async def test_a_stream_of_nothing_is_too_slow_to_begin(self, piece: str) -> None:
        with anyio.fail_after(2):
            fault, _ = await ask([head(), Repeats(chunked(piece))], first_token_timeout_seconds=0.2)
        assert isinstance(fault, TimedOut)
        assert "too slow to begin" in fault.detail

    async def test_first_token_and_idle_have_deadlines_of_their_own(self) -> None:
        with anyio.fail_after(5):
            fault, _ = await ask([head(), Hangs()], first_token_timeout_seconds=0.1)
            assert isinstance(fault, TimedOut)
            assert "too slow to begin" in fault.detail
            fault, _ = await ask(
                [head(), chunked(says("Half")), Hangs()],
                first_token_timeout_seconds=5.0,
                idle_timeout_seconds=0.1,
            )
            assert isinstance(fault, TimedOut)
            assert "stalled" in fault.detail

    async def test_a_call_that_waits_for_a_connection_has_sent_nothing(self) -> None:
        async with wire_peer([Hangs()]) as peer:
            gateway = OpenAICompatible(base_url=peer.base_url, max_connections=1)
            async with anyio.create_task_group() as calls:
                calls.start_soon(gateway.complete, request(), ignore)
                await peer.arrived.wait()
                with pytest.raises(TimedOut) as caught:
                    await gateway.complete(request(2, timeout_seconds=0.1), ignore)
                assert not caught.value.reached
                calls.cancel_scope.cancel()
            await gateway.aclose()
        assert len(peer.asked) == 1

    @pytest.mark.parametrize("how", ["task", "scope"])
    async def test_a_cancelled_call_leaves_its_connection(self, how: str) -> None:
        async with wire_peer([head(), chunked(says("Half")), Hangs()], GOOD) as peer:
            gateway = OpenAICompatible(base_url=peer.base_url, max_connections=1)
            assert await seconds_to_cancel(gateway, how) < 1.0
            with anyio.fail_after(1):
                await peer.left.wait()
            # With one connection allowed, a leaked one would leave the next call waiting.
            reply = await gateway.complete(request(timeout_seconds=2), ignore)
            await gateway.aclose()
        assert reply.text == "All good."


class TestNotReached:
    async def test_a_server_that_is_not_there(self) -> None:
        async with wire_peer() as peer:
            base_url = peer.base_url
        gateway = OpenAICompatible(base_url=base_url)
        with pytest.raises(Unavailable, match="cannot reach") as caught:
            await gateway.complete(request(), ignore)
        assert not caught.value.reached
        await gateway.aclose()

    async def test_a_call_without_a_model(self) -> None:
        fault, peer = await ask(GOOD, request(model=""))
        assert isinstance(fault, Rejected)
        assert not fault.reached
        assert peer.asked == []

    async def test_a_text_that_cannot_be_written_down(self) -> None:
        fault, peer = await ask(GOOD, request(messages=(Message("user", "\ud800"),)))
        assert isinstance(fault, Rejected)
        assert not fault.reached
        assert "surrogates" in fault.detail
        assert peer.asked == []

    async def test_a_closed_gateway(self) -> None:
        gateway = OpenAICompatible(base_url="http://127.0.0.1:1/v1")
        await gateway.aclose()
        with pytest.raises(Unavailable, match="closed") as caught:
            await gateway.complete(request(), ignore)
        assert not caught.value.reached


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"base_url": "localhost:8000"}, "base_url"),
            ({"base_url": "ftp://example.org/v1"}, "base_url"),
            ({"base_url": "http:///v1"}, "base_url"),
            ({"base_url": "http://h:99999/v1"}, "base_url"),
            ({"base_url": "http://h/v1\n"}, "base_url"),
            ({"api_key": "sk-one\nsk-two"}, "api_key"),
            ({"api_key": "sk-“quoted”"}, "api_key"),
            ({"headers": {"X-Token": "a\r\nHost: evil"}}, "X-Token"),
            ({"extra_body": {"max_tokens": 5, "n": 3}}, "max_tokens, n"),
        ],
    )
    def test_what_can_never_work_is_refused_at_once(
        self, settings: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ValueError, match=words) as caught:
            OpenAICompatible(**{"base_url": "http://127.0.0.1:1/v1"} | settings)
        assert "sk-" not in str(caught.value)

    def test_the_key_is_not_shown(self) -> None:
        gateway = OpenAICompatible(base_url="http://127.0.0.1:1/v1", api_key=KEY)
        assert KEY not in repr(gateway)

    async def test_credentials_in_the_address_are_not_shown(self) -> None:
        gateway = OpenAICompatible(base_url="http://me:pass-word-1@127.0.0.1:1/v1")
        with pytest.raises(Unavailable) as caught:
            await gateway.complete(request(), ignore)
        assert "pass-word-1" not in caught.value.detail
        assert "me:" not in caught.value.detail
        await gateway.aclose()

    def test_importing_the_module_does_not_import_the_sdk(self) -> None:
        code = (
            "import sys, json, meeting_service.gateways.openai_compatible;"
            "print(json.dumps([m for m in ('openai', 'httpx2', 'pydantic') if m in sys.modules]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == []
