"""Adapter to any server that speaks OpenAI's streaming chat completions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from meeting_core.model import ReportedUsage
from meeting_service.gateways.provider_faults import ProviderError, error_in
from meeting_service.gateways.stream_accumulator import Answer, count_in, text_in
from meeting_service.gateways.streaming import (
    NO_FIELDS,
    NO_HEADERS,
    PLACEHOLDER_KEY,
    StreamingGateway,
    idempotency_headers,
)
from meeting_service.ports import GatewayRequest

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk

MaxTokensField: TypeAlias = Literal["max_completion_tokens", "max_tokens"]

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


class OpenAICompatible(StreamingGateway["ChatCompletionChunk"]):
    """Adapter to one server that speaks OpenAI's streaming chat completions.

    Units: seconds and connections. `model` is used if a request names no model. `api_key` may stay
    empty for servers that need no key. `extra_body` adds fields to every request.
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
        extra_body: Mapping[str, Any] = NO_FIELDS,
        headers: Mapping[str, str] = NO_HEADERS,
        call_key_in_metadata: bool = False,
        connect_timeout_seconds: float = 10.0,
        first_token_timeout_seconds: float | None = None,
        idle_timeout_seconds: float | None = None,
        max_connections: int = 256,
    ) -> None:
        super().__init__(
            base_url=base_url,
            api_key=api_key,
            model=model,
            headers=headers,
            connect_timeout_seconds=connect_timeout_seconds,
            first_token_timeout_seconds=first_token_timeout_seconds,
            idle_timeout_seconds=idle_timeout_seconds,
            max_connections=max_connections,
        )
        if taken := sorted(_OWN_FIELDS & extra_body.keys()):
            raise ValueError(f"extra_body may not set {', '.join(taken)}: the gateway does")
        self._max_tokens_field = max_tokens_field
        self._stream_options = stream_options
        self._extra_body = dict(extra_body)
        self._call_key_in_metadata = call_key_in_metadata

        import openai

        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or PLACEHOLDER_KEY,
            max_retries=0,
            default_headers=dict(headers),
            http_client=self._http,
        )
        # The SDK takes these from the environment, for any server.
        self._client.organization = None
        self._client.project = None

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
            extra_headers=idempotency_headers(request),
            extra_body=body,
        )

    async def _list_models(self) -> None:
        async with self._client.models.with_streaming_response.list():
            pass

    def _take(self, answer: Answer, chunk: Any) -> str:
        answer.model = text_in(getattr(chunk, "model", None)) or answer.model
        answer.usage = _usage(getattr(chunk, "usage", None)) or answer.usage
        for choice in getattr(chunk, "choices", None) or ():
            if (getattr(choice, "index", None) or 0) != 0:
                continue
            answer.finish_reason = (
                text_in(getattr(choice, "finish_reason", None)) or answer.finish_reason
            )
            delta = getattr(choice, "delta", None)
            answer.add_refusal(text_in(getattr(delta, "refusal", None)))
            return answer.add_text(text_in(getattr(delta, "content", None)))
        return ""

    def _failures(self) -> tuple[type[Exception], ...]:
        import openai

        return (openai.OpenAIError,)

    def _said(self, error: Exception) -> ProviderError | None:
        import openai

        match error:
            case openai.APIStatusError():
                return error_in(error.body, error.response)
            case openai.APIConnectionError():
                return None
            case openai.APIError():
                return error_in(error.body)
            case _:
                return None


def _usage(reported: object) -> ReportedUsage | None:
    """Return the reported usage; None if it does not count the prompt, which is never empty."""
    prompt = count_in(getattr(reported, "prompt_tokens", None))
    completion = count_in(getattr(reported, "completion_tokens", None))
    return ReportedUsage(prompt, completion) if prompt else None
