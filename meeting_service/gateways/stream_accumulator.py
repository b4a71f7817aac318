"""What has come of one streamed call, and the verdict on it once it has ended."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from meeting_core.model import ReportedUsage
from meeting_service.gateways.bounded_text import BoundedText
from meeting_service.gateways.provider_faults import one_line
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

_FILTERED = frozenset({"content_filter", "sensitive"})
_BROKEN = frozenset({"abort", "error", "insufficient_system_resource", "network_error"})

MAX_REFUSAL_BYTES = 2_000


class Answer:
    """What has come of one call so far.

    Shape: `finish_reason` is empty until the provider has said that the answer is complete.
    Units: `max_bytes` bounds the text that is kept.
    """

    def __init__(self, max_bytes: int = 0) -> None:
        self.is_sent = False
        self.is_open = False
        self.has_chunks = False
        self.media_type = ""
        self.model = ""
        self.finish_reason = ""
        self.prompt_tokens = 0
        self.usage: ReportedUsage | None = None
        self._kept = BoundedText(max_bytes)
        self._refusal = BoundedText(MAX_REFUSAL_BYTES)
        self._half = ""

    @property
    def text(self) -> str:
        return str(self._kept) + self._half

    @property
    def refusal(self) -> str:
        return str(self._refusal)

    def opened(self, response: "httpx2.Response") -> None:
        """Record that the answer has begun."""
        self.is_open = True
        self.media_type = response.headers.get("content-type", "").partition(";")[0].lower()

    def add_text(self, text: str) -> str:
        """Add a piece of the text; return what can be read, and is kept, of it so far.

        A server that counts in UTF-16 may cut a character in two: its first half waits here.
        """
        if text.isascii() and not self._half:
            return self._kept.add(text)
        text = self._half + text
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = text[: len(text) - len(self._half)]
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return self._kept.add(whole)

    def add_refusal(self, text: str) -> None:
        """Add a piece of the reason why the model refuses to answer."""
        self._refusal.add(text)

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Record when the request is sent; a proxy's CONNECT is not the request."""
        if event.endswith("send_request_headers.started"):
            self.is_sent = self.is_sent or info["request"].method == b"POST"


def text_in(value: object) -> str:
    """Return the value if it is a text, else "": the SDKs do not check types."""
    return value if isinstance(value, str) else ""


def count_in(value: object) -> int:
    """Return the value if it is a count of tokens, else 0."""
    return value if isinstance(value, int) and value > 0 else 0


def reply_of(
    answer: Answer, request: GatewayRequest, *, source: str, secrets: Sequence[str]
) -> GatewayReply:
    """Return the reply of an answer that has ended.

    Raises: `Truncated`, `Refused`, `Empty`; `Rejected` when no stream came at all.
    """
    match answer.finish_reason:
        case "":
            raise _unfinished(answer, source, secrets)
        case reason if reason in _FILTERED:
            raise Refused(f"{source} filtered the answer", usage=answer.usage)
        case reason if reason in _BROKEN:
            detail = f"{source} broke off the answer: {reason}"
            raise Truncated(one_line(detail, secrets), usage=answer.usage)
        case reason if answer.text.strip():
            model = one_line(answer.model or request.model, secrets)
            return GatewayReply(answer.text, one_line(reason, secrets), model, answer.usage)
        case _ if answer.refusal:
            detail = f"{source} refused: {answer.refusal}"
            raise Refused(one_line(detail, secrets), usage=answer.usage)
        case reason:
            detail = f"{source} answered without text (finish reason {reason})"
            if reason == "length":
                detail += f"; the cap of {request.output_tokens} tokens went into something else"
            raise Empty(one_line(detail, secrets), usage=answer.usage)


def _unfinished(answer: Answer, source: str, secrets: Sequence[str]) -> GatewayFault:
    if not answer.has_chunks and answer.media_type != "text/event-stream":
        return Rejected(
            one_line(
                f"{source} answered {answer.media_type or 'nothing'} instead of a stream;"
                " check base_url, and that the server can stream",
                secrets,
            )
        )
    return Truncated(
        f"{source} ended the answer without a finish reason after {len(answer.text)} characters",
        usage=answer.usage,
    )
