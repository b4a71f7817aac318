"""An HTTP client of the service: requests, answers, refusals."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from meeting_service.cli.exit_codes import CommandError, Exit
from meeting_service.cli.printable import one_line

ANSWER_SECONDS = 30.0
# A feed is never silent for longer than 15 s; after three times that the connection is dead.
SILENCE_SECONDS = 45.0
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

Answer = dict[str, Any]


class ServiceClient:
    """A client of one service.

    Raises: `CommandError` from every request, with the exit code that fits.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=5.0),
            # Loading certificates takes longer than a whole command without them.
            verify=url.startswith("https:"),
            # A proxy for the internet must not be used for a service on this machine.
            mounts={f"all://{host}": None for host in LOOPBACK},
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
    ) -> AsyncGenerator[httpx.Response]:
        """Open a streamed answer. Raises: `httpx.RequestError`, so that the caller can retry."""
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=5.0)
        all_headers = {"Accept": accept, "Cache-Control": "no-store", **(headers or {})}
        async with self._http.stream(
            "GET", path, headers=all_headers, params=query, timeout=timeout
        ) as response:
            yield response

    def unreachable(self, error: httpx.RequestError) -> CommandError:
        """Return the error for a service that does not answer."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            text = f"no service answers at {self.url}; start one with `meetings serve`"
        else:
            reason = one_line(str(error)) or type(error).__name__
            text = f"the service at {self.url} broke off: {reason}; try again"
        return CommandError(text, Exit.UNREACHABLE)

    async def _answer(self, method: str, path: str, **request: Any) -> Answer:
        try:
            response = await self._http.request(method, path, **request)
        except httpx.RequestError as error:
            raise self.unreachable(error) from error
        if not response.is_success:
            raise refusal(response)
        answer = _decoded(response)
        if answer is None:
            raise not_a_meeting_service(response)
        return answer


def meeting_path(meeting_id: str, part: str) -> str:
    """Return the path of one meeting's `status`, `output` and so on."""
    return f"/api/meetings/{quote(meeting_id, safe='')}/{part}"


def refusal(response: httpx.Response) -> CommandError:
    """Return the error for an answer without success; its body must have been read."""
    problem = _decoded(response)
    if problem is None or not isinstance(problem.get("detail"), str):
        return not_a_meeting_service(response)
    text = one_line(problem["detail"] or str(problem.get("title", "")))
    fields = [_field_problem(each) for each in problem.get("errors") or ()]
    # The detail of a single wrong field usually repeats it.
    more = [each for each in fields if each and each not in text]
    wait = response.headers.get("retry-after")
    if wait:
        more.append(f"try again in {one_line(wait)} s")
    code = Exit.UNREACHABLE if response.is_server_error else Exit.REFUSED
    return CommandError("; ".join([text, *more]), code)


def not_a_meeting_service(response: httpx.Response) -> CommandError:
    """Return the error for an answer that is not from a meeting service."""
    place = urlsplit(str(response.url))
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    return CommandError(
        f"{place.scheme}://{place.netloc} answered {response.status_code} ({one_line(kind)}), "
        "which is no answer of a meeting service; check --url",
        Exit.UNREACHABLE,
    )


def _decoded(response: httpx.Response) -> Answer | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _field_problem(problem: Any) -> str:
    if not isinstance(problem, Mapping):
        return ""
    return one_line(f"{problem.get('field')}: {problem.get('detail')}")
