"""An HTTP client of the service: requests, answers, refusals."""

import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2

from meeting_service.certificates import (
    FILE_VARIABLE,
    UnusableCertificates,
    trusted_certificates,
)
from meeting_service.cli.exit_codes import CommandError, Exit
from meeting_service.cli.printable import one_line
from meeting_service.http_proxy import ProxyChoice, proxy_for
from meeting_service.settings.http_addresses import without_secrets

ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 5.0
# A feed is never silent for longer than 15 s; after three times that the connection is dead.
SILENCE_SECONDS = 45.0

Answer = dict[str, Any]


class ServiceClient:
    """A client of one service.

    Raises: `CommandError` from every request, with the exit code that fits.
    """

    def __init__(self, url: str) -> None:
        self.shown_url = without_secrets(url)
        self._proxy = proxy_for(url, os.environ)
        certificates = _certificates(url, self._proxy)
        self._http = httpx2.AsyncClient(
            base_url=url,
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            verify=certificates or False,
            # The library fails for much that may stand in the environment.
            trust_env=False,
            proxy=_proxy_of_client(self._proxy, certificates),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: Any) -> Answer:
        """Send a GET; query parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return await self._answer("GET", path, params=given)

    async def post(
        self, path: str, body: Answer | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a POST."""
        return await self._answer("POST", path, json=body, headers=headers)

    @asynccontextmanager
    async def stream(
        self, path: str, accept: str, headers: Mapping[str, str] | None = None, **query: Any
    ) -> AsyncGenerator[httpx2.Response]:
        """Open a streamed answer. Raises: `httpx2.RequestError`, so that the caller can retry."""
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        all_headers = {"Accept": accept, "Cache-Control": "no-store", **(headers or {})}
        async with self._http.stream(
            "GET", path, headers=all_headers, params=query, timeout=timeout
        ) as response:
            yield response

    def unreachable(self, error: httpx2.RequestError) -> CommandError:
        """Return the error for a service that does not answer."""
        reason = one_line(str(error)) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            text = (
                f"the certificate of {self.shown_url} is not trusted: {reason}; "
                f"name the file of its authority's certificate in {FILE_VARIABLE}"
            )
        elif self._proxy is not None:
            text = (
                f"{self.shown_url} cannot be reached through {self._proxy.shown}: {reason}; "
                "mend the proxy, or name the host in NO_PROXY"
            )
        elif isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            text = f"no service answers at {self.shown_url}; start one with `meetings serve`"
        else:
            text = f"the service at {self.shown_url} broke off: {reason}; try again"
        return CommandError(text, Exit.UNREACHABLE)

    def not_a_meeting_service(self, response: httpx2.Response) -> CommandError:
        """Return the error for an answer that is not from a meeting service."""
        place = urlsplit(str(response.url))
        kind = response.headers.get("content-type", "no content type").partition(";")[0]
        answered = (
            f"{place.scheme}://{place.netloc.rpartition('@')[2]} answered {response.status_code}"
        )
        through, remedy = "", "check --url"
        if self._proxy is not None:
            through = f" through {self._proxy.shown}"
            remedy = "check --url, or name the host in NO_PROXY"
        return CommandError(
            f"{answered} ({one_line(kind)}){through}, "
            f"which is no answer of a meeting service; {remedy}",
            Exit.UNREACHABLE,
        )

    def refusal(self, response: httpx2.Response) -> CommandError:
        """Return the error for an answer without success; its body must have been read."""
        problem = _decoded(response)
        if problem is None or not isinstance(problem.get("detail"), str):
            return self.not_a_meeting_service(response)
        text = one_line(problem["detail"] or str(problem.get("title", "")))
        fields = [_field_problem(each) for each in problem.get("errors") or ()]
        # The detail of a single wrong field usually repeats it.
        more = [each for each in fields if each and each not in text]
        wait = response.headers.get("retry-after")
        if wait:
            more.append(f"try again in {one_line(wait)} s")
        code = Exit.UNREACHABLE if response.is_server_error else Exit.REFUSED
        return CommandError("; ".join([text, *more]), code)

    async def _answer(self, method: str, path: str, **request: Any) -> Answer:
        try:
            response = await self._http.request(method, path, **request)
        except httpx2.RequestError as error:
            raise self.unreachable(error) from error
        if not response.is_success:
            raise self.refusal(response)
        answer = _decoded(response)
        if answer is None:
            raise self.not_a_meeting_service(response)
        return answer


def meeting_path(meeting_id: str, part: str) -> str:
    """Return the path of one meeting's `status`, `output` and so on."""
    return f"/api/meetings/{quote(meeting_id, safe='')}/{part}"


def _decoded(response: httpx2.Response) -> Answer | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _certificates(url: str, proxy: ProxyChoice | None) -> ssl.SSLContext | None:
    """Return what checks certificates; None where none come, for loading them takes long.

    Raises: `CommandError`.
    """
    is_encrypted = urlsplit(url).scheme == "https" or (proxy is not None and proxy.is_encrypted)
    if not is_encrypted:
        return None
    try:
        return trusted_certificates(os.environ)
    except UnusableCertificates as error:
        raise CommandError(str(error), Exit.USAGE) from error


def _proxy_of_client(
    proxy: ProxyChoice | None, certificates: ssl.SSLContext | None
) -> httpx2.Proxy | None:
    if proxy is None:
        return None
    return httpx2.Proxy(proxy.url, ssl_context=certificates if proxy.is_encrypted else None)


def _field_problem(problem: Any) -> str:
    if not isinstance(problem, Mapping):
        return ""
    return one_line(f"{problem.get('field')}: {problem.get('detail')}")
