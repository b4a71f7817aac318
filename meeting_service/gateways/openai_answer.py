"""Reads what comes in OpenAI's streaming chat completions: chunks, usage, errors.

The SDK checks no shapes, and servers that only resemble OpenAI's send all kinds: so this does.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meeting_core.vocabulary import Usage
from meeting_service.gateways.provider_faults import ProviderError, one_line
from meeting_service.ports import (
    Empty,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    Refused,
    Rejected,
    Truncated,
)

if TYPE_CHECKING:
    import httpx2
    from openai import APIStatusError
    from openai.types.chat import ChatCompletionChunk

_FILTERED = frozenset({"content_filter", "sensitive"})
_BROKEN = frozenset({"abort", "error", "insufficient_system_resource", "network_error"})


class Answer:
    """What has come of one call so far."""

    def __init__(self) -> None:
        self.is_sent = False
        self.is_open = False
        self.has_chunks = False
        self.media_type = ""
        self.model = ""
        self.finish_reason = ""
        self.usage: Usage | None = None
        self._texts: list[str] = []
        self._refusals: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def refusal(self) -> str:
        return "".join(self._refusals)

    def opened(self, response: "httpx2.Response") -> None:
        self.is_open = True
        self.media_type = response.headers.get("content-type", "").partition(";")[0].lower()

    def take(self, chunk: "ChatCompletionChunk") -> str:
        """Take one chunk in; return its text. The SDK does not check shapes, so this does."""
        self.has_chunks = True
        self.model = _text(getattr(chunk, "model", None)) or self.model
        self.usage = _usage(getattr(chunk, "usage", None)) or self.usage
        for choice in getattr(chunk, "choices", None) or ():
            if (getattr(choice, "index", None) or 0) != 0:
                continue
            self.finish_reason = _text(getattr(choice, "finish_reason", None)) or self.finish_reason
            delta = getattr(choice, "delta", None)
            if refusal := _text(getattr(delta, "refusal", None)):
                self._refusals.append(refusal)
            if text := _text(getattr(delta, "content", None)):
                self._texts.append(text)
                return text
        return ""

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note when the request leaves; a proxy's CONNECT is not the request."""
        if event.endswith("send_request_headers.started"):
            self.is_sent = self.is_sent or info["request"].method == b"POST"


def reply_of(
    answer: Answer, request: GatewayRequest, *, source: str, secrets: Sequence[str]
) -> GatewayReply:
    """Judge an answer that has ended.

    Raises: `Truncated`, `Refused`, `Empty`; `Rejected` when no stream came at all.
    """
    match answer.finish_reason:
        case "":
            raise _unfinished(answer, source)
        case reason if reason in _FILTERED:
            raise Refused(f"{source} filtered the answer", usage=answer.usage)
        case reason if reason in _BROKEN:
            detail = f"{source} broke off the answer: {reason}"
            raise Truncated(one_line(detail), usage=answer.usage)
        case reason if answer.text.strip():
            return GatewayReply(answer.text, reason, answer.model or request.model, answer.usage)
        case _ if answer.refusal:
            detail = f"{source} refused: {answer.refusal}"
            raise Refused(one_line(detail, secrets), usage=answer.usage)
        case reason:
            detail = f"{source} answered without text (finish reason {reason})"
            if reason == "length":
                detail += f"; the cap of {request.output_tokens} tokens went into something else"
            raise Empty(one_line(detail), usage=answer.usage)


def _unfinished(answer: Answer, source: str) -> GatewayFault:
    if not answer.has_chunks and answer.media_type != "text/event-stream":
        return Rejected(
            one_line(
                f"{source} answered {answer.media_type or 'nothing'} instead of a stream;"
                " check base_url, and that the server can stream"
            )
        )
    return Truncated(
        f"{source} ended the answer without a finish reason after {len(answer.text)} characters",
        usage=answer.usage,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _usage(reported: object) -> Usage | None:
    """Read a usage report; one that counts nothing at all is none."""
    prompt = getattr(reported, "prompt_tokens", None)
    completion = getattr(reported, "completion_tokens", None)
    counts = [n if isinstance(n, int) and n > 0 else 0 for n in (prompt, completion)]
    return Usage(counts[0], counts[1], "reported") if any(counts) else None


def error_in_response(error: "APIStatusError") -> ProviderError:
    """Read what a refusing answer says."""
    known = error_in_stream(error.body)
    headers = {name.lower(): value for name, value in error.response.headers.items()}
    message = known.message or error.response.reason_phrase
    return ProviderError(error.status_code, message, known.codes, headers)


def error_in_stream(body: object) -> ProviderError:
    """Read an error object: OpenAI's, a bare string, or one level deeper in an envelope."""
    if not isinstance(body, dict):
        return ProviderError(None, _text(body))
    nested = body.get("error")
    if isinstance(nested, dict):
        body = nested
    message = _text(body.get("message")) or _text(nested) or _text(body.get("detail"))
    codes = [str(body[name]) for name in ("code", "type") if body.get(name) is not None]
    return ProviderError(None, message, codes)
