"""Answers in the shapes of real providers, whole and byte by byte: text, thought, ending, usage."""

from pathlib import Path

import pytest

from meeting_core.model import ReportedUsage
from meeting_service.gateways.anthropic import Anthropic
from meeting_service.gateways.openai_compatible import OpenAICompatible
from meeting_service.ports import GatewayReply
from tests.contracts.gateway_cases import request
from tests.meeting_service.gateways.wire_peer import END, Script, chunked, head, wire_peer

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "recorded"
TEXT, THOUGHT = "We ship on Monday.", "They want a date. Monday it is."

# The model that answers, whether a thought is shown, and what is reported.
EXPECTED: dict[str, tuple[str, bool, ReportedUsage]] = {
    "anthropic": ("claude-sonnet-4-5-20250929", True, ReportedUsage(120, 40)),
    "azure": ("gpt-4.1-2025-04-14", False, ReportedUsage(120, 6, 126)),
    "deepseek": ("deepseek-reasoner", True, ReportedUsage(120, 40, 160, 34)),
    "gemini": ("gemini-2.5-flash", True, ReportedUsage(120, 6, 162)),
    "groq": ("qwen/qwen3-32b", True, ReportedUsage(120, 40, 160)),
    "llama_cpp": ("smollm2.gguf", False, ReportedUsage(120, 6, 126)),
    "lm_studio": ("qwen2.5-7b-instruct", False, ReportedUsage(120, 6, 126)),
    "mistral": ("magistral-small-2509", True, ReportedUsage(120, 40, 160)),
    "ollama": ("qwen3:4b", True, ReportedUsage(120, 40, 160)),
    "openai": ("gpt-5-mini-2025-08-07", False, ReportedUsage(120, 70, 190, 64)),
    "openrouter": ("qwen/qwen3-30b-a3b", True, ReportedUsage(120, 40, 160, 34)),
    "tgi": ("HuggingFaceTB/SmolLM2-1.7B-Instruct", False, ReportedUsage(120, 6, 126)),
    "vllm": ("Qwen/Qwen3-8B", True, ReportedUsage(120, 40, 160)),
    "xai": ("grok-4", False, ReportedUsage(120, 6, 190, 64)),
}


async def read(provider: str, script: Script) -> tuple[GatewayReply, str]:
    """Return the reply of an answer, and the text that was shown as it came."""
    deltas: list[str] = []
    kind = Anthropic if provider == "anthropic" else OpenAICompatible
    async with wire_peer(script) as peer:
        gateway = kind(base_url=peer.base_url, reasoning="keep")
        reply = await gateway.complete(request(), deltas.append)
        await gateway.aclose()
    return reply, "".join(deltas)


@pytest.mark.parametrize("provider", EXPECTED)
@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
async def test_an_answer_means_what_its_provider_documents(provider: str, piece_bytes: int) -> None:
    body = (FOLDER / f"{provider}.sse").read_bytes()
    pieces = [body[n : n + piece_bytes] for n in range(0, len(body), piece_bytes)]
    # Pieces that are cut anywhere, sent in lumps so that the test is quick.
    lumps = [b"".join(map(chunked, pieces[n : n + 400])) for n in range(0, len(pieces), 400)]
    reply, shown = await read(provider, [head(), *lumps, END])
    model, is_thinking, usage = EXPECTED[provider]
    assert (reply.text.strip(), shown.strip()) == (TEXT, TEXT)
    assert reply.thought == (THOUGHT if is_thinking else "")
    assert (reply.thought_tokens > 0) == is_thinking
    assert (reply.finish_reason, reply.model, reply.usage) == ("stop", model, usage)
    assert not reply.is_truncated


def test_every_recorded_answer_is_read() -> None:
    assert {path.stem for path in FOLDER.glob("*.sse")} == EXPECTED.keys()
