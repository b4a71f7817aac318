"""What the adapters over a provider's SDK share: one request, its deadlines, its failures."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import anyio
from msgspec.structs import replace

from meeting_service.gateways.provider_faults import (
    ProviderError,
    checked_header,
    fault_of,
    one_line,
    place_of,
    secrets_in,
)
from meeting_service.gateways.stream_accumulator import Answer, reply_of
from meeting_service.gateways.stream_timeouts import StreamTimeouts
from meeting_service.ports import (
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    Rejected,
    TimedOut,
    Truncated,
    Unavailable,
)

# The HTTP client and the SDKs take most of a second to import, which a command that calls no
# model must not pay.
if TYPE_CHECKING:
    import ssl

    import httpx2

PLACEHOLDER_KEY = "not-needed"
PROBE_SECONDS = 4.0
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
NO_FIELDS: Mapping[str, Any] = MappingProxyType({})

Chunk_co = TypeVar("Chunk_co", covariant=True)


class ChunkStream(Protocol[Chunk_co]):
    """A streamed answer as both SDKs hand it out."""

    response: "httpx2.Response"

    async def __anext__(self) -> Chunk_co: ...

    async def close(self) -> None: ...


class StreamingGateway(ABC, Generic[Chunk_co]):
    """A gateway over a provider's SDK.

    Units: seconds and connections. `model` is used if a request names no model. `api_key` may stay
    empty for servers that need no key. Raises: `ValueError` when an argument can never work.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        headers: Mapping[str, str],
        connect_timeout_seconds: float,
        first_token_timeout_seconds: float | None,
        idle_timeout_seconds: float | None,
        max_connections: int,
    ) -> None:
        self._place = place_of(base_url)
        self._model = model
        self._secrets = secrets_in(api_key, headers, base_url)
        self._first_token_seconds = first_token_timeout_seconds
        self._idle_seconds = idle_timeout_seconds
        checked_header("api_key", api_key)
        for name, value in headers.items():
            checked_header(f"header {name!r}", value)
        self._http = _http_client(connect_timeout_seconds, max_connections)

    async def complete(
        self, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call, and pass the text to `on_delta` as it comes.

        Raises: a `GatewayFault`, and nothing else; one call is one request to the provider.
        """
        request = self._checked(request)
        answer = Answer(request.max_reply_bytes)
        token = _sending.set(answer)
        try:
            with anyio.move_on_after(request.timeout_seconds) as clock:
                timeouts = StreamTimeouts(clock, self._first_token_seconds, self._idle_seconds)
                async with aclosing(self._texts(request, answer, timeouts)) as texts:
                    async for text in texts:
                        on_delta(text)
        finally:
            _sending.reset(token)
        if clock.cancelled_caught and not answer.finish_reason:
            raise TimedOut(
                f"{self._place} {timeouts.missed(request.timeout_seconds)}"
                f" ({len(answer.text)} characters had come)",
                usage=answer.usage,
                reached=answer.is_sent,
            )
        return reply_of(answer, request, source=self._place, secrets=self._secrets)

    async def probe(self) -> None:
        """Return when the provider answers anything for itself, be it a refusal.

        Raises: `Unavailable`, and nothing else.
        """
        self._check_open()
        token = _sending.set(Answer())
        try:
            with anyio.move_on_after(PROBE_SECONDS):
                await self._list_models()
                return
        except self._everything_raised() as error:
            fault = self._fault(error, Answer())
            if fault.is_unreachable:
                raise fault from None
            return
        finally:
            _sending.reset(token)
        detail = f"{self._place} gave no answer to a probe within {PROBE_SECONDS:g} s"
        raise Unavailable(detail, reached=False, is_unreachable=True)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._http.aclose()

    @abstractmethod
    async def _open(self, request: GatewayRequest) -> ChunkStream[Chunk_co]:
        """Send the request; return when its answer begins."""

    @abstractmethod
    async def _list_models(self) -> None:
        """Ask what models there are, which costs nothing, and pass the answer over."""

    @abstractmethod
    def _take(self, answer: Answer, chunk: Any) -> str:
        """Take one chunk into the answer; return its text."""

    @abstractmethod
    def _failures(self) -> tuple[type[Exception], ...]:
        """Return the exceptions that the SDK raises."""

    @abstractmethod
    def _said(self, error: Exception) -> ProviderError | None:
        """Return the provider's error; None if something else failed."""

    def _checked(self, request: GatewayRequest) -> GatewayRequest:
        model = request.model or self._model
        if not model:
            raise Rejected(
                f"no model is named for {self._place}; set one for the agent or the gateway",
                reached=False,
            )
        self._check_open()
        return replace(request, model=model)

    def _check_open(self) -> None:
        if self._http.is_closed:
            raise Unavailable(f"the gateway to {self._place} is closed", reached=False)

    async def _texts(
        self, request: GatewayRequest, answer: Answer, timeouts: StreamTimeouts
    ) -> AsyncGenerator[str]:
        stream: ChunkStream[Chunk_co] | None = None
        try:
            stream = await self._open(request)
            answer.opened(stream.response)
            while (chunk := await anext(stream, None)) is not None:
                answer.has_chunks = True
                text = self._take(answer, chunk)
                timeouts.advance(is_finished=bool(answer.finish_reason))
                if text:
                    yield text
        except self._everything_raised() as error:
            # What follows a finish reason cannot make the answer any less complete.
            if not answer.finish_reason:
                # Not chained: a provider may repeat the key in its message.
                raise self._fault(error, answer) from None
        finally:
            if stream is not None:
                with anyio.CancelScope(shield=True):
                    await stream.close()

    def _everything_raised(self) -> tuple[type[Exception], ...]:
        import httpx2

        return (*self._failures(), httpx2.HTTPError, httpx2.StreamError, OSError, ValueError)

    def _fault(self, error: Exception, answer: Answer) -> GatewayFault:
        said = self._said(error)
        if said is None:
            return self._connection_fault(error, answer)
        return fault_of(
            said,
            source=self._place,
            secrets=self._secrets,
            now=datetime.now(UTC),
            usage=answer.usage,
        )

    def _connection_fault(self, error: Exception, answer: Answer) -> GatewayFault:
        # An SDK wraps what the HTTP client raised, and says less than it.
        cause = error.__cause__ if isinstance(error, self._failures()) else None
        reason = f"{type(cause or error).__name__}: {cause or error}".rstrip(": ")
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
            one_line(f"cannot reach {self._place}: {reason}", self._secrets),
            reached=False,
            is_unreachable=True,
        )


def idempotency_headers(request: GatewayRequest) -> dict[str, str]:
    """Return the headers that name the attempt, in letters that a header may hold."""
    return {"Idempotency-Key": quote(request.call_key, safe="/:@")}


_sending: ContextVar[Answer] = ContextVar("_sending")


async def _watch_sending(request: "httpx2.Request") -> None:
    request.extensions["trace"] = _sending.get().trace


@cache
def _tls() -> "ssl.SSLContext":
    """Read the trusted certificates once; it takes a tenth of a second."""
    import httpx2

    return httpx2.create_ssl_context()


def _http_client(connect_timeout_seconds: float, max_connections: int) -> "httpx2.AsyncClient":
    import httpx2

    return httpx2.AsyncClient(
        verify=_tls(),
        # The call's own deadline covers everything else.
        timeout=httpx2.Timeout(None, connect=connect_timeout_seconds),
        limits=httpx2.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max(1, max_connections // 4),
            keepalive_expiry=15.0,
        ),
        # Following would make two requests of one call, and send the key elsewhere.
        follow_redirects=False,
        event_hooks={"request": [_watch_sending]},
    )
