"""Asking a model server how it counts: llama.cpp and vLLM have an address for that.

Only short texts of our own are sent, once for each model of a process, to set the factors that a
meeting begins with. Briefs are never sent: the core counts them itself, always the same.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from msgspec import Struct

from meeting_core.model import UNCALIBRATED, TokenFactors, bounded
from meeting_core.prompt import estimate_tokens, script_tokens
from meeting_service.gateways.body_decoder import BodyDecoder
from meeting_service.gateways.endpoint import endpoint, place_of
from meeting_service.gateways.http_client import new_client
from meeting_service.gateways.model_server import connection_failures
from meeting_service.gateways.redaction import one_line, secrets_in

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
"""For all of the texts together."""

MAX_ANSWER_BYTES = 1_000_000
MARGIN = 1.1
"""The factors are this much above what was counted: the texts are short, and languages differ."""

NO_TEXTS: Mapping[str, str] = MappingProxyType({})
BASE = "base"


def _samples() -> Iterator[tuple[str, str]]:
    """Yield short texts with their scripts, English first."""
    script = files("meeting_service.gateways").joinpath("tokenize_samples.tsv")
    for line in script.read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition("\t")
        yield name, text


class _Answer(Struct):
    """What is read of an answer: llama.cpp has `tokens`, vLLM has `count` too."""

    count: int | None = None
    tokens: list[Any] | None = None


class CannotCount(Exception):
    """The server does not count tokens as llama.cpp or vLLM do."""


class TokenizeProbe:
    """Measures how the models of one server count, by its address `tokenize_url`.

    Shape: the key, the header that takes it, the query, the certificates and the proxy are those of
    the server's gateway. Units: seconds, for all that one measurement asks.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        headers: Mapping[str, str] = NO_TEXTS,
        query: Mapping[str, str] = NO_TEXTS,
        auth_header: str = "",
        ca_file: Path | None = None,
        proxy: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._place = _shown(url)
        self._address = endpoint(url, "", query)
        self._secrets = secrets_in(api_key, headers, url, query)
        name = auth_header.lower() or "authorization"
        key = f"Bearer {api_key}" if name == "authorization" else api_key
        self._headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "ai-meetings",
            **({name: key} if api_key else {}),
            **{name.lower(): value for name, value in headers.items()},
        }
        self._ca_file = ca_file
        self._proxy = proxy
        self._timeout_seconds = timeout_seconds
        self._is_vllm = False

    async def measure(self, model: str) -> TokenFactors | None:
        """Count short texts of each script; return None, after a line in the log, if that fails."""
        failures: tuple[type[Exception], ...] = (
            *connection_failures(),
            *(ValueError, RecursionError, CannotCount),
        )
        try:
            with anyio.fail_after(self._timeout_seconds):
                async with new_client(
                    connect_timeout_seconds=self._timeout_seconds,
                    max_connections=1,
                    ca_file=self._ca_file,
                    proxy=self._proxy,
                ) as client:
                    return await self._measured(client, model)
        except TimeoutError:
            detail = f"no answer within {self._timeout_seconds:g} s"
        except failures as error:
            detail = str(error) or type(error).__name__
        log.warning(
            "%s does not count tokens of %r: %s",
            self._place,
            one_line(model, self._secrets),
            one_line(detail, self._secrets),
        )
        return None

    async def _measured(self, client: "httpx2.AsyncClient", model: str) -> TokenFactors:
        found: dict[str, float] = {}
        for script, text in _samples():
            counted, estimated = await self._count(client, model, text), estimate_tokens(text)
            of_script = getattr(script_tokens((text,)), script, estimated)
            beside = max(estimated - of_script, 0)
            factor = (counted - found.get(BASE, 0) * beside) / of_script
            found[script] = max(factor, found.get(script, factor))
        permille = {name: round(MARGIN * UNCALIBRATED * each) for name, each in found.items()}
        return bounded(TokenFactors(**permille))

    async def _count(self, client: "httpx2.AsyncClient", model: str, text: str) -> int:
        """Count one text. Each server ignores or refuses the other's form."""
        forms: tuple[dict[str, object], ...] = (
            {"content": text},
            {"model": model, "prompt": text, "add_special_tokens": False},
        )
        detail = ""
        for form in reversed(forms) if self._is_vllm else forms:
            async with client.stream(
                "POST", self._address, json=form, headers=self._headers
            ) as response:
                if response.is_success:
                    count = await _count_in(response)
                    if 0 < count <= 4 * len(text.encode()):
                        self._is_vllm = form is forms[1]
                        return count
                detail = f"status {response.status_code}"
        raise CannotCount(f"neither as llama.cpp nor as vLLM ({detail})")


async def _count_in(response: "httpx2.Response") -> int:
    """Return the number of tokens in an answer, of which no more than a bound is read."""
    decoder = BodyDecoder(response.headers.get("content-encoding", ""), MAX_ANSWER_BYTES)
    body = bytearray()
    async with aclosing(response.aiter_raw()) as pieces:
        async for piece in pieces:
            for decoded in decoder.decode(piece):
                body += decoded
    answer = msgspec.json.decode(body, type=_Answer)
    return answer.count if answer.count is not None else len(answer.tokens or ())


def _shown(url: str) -> str:
    """Return an address without what it may hold of secrets."""
    try:
        return place_of(url)
    except ValueError:
        return "tokenize_url"
