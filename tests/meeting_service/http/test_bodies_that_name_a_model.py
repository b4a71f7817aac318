"""What servers really answer for a model that they do not serve, through the whole service."""

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import Struct

from meeting_service.settings import OpenAICompatibleGateway
from tests.meeting_service.http.service import served, settings_for
from tests.model_peer import ModelPeer, Speech, speak_once

pytestmark = pytest.mark.anyio

TURN_SECONDS = 2.0
MODEL = "gone-70b"


class Refusal(Struct, frozen=True):
    """How one server says that it does not serve the model."""

    server: str
    status: int
    body: Any


REFUSALS = (
    Refusal(
        "a bridge: code",
        503,
        {"error": {"code": "model_not_found", "message": "unknown model", "type": "new_api_error"}},
    ),
    Refusal(
        "a bridge: channel",
        503,
        {"error": {"message": f"no available channel for model {MODEL} under group default"}},
    ),
    Refusal("a bridge: instances", 503, {"error": f"no instances available for model {MODEL}"}),
    Refusal(
        "LiteLLM",
        503,
        {
            "error": {
                "message": f"No deployments available for selected model. Passed model={MODEL}",
                "type": "None",
                "code": "503",
            }
        },
    ),
    Refusal("TGI", 503, {"error": f"Model {MODEL} is overloaded", "error_type": "overloaded"}),
    Refusal("an inference API", 503, {"error": f"Model {MODEL} is currently loading", "eta": 20.0}),
    Refusal(
        "Groq",
        503,
        {
            "error": {
                "message": f"{MODEL} is currently over capacity. Please try again and back off.",
                "type": "internal_server_error",
            }
        },
    ),
    Refusal("Ollama", 404, {"error": f"model '{MODEL}' not found, try pulling it first"}),
    Refusal(
        "OpenRouter", 404, {"error": {"message": f"No endpoints found for {MODEL}.", "code": 404}}
    ),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.server)
async def test_only_the_participant_of_that_model_is_skipped(
    database_url: str, tmp_path: Path, refusal: Refusal
) -> None:
    calls: Counter[str] = Counter()

    def answer(call_key: str, body: dict[str, Any]) -> Speech:
        calls[body["model"]] += 1
        if body["model"] != MODEL:
            return speak_once(call_key, body)
        return Speech("", status=refusal.status, error=refusal.body)

    peer = ModelPeer()
    peer.answer = answer
    team = [
        {"id": "ann", "name": "Ann", "model": MODEL},
        {"id": "bob", "name": "Bob", "model": "small"},
    ]
    async with peer.listening() as url:
        settings = settings_for(
            database_url,
            tmp_path,
            gateways={"peer": OpenAICompatibleGateway(base_url=url, model="small")},
            max_attempts=1,
        )
        async with served(settings) as client:
            began = anyio.current_time()
            meeting_id = await client.start(participants=team)
            status = await client.ended(meeting_id)
            seconds = anyio.current_time() - began
    assert status["state"] == "complete"
    spoken = [turn["skipped_reason"] for turn in status["rounds"][0]["turns"]]
    assert spoken in (["unavailable", None], ["rejected", None])
    assert seconds < TURN_SECONDS
    assert calls[MODEL] <= 2  # her turn and the minutes
    assert peer.probes == 0
