"""One streamed call to a model server: the request, what comes of it, its deadlines, its failures.

Long because one call is told here from its request to its end. What a server's API looks like is an
adapter's business: `_body`, `_take` and the addresses.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias

import anyio
from msgspec.structs import replace

from meeting_service.event_stream import EventTooLong, ServerSentEvent
from meeting_service.gateways.answer_body import (
    AnswerBody,
    Malformed,
    Said,
    json_or_text,
    plain_words,
)
from meeting_service.gateways.answer_verdict import reply_of
from meeting_service.gateways.body_decoder import BodyTooLong
from meeting_service.gateways.delta_listener import ListenerFailed, notify
from meeting_service.gateways.model_server import ModelServer, connection_failures
from meeting_service.gateways.provider_errors import ProviderError, error_in, is_error
from meeting_service.gateways.redaction import checked_header, secrets_in
from meeting_service.gateways.request_forms import RequestForm
from meeting_service.gateways.stream_accumulator import Answer
from meeting_service.gateways.stream_timeouts import StreamTimeouts
from meeting_service.ports import (
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    Rejected,
    TimedOut,
    Unavailable,
)

Reasoning: TypeAlias = Literal["drop", "keep"]

PROBE_SECONDS = 4.0
BODY_BYTES_PER_REPLY_BYTE = 256
"""Each few letters of a streamed reply come in an envelope of a few hundred bytes."""

MIN_ANSWERS_IN_THOUGHT = 2
"""As many answers in a row that begin in a thought are no chance: the model's prompt opens it."""

NO_FIELDS: Mapping[str, Any] = MappingProxyType({})
NO_TEXTS: Mapping[str, str] = MappingProxyType({})


