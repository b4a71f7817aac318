"""Adapter to Anthropic's streaming messages; needs the extra `ai-meetings[anthropic]`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    from anthropic import AsyncStream
    from anthropic.types import RawMessageStreamEvent

ANTHROPIC_URL = "https://api.anthropic.com"

_OWN_FIELDS = frozenset({"max_tokens", "messages", "model", "stream", "system"})
_FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}


class Anthropic(StreamingGateway["RawMessageStreamEvent"]):
    """Adapter to Anthropic's messages, or a server that speaks them.

    Units: seconds and connections. `model` is used if a request names no model. `extra_body` adds
    fields to every request. Finish reasons are given in OpenAI's words, as everywhere else.
    Raises: `ValueError` when an argument can never work; `ImportError` without the extra.
    """

    def __init__(
        self,
        *,
        api_key: str = "",
        base_url: str = ANTHROPIC_URL,
        model: str = "",
        extra_body: Mapping[str, Any] = NO_FIELDS,
        headers: Mapping[str, str] = NO_HEADERS,
        connect_timeout_seconds: float = 10.0,
        first_token_timeout_seconds: float | None = None,
        idle_timeout_seconds: float | None = None,
        max_connections: int = 256,
    ) -> None:
        try:
            import anthropic
        except ImportError:
            raise ImportError(
                "the anthropic gateway needs a package more: pip install 'ai-meetings[anthropic]'"
            ) from None
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
        self._extra_body = dict(extra_body)
        self._client = anthropic.AsyncAnthropic(
            base_url=base_url,
            api_key=api_key or PLACEHOLDER_KEY,
            max_retries=0,
            default_headers=dict(headers),
            http_client=self._http,
        )

    async def _open(self, request: GatewayRequest) -> "AsyncStream[RawMessageStreamEvent]":
        import anthropic

        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        return await self._client.messages.create(
            model=request.model,
            max_tokens=request.output_tokens,
            system=system or anthropic.omit,
            messages=[
                {"role": "user", "content": message.content}
                for message in request.messages
                if message.role == "user"
            ],
            stream=True,
            extra_headers=idempotency_headers(request),
            extra_body=self._extra_body,
        )

    async def _list_models(self) -> None:
        async with self._client.models.with_streaming_response.list():
            pass

    def _take(self, answer: Answer, chunk: Any) -> str:
        delta = getattr(chunk, "delta", None)
        match getattr(chunk, "type", None):
            case "message_start":
                message = getattr(chunk, "message", None)
                answer.model = text_in(getattr(message, "model", None))
                answer.prompt_tokens = _prompt_tokens(getattr(message, "usage", None))
            case "content_block_delta":
                return answer.add_text(text_in(getattr(delta, "text", None)))
            case "message_delta":
                reason = text_in(getattr(delta, "stop_reason", None))
                answer.finish_reason = _FINISH_REASONS.get(reason, reason)
                answer.usage = _usage(answer.prompt_tokens, getattr(chunk, "usage", None))
            case _:
                pass  # The protocol asks clients to pass over events they do not know.
        return ""

    def _failures(self) -> tuple[type[Exception], ...]:
        import anthropic

        return (anthropic.AnthropicError,)

    def _said(self, error: Exception) -> ProviderError | None:
        import anthropic

        match error:
            case anthropic.APIStatusError():
                return error_in(error.body, error.response)
            case _:
                return None


def _prompt_tokens(usage: object) -> int:
    """Count the whole prompt: Anthropic reports what its cache held apart."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(count_in(getattr(usage, name, None)) for name in names)


def _usage(prompt_tokens: int, reported: object) -> ReportedUsage | None:
    """Return the usage of the closing report; None if only the opening one came."""
    prompt = _prompt_tokens(reported) or prompt_tokens
    completion = count_in(getattr(reported, "output_tokens", None))
    return ReportedUsage(prompt, completion) if prompt or completion else None
