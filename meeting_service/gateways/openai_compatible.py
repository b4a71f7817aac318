"""Adapter to any server that speaks OpenAI's streaming chat completions."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

import anyio
from msgspec.structs import replace

from meeting_service.gateways.openai_answer import (
    Answer,
    error_in_response,
    error_in_stream,
    reply_of,
)
from meeting_service.gateways.pace import Pace
from meeting_service.gateways.provider_faults import (
    ProviderError,
    checked_header,
    fault_of,
    one_line,
    place_of,
    secrets_in,
)
from meeting_service.ports import (
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    Rejected,
    TimedOut,
    Truncated,
    Unavailable,
)

# Importing the SDK takes most of a second, which a command that calls no model must not pay.
if TYPE_CHECKING:
    import httpx2
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk

MaxTokensField: TypeAlias = Literal["max_completion_tokens", "max_tokens"]

PLACEHOLDER_KEY = "not-needed"
_OWN_FIELDS = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "stream",
        "stream_options",
    }
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class OpenAICompatible:
    """Adapter to one server that speaks OpenAI's streaming chat completions.

    Units: seconds and connections. `model` is used when a request names none. `api_key` may stay
    empty for servers that ask for none. `extra_body` adds fields to every request.
    Raises: `ValueError` when an argument can never work.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str = "",
        model: str = "",
        max_tokens_field: MaxTokensField = "max_completion_tokens",
        stream_options: bool = True,
        extra_body: Mapping[str, Any] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        call_key_in_metadata: bool = False,
        connect_timeout_seconds: float = 10.0,
        first_token_timeout_seconds: float | None = None,
        idle_timeout_seconds: float | None = None,
        max_connections: int = 256,
    ) -> None:
        self._place = place_of(base_url)
        self._model = model
        self._max_tokens_field = max_tokens_field
        self._stream_options = stream_options
        self._extra_body = _checked_body(extra_body)
        self._call_key_in_metadata = call_key_in_metadata
        self._first_token_seconds = first_token_timeout_seconds
        self._idle_seconds = idle_timeout_seconds
        self._secrets = secrets_in(api_key, headers, base_url)
        checked_header("api_key", api_key)
        for name, value in headers.items():
            checked_header(f"header {name!r}", value)

        import httpx2
        import openai

        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or PLACEHOLDER_KEY,
            max_retries=0,
            default_headers=dict(headers),
            http_client=httpx2.AsyncClient(
                timeout=httpx2.Timeout(None, connect=connect_timeout_seconds),
                limits=httpx2.Limits(
                    max_connections=max_connections,
                    max_keepalive_connections=max(1, max_connections // 4),
                    keepalive_expiry=15.0,
                ),
                # Following would make two requests of one call, and send the key elsewhere.
                follow_redirects=False,
                event_hooks={"request": [_watch_sending]},
            ),
        )
        # The SDK takes these from the environment, for whatever server it is pointed at.
        self._client.organization = None
        self._client.project = None

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call, telling `on_delta` the text as it comes.

        Raises: a `GatewayFault`, and nothing else; one call is one request to the provider.
        """
        request = self._checked(request)
        answer = Answer()
        token = _sending.set(answer)
        try:
            with anyio.move_on_after(request.timeout_seconds) as clock:
                pace = Pace(clock, self._first_token_seconds, self._idle_seconds)
                async with aclosing(self._texts(request, answer, pace)) as texts:
                    async for text in texts:
                        on_delta(text)
        finally:
            _sending.reset(token)
        if clock.cancelled_caught and not answer.finish_reason:
            raise TimedOut(
                f"{self._place} {pace.missed(request.timeout_seconds)}"
                f" ({len(answer.text)} characters had come)",
                usage=answer.usage,
                reached=answer.is_sent,
            )
        return reply_of(answer, request, source=self._place, secrets=self._secrets)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._client.close()

    def _checked(self, request: GatewayRequest) -> GatewayRequest:
        model = request.model or self._model
        if not model:
            raise Rejected(
                f"no model is named for {self._place}; set one for the agent or the gateway",
                reached=False,
            )
        if self._client.is_closed():
            raise Unavailable(f"the gateway to {self._place} is closed", reached=False)
        return replace(request, model=model)

    async def _texts(
        self, request: GatewayRequest, answer: Answer, pace: Pace
    ) -> AsyncGenerator[str]:
        import httpx2
        import openai

        failures = (
            openai.OpenAIError,
            httpx2.HTTPError,
            httpx2.StreamError,
            OSError,
            ValueError,
        )
        stream: AsyncStream[ChatCompletionChunk] | None = None
        try:
            stream = await self._open(request)
            answer.opened(stream.response)
            while (chunk := await anext(stream, None)) is not None:
                text = answer.take(chunk)
                pace.advance(is_finished=bool(answer.finish_reason))
                if text:
                    yield text
        except failures as error:
            # What follows a finish reason cannot make the answer any less complete.
            if not answer.finish_reason:
                # Not chained: a provider may repeat the key in its message.
                raise self._fault(error, answer) from None
        finally:
            if stream is not None:
                with anyio.CancelScope(shield=True):
                    await stream.close()

    async def _open(self, request: GatewayRequest) -> "AsyncStream[ChatCompletionChunk]":
        import openai

        body = {self._max_tokens_field: request.output_tokens, **self._extra_body}
        if self._call_key_in_metadata:
            body["metadata"] = {**body.get("metadata", {}), "call_key": request.call_key}
        return await self._client.chat.completions.create(
            model=request.model,
            messages=[
                {"role": "system", "content": message.content}
                if message.role == "system"
                else {"role": "user", "content": message.content}
                for message in request.messages
            ],
            stream=True,
            stream_options={"include_usage": True} if self._stream_options else openai.omit,
            extra_headers={"Idempotency-Key": quote(request.call_key, safe="/:@")},
            extra_body=body,
        )

    def _fault(self, error: Exception, answer: Answer) -> GatewayFault:
        import openai

        match error:
            case openai.APIStatusError():
                return self._provider_fault(error_in_response(error), answer)
            case openai.APIConnectionError():
                return self._connection_fault(error.__cause__ or error, answer)
            case openai.APIError():
                return self._provider_fault(error_in_stream(error.body), answer)
            case _:
                return self._connection_fault(error, answer)

    def _provider_fault(self, error: ProviderError, answer: Answer) -> GatewayFault:
        return fault_of(
            error,
            source=self._place,
            secrets=self._secrets,
            now=datetime.now(UTC),
            usage=answer.usage,
        )

    def _connection_fault(self, error: BaseException, answer: Answer) -> GatewayFault:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        if answer.is_open:
            return Truncated(
                one_line(f"{self._place} broke off the answer: {reason}", self._secrets),
                usage=answer.usage,
            )
        if answer.is_sent:
            return Unavailable(one_line(f"{self._place} gave no answer: {reason}", self._secrets))
        if isinstance(error, ValueError):
            # The request could not even be written down; the next try would fail as this one.
            return Rejected(
                one_line(f"cannot ask {self._place}: {reason}", self._secrets), reached=False
            )
        return Unavailable(
            one_line(f"cannot reach {self._place}: {reason}", self._secrets), reached=False
        )


_sending: ContextVar[Answer] = ContextVar("_sending")


async def _watch_sending(request: "httpx2.Request") -> None:
    request.extensions["trace"] = _sending.get().trace


def _checked_body(extra_body: Mapping[str, Any]) -> dict[str, Any]:
    if taken := sorted(_OWN_FIELDS & extra_body.keys()):
        raise ValueError(f"extra_body may not set {', '.join(taken)}: the gateway does")
    return dict(extra_body)
