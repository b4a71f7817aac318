"""One model server over HTTP: how it is asked, and what its failures mean."""

import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import msgspec

from meeting_service.gateways.answer_body import AnswerBody, Malformed, refuse_errors
from meeting_service.gateways.body_decoder import UnknownCoding
from meeting_service.gateways.endpoint import endpoint, place_of
from meeting_service.gateways.http_client import new_client
from meeting_service.gateways.provider_errors import ProviderError
from meeting_service.gateways.provider_faults import fault_of
from meeting_service.gateways.redaction import one_line
from meeting_service.gateways.stream_accumulator import Answer
from meeting_service.ports import GatewayFault, Rejected, Truncated, Unavailable
from meeting_service.settings.http_addresses import without_secrets


class ModelServer:
    """A server, by the address, headers, proxy and certificates that its gateway is set to.

    Shape: `place` is the address without its secrets; `secrets` are never shown of anything.
    Raises: `ValueError` for an address or a file that can never work.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        secrets: Sequence[str],
        connect_timeout_seconds: float,
        max_connections: int,
        ca_file: Path | None,
        proxy: str | None,
    ) -> None:
        self.place = place_of(base_url)
        self.secrets = secrets
        self._base_url = base_url
        self._query = dict(query)
        self._proxy = proxy
        self._headers = {
            "accept": "text/event-stream, application/json",
            # A compressed stream comes in lumps, and may become any size.
            "accept-encoding": "identity",
            "user-agent": "ai-meetings",
            **headers,
        }
        self._http = new_client(
            connect_timeout_seconds=connect_timeout_seconds,
            max_connections=max_connections,
            ca_file=ca_file,
            proxy=proxy,
        )

    @property
    def is_closed(self) -> bool:
        return self._http.is_closed

    @asynccontextmanager
    async def ask(
        self, path: str, content: Mapping[str, Any], call_key: str, answer: Answer, max_bytes: int
    ) -> AsyncIterator[AnswerBody]:
        """Send a request; give the body of its answer, and leave it when the context ends.

        Units: `max_bytes` bounds that body. Raises: `Said` if the server refuses, `Rejected` if the
        request cannot be written down; `connection_failures()`.
        """
        request = self._http.build_request(
            "POST",
            endpoint(self._base_url, path, self._query),
            content=self._encoded(content),
            headers={
                **self._headers,
                "content-type": "application/json",
                # In letters that a header may hold.
                "idempotency-key": quote(call_key, safe="/:@"),
            },
            extensions={"trace": answer.trace},
        )
        response = await self._http.send(request, stream=True)
        try:
            await refuse_errors(response)
            answer.opened(response.headers.get("content-type", ""))
            body = AnswerBody(response, max_bytes)
            yield body
            if answer.is_done:
                # Nothing that follows can make a whole answer any less so.
                with suppress(*connection_failures()):
                    await body.read_to_end()
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def visit(self, path: str) -> None:
        """Ask for a resource that costs nothing, and pass the answer over.

        Raises: `Said` if the server refuses; `connection_failures()`.
        """
        address = endpoint(self._base_url, path, self._query)
        asked = self._http.build_request("GET", address, headers=self._headers)
        response = await self._http.send(asked, stream=True)
        try:
            await refuse_errors(response)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._http.aclose()

    def _encoded(self, content: Mapping[str, Any]) -> bytes:
        try:
            return msgspec.json.encode(content)
        except (ValueError, TypeError) as error:
            # The next try would fail as this one.
            detail = f"cannot ask {self.place}: {type(error).__name__}: {error}"
            raise Rejected(one_line(detail, self.secrets), reached=False) from None

    def fault_said(self, error: ProviderError, answer: Answer, model: str = "") -> GatewayFault:
        """Return the fault that the server's own words mean."""
        return fault_of(
            error,
            source=self.place,
            secrets=self.secrets,
            now=datetime.now(UTC),
            model=model,
            usage=answer.usage,
            tokens_seen=answer.tokens_seen,
        )

    def fault_met(self, error: Exception, answer: Answer) -> GatewayFault:
        """Return the fault that a failure of the connection, or of what came over it, means."""
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        proxy = without_secrets(self._proxy or "")
        through = f" through the proxy {proxy}" if proxy else ""
        if isinstance(error, UnknownCoding):
            return Rejected(one_line(f"{self.place} {error}", self.secrets))
        if answer.is_open:
            return Truncated(
                one_line(f"{self.place} broke off the answer: {reason}", self.secrets),
                usage=answer.usage,
                tokens_seen=answer.tokens_seen,
            )
        if answer.is_sent:
            detail = f"{self.place} gave no answer{through}: {reason}"
            return Unavailable(one_line(detail, self.secrets))
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            reason += "; for a certificate authority of your own, set ca_file"
        return Unavailable(
            one_line(f"cannot reach {self.place}{through}: {reason}", self.secrets),
            reached=False,
            is_unreachable=True,
        )


def connection_failures() -> tuple[type[Exception], ...]:
    """Return what a connection, and what comes over it, may fail with."""
    import httpx2

    return (
        *(httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError),
        *(Malformed, UnknownCoding, zlib.error),
    )
