"""Asking a model server how it counts: llama.cpp and vLLM have an address for that.

Only short texts of our own are sent, once for each model of a process, to set the factors that a
meeting begins with. Briefs are never sent: the core counts them itself, always the same.
"""

import logging
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from meeting_core.model import UNCALIBRATED, TokenFactors, bounded
from meeting_core.prompt import estimate_tokens, script_tokens

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 1_000_000
MARGIN = 1.1
"""The factors are this much above what was counted: the texts are short, and languages differ."""


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
    """Measures how the models of one server count, by its address `tokenize_url`."""

    def __init__(self, url: str, *, api_key: str = "", headers: Mapping[str, str] = {}) -> None:
        self._url = url
        self._headers = {**({"authorization": f"Bearer {api_key}"} if api_key else {}), **headers}

    async def measure(self, model: str) -> TokenFactors | None:
        """Count short texts of each script; return None, after a line in the log, if that fails."""
        import httpx2

        try:
            async with httpx2.AsyncClient(
                timeout=TIMEOUT_SECONDS, trust_env=False, headers=self._headers
            ) as client:
                return await self._measured(client, model)
        except (httpx2.HTTPError, OSError, ValueError, CannotCount) as error:
            detail = str(error) or type(error).__name__
            log.warning("%s does not count tokens of %r: %s", self._url, model, detail)
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
        for form in forms:
            response = await client.post(self._url, json=form)
            if response.is_success and len(response.content) <= MAX_ANSWER_BYTES:
                answer = msgspec.json.decode(response.content, type=_Answer)
                count = answer.count if answer.count is not None else len(answer.tokens or ())
                if 0 < count <= 4 * len(text.encode()):
                    return count
            detail = f"status {response.status_code}"
        raise CannotCount(f"neither as llama.cpp nor as vLLM ({detail})")
