"""What the service needs of a model provider: a gateway, and the family of ways a call fails.

GatewayFault                the family of ways a call to a model fails
├── RateLimited
├── Unavailable
│   └── ModelUnavailable
├── TimedOut
├── ContextTooLong
├── Refused
├── Rejected
├── Truncated
├── Empty
└── Unsupported
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Protocol, TypeAlias

from msgspec import Struct

from meeting_core.model import AgentId, FaultClass, Meeting, MeetingId, Message, ReportedUsage

SaveOutput: TypeAlias = Callable[[Meeting, str], Awaitable[str]]
"""Saves a meeting's minutes where they belong and returns the path; raises `OSError`."""

EmitDelta: TypeAlias = Callable[[Meeting, AgentId, str], None]
"""Shows watchers of the meeting that an agent's text grew by this much; it may be lost."""

OnGatewayWait: TypeAlias = Callable[[MeetingId, str | None], None]
"""Called with the gateway's name when a meeting begins to wait for a gateway that no process has,
and with None when it waits no longer.
"""

DEFAULT_MAX_REPLY_BYTES = 65_536


class GatewayRequest(Struct, frozen=True):
    """One call to a model.

    Units: `output_tokens` is the cap to send; `timeout_seconds` bounds the whole call;
    `max_reply_bytes` bounds the text that is kept of the answer, as UTF-8. `call_key` names the
    attempt (`meeting/task/attempt`).
    """

    messages: tuple[Message, ...]
    output_tokens: int
    model: str
    timeout_seconds: float
    call_key: str
    max_reply_bytes: int = DEFAULT_MAX_REPLY_BYTES


class GatewayReply(Struct, frozen=True):
    """What a model answered.

    Units: `thought_tokens` is our estimate of the thoughts that came before the text; `thought`
    is their text, if the gateway is set to keep it. `usage` is None if the provider did not report
    it. `is_truncated` says that reading stopped before the answer's end, because it was too long.
    """

    text: str
    finish_reason: str
    model: str = ""
    usage: ReportedUsage | None = None
    thought: str = ""
    thought_tokens: int = 0
    is_truncated: bool = False


class Gateway(Protocol):
    """Adapter to one model provider."""

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call, and pass the text to `on_delta` as it comes.

        Only the text of the answer is passed on, never a thought. Once the text is surely longer
        than the request's cap, or what came is longer than `max_reply_bytes`, the call is ended and
        what came of it is the reply, `is_truncated`.

        Raises: a `GatewayFault`, and nothing else; one call is one request to the provider.
        """

    async def probe(self) -> None:
        """Return when the provider can be reached; costs no tokens and takes seconds at most.

        Raises: `Unavailable`, and nothing else.
        """

    async def aclose(self) -> None: ...


Gateways: TypeAlias = Mapping[str, Gateway]
"""The configured gateways, by name."""


class GatewayFault(Exception):
    """A call to a model failed.

    Shape: `usage` is what the provider reported all the same. `reached` is false when the
    request certainly never got to the model: no provider got it, or one said an error in the place
    of an answer's first token. `is_unreachable` is true when no call seems to
    reach the provider at present; `names_model` is true when the provider says that this is so for
    the call's model. Units: `tokens_seen` estimates the text and the thoughts that had come; once
    there were any, the call has cost something.
    """

    fault_class: ClassVar[FaultClass]

    def __init__(
        self,
        detail: str,
        *,
        retry_after_seconds: float | None = None,
        usage: ReportedUsage | None = None,
        reached: bool = True,
        is_unreachable: bool = False,
        names_model: bool = False,
        tokens_seen: int = 0,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.reached = reached
        self.is_unreachable = is_unreachable
        self.names_model = names_model
        self.tokens_seen = tokens_seen


class RateLimited(GatewayFault):
    """The provider asks to come back later."""

    fault_class = FaultClass.RATE_LIMITED


class Unavailable(GatewayFault):
    """The provider cannot be reached, or answers 5xx."""

    fault_class = FaultClass.UNAVAILABLE


class ModelUnavailable(Unavailable):
    """The gateway can be reached and serves other models, and not the call's at present.

    The service finds so itself, of what an adapter raised as unreachable, by `names_model` and by
    what other calls have shown.
    """


class TimedOut(GatewayFault):
    """No complete answer within the call's time."""

    fault_class = FaultClass.TIMED_OUT


class ContextTooLong(GatewayFault):
    """The brief does not fit the model's context."""

    fault_class = FaultClass.CONTEXT_TOO_LONG


class Refused(GatewayFault):
    """A content filter refused the call or the answer."""

    fault_class = FaultClass.REFUSED


class Rejected(GatewayFault):
    """The provider will never take this call: credentials, quota, a bad request."""

    fault_class = FaultClass.REJECTED


class Truncated(GatewayFault):
    """The answer broke off."""

    fault_class = FaultClass.TRUNCATED


class Empty(GatewayFault):
    """The answer had no text."""

    fault_class = FaultClass.EMPTY


class Unsupported(GatewayFault):
    """The server does not know a part of the request; the adapter sends the next one without it."""

    fault_class = FaultClass.UNSUPPORTED
