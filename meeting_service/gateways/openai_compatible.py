"""Adapter to any server that speaks OpenAI's streaming chat completions."""

import logging
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from meeting_core.model import Message
from meeting_service.event_stream import ServerSentEvent
from meeting_service.gateways.answer_body import Said, lenient_json, words_in
from meeting_service.gateways.message_content import Delta, finish_reason_in, parts_in
from meeting_service.gateways.provider_errors import ProviderError, error_in, is_error
from meeting_service.gateways.redaction import MAX_DETAIL_CHARACTERS, one_line
from meeting_service.gateways.reported_counts import usage_in
from meeting_service.gateways.request_forms import MaxTokensField, RequestForm, lesson_in
from meeting_service.gateways.stream_accumulator import Answer
from meeting_service.gateways.streaming import StreamingGateway
from meeting_service.ports import GatewayFault, GatewayRequest, Unsupported

log = logging.getLogger(__name__)

_DONE = frozenset({b"[done]", b'"[done]"', b"done", b"[end]"})
_MAX_DONE_BYTES = 16


class _Choice(Struct, gc=False):
    index: Any = 0
    delta: Delta | None = None
    message: Delta | None = None
    text: Any = None
    finish_reason: Any = None
    usage: Any = None
    error: Any = None


class _Chunk(Struct, gc=False):
    """What is read of a piece of a stream. Any value may stand anywhere: servers differ."""

    choices: list[_Choice] | None = None
    model: Any = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None
    object: Any = None


_NOTHING = Delta()
_CHUNKS = msgspec.json.Decoder(_Chunk)


class OpenAICompatible(StreamingGateway):
    """Adapter to one server that speaks OpenAI's streaming chat completions.

    Shape: the form of a request is what the settings say until a server refuses it because it does
    not know a part of it; then the other form is kept for that model, as long as the process lives.
    `requires_finish_reason` is for servers whose stream may end early without saying so.
    Raises: `ValueError` when an argument can never work.
    """

    own_fields: ClassVar = frozenset(
        {
            *("max_completion_tokens", "max_tokens", "messages", "model", "n", "stream"),
            "stream_options",
        }
    )

    def __init__(
        self,
        *,
        max_tokens_field: MaxTokensField = "max_completion_tokens",
        stream_options: bool = True,
        system_role: bool = True,
        streaming: bool = True,
        requires_finish_reason: bool = False,
        call_key_in_metadata: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._form = RequestForm(max_tokens_field, stream_options, system_role, streaming)
        self._tried: dict[str, list[RequestForm]] = {}
        self._needs_finish_reason = requires_finish_reason
        self._call_key_in_metadata = call_key_in_metadata

    def _own_headers(self, api_key: str, auth_header: str) -> dict[str, str]:
        if not api_key:
            return {}
        if auth_header.lower() in {"", "authorization"}:
            return {"authorization": f"Bearer {api_key}"}
        return {auth_header.lower(): api_key}

    def _path(self, resource: Literal["answer", "models"]) -> str:
        return "/chat/completions" if resource == "answer" else "/models"

    def _body(self, request: GatewayRequest, form: RequestForm) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": _messages(request.messages, form),
            form.max_tokens_field: request.output_tokens,
            "stream": form.streams,
        }
        if form.stream_options and form.streams:
            body["stream_options"] = {"include_usage": True}
        if self._call_key_in_metadata:
            metadata = self._extra_body.get("metadata", {})
            body["metadata"] = {**metadata, "call_key": request.call_key}
        return body

    def _form_for(self, model: str) -> RequestForm:
        tried = self._tried.get(model)
        return tried[-1] if tried else self._form

    def _lesson(self, error: ProviderError, model: str, asked: RequestForm) -> GatewayFault | None:
        tried = self._tried.get(model, [self._form])
        if asked != tried[-1]:
            # A call beside this one has learnt it meanwhile.
            return self._unsupported(error) if lesson_in(error, asked, [asked]) else None
        lesson = lesson_in(error, asked, tried)
        if lesson is None:
            return None
        self._tried[model] = [*tried, lesson.form]
        log.warning(
            "%s does not take a part of the request for %s, and is asked in another form from now "
            "on; to save that call in each process, set %s for its gateway",
            self._server.place,
            one_line(model),
            lesson.setting,
        )
        return self._unsupported(error, f" (setting: {lesson.setting})")

    def _unsupported(self, error: ProviderError, setting: str = "") -> GatewayFault:
        answered = f"answered {error.status}" if error.status else "broke off with an error"
        detail = f"{self._server.place} {answered}: {error.message}"
        # The setting is said last, where a long message would cut it off.
        room = MAX_DETAIL_CHARACTERS - 60
        said = one_line(detail, self._server.secrets)[:room].rstrip()
        return Unsupported(f"{said}; asked in another form from now on{setting}")

    def _take(self, answer: Answer, event: ServerSentEvent) -> str:
        data = event.data
        if len(data) < _MAX_DONE_BYTES and data.strip().lower() in _DONE:
            answer.is_understood = answer.is_done = True
            return ""
        try:
            chunk = _CHUNKS.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._take_odd(answer, event)
        if chunk.error or event.name == "error" or (not chunk.choices and _is_odd(chunk)):
            return self._take_odd(answer, event)
        return self._take_chunk(answer, chunk)

    def _take_odd(self, answer: Answer, event: ServerSentEvent) -> str:
        """Take an event that is no chunk of an answer, or not only one."""
        body = lenient_json(event.data)
        if body is None and b"\n" in event.data and event.name != "error":
            # Some servers end their events by a single line end.
            lines = filter(None, event.data.splitlines())
            return "".join([self._take(answer, replace(event, data=line)) for line in lines])
        if body is None and event.name == "error":
            raise Said(error_in(event.data.decode("utf-8", "replace")))
        if body is None:
            answer.remark = words_in(event.data)
            return ""
        if is_error(body) or event.name == "error":
            if isinstance(body, dict) and body.get("choices"):
                # What came beside the error has cost something.
                self._take_whole(answer, body)
            raise Said(error_in(body))
        return self._take_whole(answer, body) if isinstance(body, dict) else ""

    def _take_whole(self, answer: Answer, body: dict[str, Any]) -> str:
        choices = body.get("choices")
        if isinstance(choices, list):
            choices = [_without_odd_parts(each) for each in choices if isinstance(each, dict)]
        try:
            return self._take_chunk(answer, msgspec.convert({**body, "choices": choices}, _Chunk))
        except msgspec.ValidationError:
            return ""

    def _take_chunk(self, answer: Answer, chunk: _Chunk) -> str:
        if isinstance(chunk.model, str) and chunk.model:
            answer.model = chunk.model
        if chunk.usage is not None:
            answer.usage = usage_in(chunk.usage, answer.usage)
        if isinstance(chunk.x_groq, dict):
            answer.usage = usage_in(chunk.x_groq.get("usage"), answer.usage)
        if not chunk.choices:
            return ""
        answer.is_understood = True
        text = ""
        for choice in chunk.choices:
            index = choice.index or 0
            if answer.choice is None:
                answer.choice = index
            if index == answer.choice:
                text += _take_choice(answer, choice)
            else:
                answer.has_output = True
        return text


