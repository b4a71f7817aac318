"""Adapter to Anthropic's streaming messages."""

from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from meeting_core.model import ReportedUsage
from meeting_service.event_stream import ServerSentEvent
from meeting_service.gateways.answer_body import Said, lenient_json, words_in
from meeting_service.gateways.provider_errors import error_in, is_error
from meeting_service.gateways.reported_counts import cached_tokens_in, usage_in
from meeting_service.gateways.request_forms import RequestForm
from meeting_service.gateways.stream_accumulator import Answer
from meeting_service.gateways.streaming import StreamingGateway
from meeting_service.ports import GatewayRequest

ANTHROPIC_URL = "https://api.anthropic.com"
ANTHROPIC_VERSION = "2023-06-01"

_FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}
_TYPES = frozenset(
    {
        *("message_start", "message_delta", "message_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
    }
)


class _Event(Struct):
    """What is read of one event. Any value may stand anywhere: servers differ."""

    type: Any = None
    delta: Any = None
    content_block: Any = None
    message: Any = None
    usage: Any = None


_EVENTS = msgspec.json.Decoder(_Event)


class Anthropic(StreamingGateway):
    """Adapter to Anthropic's messages, or a server that speaks them.

    Finish reasons are given in OpenAI's words, as everywhere else.
    Raises: `ValueError` when an argument can never work.
    """

    own_fields: ClassVar = frozenset({"max_tokens", "messages", "model", "stream", "system"})

    def __init__(self, *, base_url: str = ANTHROPIC_URL, **settings: Any) -> None:
        super().__init__(base_url=base_url, **settings)

    def _own_headers(self, api_key: str, auth_header: str) -> dict[str, str]:
        name = auth_header.lower() or "x-api-key"
        key = f"Bearer {api_key}" if name == "authorization" else api_key
        return {"anthropic-version": ANTHROPIC_VERSION, **({name: key} if api_key else {})}

    def _path(self, resource: Literal["answer", "models"]) -> str:
        return "/v1/messages" if resource == "answer" else "/v1/models"

    def _body(self, request: GatewayRequest, form: RequestForm) -> dict[str, Any]:
        system = "\n\n".join(each.content for each in request.messages if each.role == "system")
        return {
            "model": request.model,
            "max_tokens": request.output_tokens,
            **({"system": system} if system else {}),
            "messages": [
                {"role": "user", "content": each.content}
                for each in request.messages
                if each.role == "user"
            ],
            "stream": True,
        }

    def _take(self, answer: Answer, event: ServerSentEvent) -> str:
        try:
            taken = _EVENTS.decode(event.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            body = lenient_json(event.data)
            if not isinstance(body, dict):
                _take_words(answer, event)
                return ""
            taken = msgspec.convert(body, _Event)
        answer.is_understood = answer.is_understood or taken.type in _TYPES
        match taken.type:
            case "message_start":
                self._begin(answer, taken.message)
                if answer.usage is not None:
                    # What it counts as written so far is no report yet.
                    answer.usage = ReportedUsage(answer.usage.prompt_tokens)
            case "content_block_start":
                return _take_block(answer, taken.content_block)
            case "content_block_delta":
                return _take_block(answer, taken.delta)
            case "message_delta":
                delta = taken.delta if isinstance(taken.delta, dict) else {}
                answer.usage = _usage(taken.usage, answer.usage)
                answer.add("", finish_reason=_reason(delta.get("stop_reason")))
            case "message_stop":
                answer.is_done = True
            case _:
                body = lenient_json(event.data)
                if is_error(body) or event.name == "error":
                    raise Said(error_in(body))
                # The protocol asks clients to pass over events they do not know.
        return ""

    def _take_whole(self, answer: Answer, body: dict[str, Any]) -> str:
        if body.get("type") != "message":
            return ""
        answer.is_understood = True
        self._begin(answer, body)
        content = body.get("content")
        blocks = content if isinstance(content, list) else []
        text = "".join([_take_block(answer, each) for each in blocks])
        answer.add("", finish_reason=_reason(body.get("stop_reason")))
        return text

    def _begin(self, answer: Answer, message: object) -> None:
        if isinstance(message, dict):
            if isinstance(model := message.get("model"), str):
                answer.model = model
            answer.usage = _usage(message.get("usage"), answer.usage)


def _take_words(answer: Answer, event: ServerSentEvent) -> None:
    """Take an event that is no JSON."""
    text = event.data.decode("utf-8", "replace").strip()
    if event.name == "error":
        raise Said(error_in(text))
    if text == "[DONE]":
        # OpenAI's way to end a stream, as bridges to this API may have it.
        answer.is_done = True
    else:
        answer.remark = words_in(event.data)


def _take_block(answer: Answer, block: object) -> str:
    if not isinstance(block, dict):
        return ""
    text, thought = block.get("text"), block.get("thinking")
    return answer.add(
        text if isinstance(text, str) else "", thought=thought if isinstance(thought, str) else ""
    )


def _reason(reason: object) -> str:
    return _FINISH_REASONS.get(reason, reason) if isinstance(reason, str) else ""


def _usage(reported: object, before: ReportedUsage | None) -> ReportedUsage | None:
    """Return a usage, the whole prompt counted: Anthropic reports what its cache held apart.

    The closing report counts what was written, and often not the prompt, which the opening did.
    """
    usage = usage_in(reported)
    if usage is None or not isinstance(reported, dict):
        return before
    prompt = (usage.prompt_tokens or 0) + cached_tokens_in(reported)
    if not prompt and before is not None:
        prompt = before.prompt_tokens or 0
    return ReportedUsage(prompt, usage.completion_tokens, None, usage.reasoning_tokens)