class StreamingGateway(ABC):
    """A gateway to a model server over HTTP.

    Units: seconds and connections. `model` is used if a request names no model. `api_key` may stay
    empty for servers that need no key; `auth_header` names the header that takes it. `query` is
    added to every address. Raises: `ValueError` when an argument can never work.
    """

    own_fields: ClassVar[frozenset[str]]
    """The fields of a request's body that are the gateway's own to set."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str = "",
        model: str = "",
        extra_body: Mapping[str, Any] = NO_FIELDS,
        headers: Mapping[str, str] = NO_TEXTS,
        query: Mapping[str, str] = NO_TEXTS,
        auth_header: str = "",
        ca_file: Path | None = None,
        proxy: str | None = None,
        reasoning: Reasoning = "drop",
        prompt_opens_thought: bool = False,
        connect_timeout_seconds: float = 10.0,
        first_token_timeout_seconds: float | None = None,
        idle_timeout_seconds: float | None = None,
        max_connections: int = 256,
    ) -> None:
        if taken := sorted(self.own_fields & extra_body.keys()):
            raise ValueError(f"extra_body may not set {', '.join(taken)}: the gateway does")
        checked_header("api_key", api_key, name=auth_header or "authorization")
        for name, value in headers.items():
            checked_header(f"header {name!r}", value, name=name)
        set_headers = {name.lower(): value for name, value in headers.items()}
        self._server = ModelServer(
            base_url,
            # What is set goes before what we would send, however its name is spelt.
            headers={**self._own_headers(api_key, auth_header), **set_headers},
            query=query,
            secrets=secrets_in(api_key, headers, base_url, query),
            connect_timeout_seconds=connect_timeout_seconds,
            max_connections=max_connections,
            ca_file=ca_file,
            proxy=proxy,
        )
        self._model = model
        self._extra_body = dict(extra_body)
        self._keeps_thought = reasoning == "keep"
        self._needs_finish_reason = False
        self._prompt_opens_thought = prompt_opens_thought
        self._first_token_seconds = first_token_timeout_seconds
        self._idle_seconds = idle_timeout_seconds
        # How many of a model's latest answers had only the end of a thought: its prompt begins it.
        self._answers_in_thought: dict[str, int] = {}

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call, and pass the text to `on_delta` as it comes.

        Raises: a `GatewayFault`, and nothing else; one call is one request to the provider.
        """
        request = self._checked(request)
        answer = Answer(
            request.output_tokens,
            request.max_reply_bytes,
            begins_in_thought=self._prompt_opens_thought,
            may_begin_in_thought=self._answers_in_thought.get(request.model, 0)
            >= MIN_ANSWERS_IN_THOUGHT,
        )
        timeouts = StreamTimeouts(
            request.timeout_seconds, self._first_token_seconds, self._idle_seconds
        )
        with timeouts:
            await self._converse(request, answer, timeouts, on_delta)
        if text := answer.end():
            on_delta(text)
        if answer.began_in_thought:
            answers = self._answers_in_thought.get(request.model, 0)
            self._answers_in_thought[request.model] = answers + 1
        elif answer.text:
            self._answers_in_thought.pop(request.model, None)
        if timeouts.missed and not answer.is_whole_in_silence:
            raise TimedOut(
                f"{self._server.place} {timeouts.missed} ({len(answer.text)} characters had come)",
                usage=answer.usage,
                reached=answer.is_sent,
                tokens_seen=answer.tokens_seen,
            )
        return self._reply(answer, request)

    async def probe(self) -> None:
        """Return when the provider answers anything for itself, be it a refusal.

        Raises: `Unavailable`, and nothing else.
        """
        self._check_open()
        with anyio.move_on_after(PROBE_SECONDS):
            try:
                await self._server.visit(self._path("models"))
            except Said as said:
                fault = self._server.fault_said(said.error, Answer())
            except connection_failures() as error:
                fault = self._server.fault_met(error, Answer())
            else:
                return
            if fault.is_unreachable:
                raise fault
            return
        detail = f"{self._server.place} gave no answer to a probe within {PROBE_SECONDS:g} s"
        raise Unavailable(detail, reached=False, is_unreachable=True)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._server.aclose()

    @abstractmethod
    def _own_headers(self, api_key: str, auth_header: str) -> dict[str, str]:
        """Return the headers that the API asks for; the key, if there is one, in `auth_header`."""

    @abstractmethod
    def _path(self, resource: Literal["answer", "models"]) -> str:
        """Return the path, below the base address, of an answer or of the list of models."""

    @abstractmethod
    def _body(self, request: GatewayRequest, form: RequestForm) -> dict[str, Any]:
        """Return the body of a request, without the fields that the settings add."""

    @abstractmethod
    def _take(self, answer: Answer, event: ServerSentEvent) -> str:
        """Take one event into the answer; return the text that it adds.

        Raises: `Malformed`, or `Said` if it is an error.
        """

    @abstractmethod
    def _take_whole(self, answer: Answer, body: dict[str, Any]) -> str:
        """Take an answer that came in one piece, as `_take` takes one of a stream."""

    def _form_for(self, model: str) -> RequestForm:
        """Return the form in which a model is asked at present."""
        return RequestForm()

    def _lesson(self, error: ProviderError, model: str, asked: RequestForm) -> GatewayFault | None:
        """Return the fault that makes the next request come in another form, if that may help."""
        return None

    def _reply(self, answer: Answer, request: GatewayRequest) -> GatewayReply:
        return reply_of(
            answer,
            request,
            source=self._server.place,
            secrets=self._server.secrets,
            keeps_thought=self._keeps_thought,
            needs_finish_reason=self._needs_finish_reason,
        )

    def _checked(self, request: GatewayRequest) -> GatewayRequest:
        model = request.model or self._model
        if not model:
            raise Rejected(
                f"no model is named for {self._server.place}; set one for the agent or the gateway",
                reached=False,
            )
        self._check_open()
        return replace(request, model=model)

    def _check_open(self) -> None:
        if self._server.is_closed:
            raise Unavailable(f"the gateway to {self._server.place} is closed", reached=False)

    async def _converse(
        self,
        request: GatewayRequest,
        answer: Answer,
        timeouts: StreamTimeouts,
        on_delta: Callable[[str], None],
    ) -> None:
        """Send a request; take its answer as it comes."""
        form = self._form_for(request.model)
        content = {**self._extra_body, **self._body(request, form)}
        max_bytes = BODY_BYTES_PER_REPLY_BYTE * request.max_reply_bytes
        asked = self._server.ask(self._path("answer"), content, request.call_key, answer, max_bytes)
        try:
            async with asked as body, aclosing(body.events()) as batches:
                pieces = 0
                async for events in batches:
                    text = self._taken(answer, events, body)
                    if answer.pieces > pieces:
                        pieces = answer.pieces
                        timeouts.advance()
                    if text:
                        notify(on_delta, text)
                    if answer.is_done or answer.is_over:
                        break
                if text := self._taken_at_end(answer, body.head):
                    notify(on_delta, text)
        except ListenerFailed as failed:
            raise failed.error from None
        except (BodyTooLong, EventTooLong):
            answer.is_over = True
        except Said as said:
            answer.end()
            # Not chained: a provider may repeat the key in its message.
            raise self._fault_said(said.error, answer, request.model, form) from None
        except connection_failures() as error:
            answer.end()
            raise self._server.fault_met(error, answer) from None

    def _fault_said(
        self, error: ProviderError, answer: Answer, model: str, form: RequestForm
    ) -> GatewayFault:
        lesson = None if answer.has_begun else self._lesson(error, model, form)
        return lesson or self._server.fault_said(error, answer, model)

    def _taken(self, answer: Answer, events: list[ServerSentEvent], body: AnswerBody) -> str:
        """Take events into the answer; return the text that they add."""
        text = ""
        for event in events:
            try:
                text += self._take(answer, event)
            except Malformed as error:
                if answer.finish_reason:
                    continue  # Whatever stands after a whole answer, it is not a piece of it.
                # Pretty-printed JSON, or a page of HTML, is no event stream at all: see the whole.
                body.malformed = error
            if answer.is_understood:
                body.head.clear()
                if body.malformed is not None:
                    raise body.malformed
            if answer.is_done or answer.is_over:
                break
        return text

    def _taken_at_end(self, answer: Answer, head: bytearray) -> str:
        """Take what only the end of an answer shows: that it is no stream, or ends in words."""
        is_whole = not (answer.is_understood or answer.is_over)
        text = self._taken_whole(answer, head) if is_whole else ""
        if answer.remark and not answer.finish_reason:
            raise Said(error_in(answer.remark))
        return text

    def _taken_whole(self, answer: Answer, head: bytearray) -> str:
        body = json_or_text(head)
        if is_error(body):
            raise Said(error_in(body))
        if isinstance(body, dict):
            return self._take_whole(answer, body)
        if answer.media_type != "text/html":
            answer.remark = answer.remark or plain_words(head)
        return ""