def _take_choice(answer: Answer, choice: _Choice) -> str:
    if choice.error and is_error({"error": choice.error}):
        raise Said(error_in({"error": choice.error}))
    if choice.usage is not None:
        answer.usage = usage_in(choice.usage, answer.usage)
    reason = finish_reason_in(choice.finish_reason) if choice.finish_reason else ""
    said, take = choice.delta, answer.add
    if choice.message is not None and (said is None or said == _NOTHING):
        said, take = choice.message, answer.add_message
    if said is None:
        text = choice.text if isinstance(choice.text, str) else ""
        return answer.add(text, finish_reason=reason)
    text, thought = parts_in(said.content)
    if thoughts := said.thoughts:
        thought += "".join(parts_in(thoughts))
    if said.refusal or said.tool_calls or said.function_call:
        answer.has_output = True
    if isinstance(said.refusal, str):
        answer.add_refusal(said.refusal)
    return take(text, finish_reason=reason, thought=thought)


def _without_odd_parts(choice: dict[str, Any]) -> dict[str, Any]:
    """Return a choice without what is no object where one should be, such as PHP's empty list."""
    return {
        name: value
        for name, value in choice.items()
        if name not in {"delta", "message"} or isinstance(value, dict)
    }


def _messages(messages: tuple[Message, ...], form: RequestForm) -> list[dict[str, str]]:
    if form.system_role:
        return [{"role": each.role, "content": each.content} for each in messages]
    # Templates that know no system role mostly want the roles to alternate, too.
    whole = "\n\n".join(each.content for each in messages)
    return [{"role": "user", "content": whole}]


def _is_odd(chunk: _Chunk) -> bool:
    return chunk.object == "error" or (chunk.usage is None and chunk.x_groq is None)
