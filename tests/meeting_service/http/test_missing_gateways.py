"""Two services with different settings on one database, and a gateway that was renamed."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from meeting_service.settings import ScriptedGateway
from tests.meeting_service.http.service import TIMEOUT_SECONDS, Client, served, settings_for

pytestmark = pytest.mark.anyio

SLOW = ScriptedGateway(delay_seconds=3_600)
FAST = ScriptedGateway(words_per_delta=0)
LOGGED = "1 meeting waits for gateway 'local', which no process has"


def settings(database_url: str, folder: Path, gateway: str, **changes: Any) -> Any:
    gateways = {gateway: changes.pop("kind", FAST)}
    fields = {"lease_seconds": 1, "log_level": "info", **changes}
    return settings_for(database_url, folder, gateways=gateways, default_gateway=gateway, **fields)


async def waits(client: Client, meeting_id: str) -> dict[str, Any]:
    """Wait until the service says what the meeting waits for."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        while (waiting := (await client.status(meeting_id))["waiting"]) is None:
            await anyio.lowlevel.checkpoint()
    return dict(waiting)


async def test_a_service_with_other_settings_ruins_no_meeting(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(settings(database_url, tmp_path, "local", kind=SLOW)) as owner:
        meeting_id = await owner.start()
    async with served(settings(database_url, tmp_path, "other")) as beside:
        waiting = await waits(beside, meeting_id)
        (listed,) = (await beside.get("/api/meetings")).json()["meetings"]
        warning = await missing_gateway_warning(beside, f"/api/meetings/{meeting_id}/events")
        global_warning = await missing_gateway_warning(beside, "/api/events")
        # A meeting of its own goes on as ever.
        assert (await beside.ended(await beside.start()))["state"] == "complete"
        assert (await beside.status(meeting_id))["state"] == "round_1"
        async with served(settings(database_url, tmp_path, "local")) as back:
            status = await back.ended(meeting_id)
    assert (waiting["for"], waiting["gateway"]) == ("gateway", "local")
    assert waiting["until"] > waiting["since"]
    assert listed["waiting"] == waiting
    for each in (warning, global_warning):
        assert (each["code"], each["severity"]) == ("gateway_missing", "warning")
        assert each["meeting_id"] == meeting_id
        assert "'local'" in each["message"]
    assert status["state"] == "complete"
    assert status["waiting"] is None
    turns = [turn for each in status["rounds"] for turn in each["turns"]]
    assert [turn["skipped_reason"] for turn in turns] == [None, None]
    assert caplog.text.count(LOGGED) == 1


async def missing_gateway_warning(client: Client, path: str) -> dict[str, Any]:
    """Open a stream, and wait for the warning of a missing gateway."""
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with client.stream("GET", path) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: ") and '"gateway_missing"' in line:
                    return dict(json.loads(line.removeprefix("data: ")))
    raise AssertionError("there was no warning")


async def test_a_gateway_renamed_between_two_starts_ends_the_meeting_only_after_its_time(
    database_url: str, tmp_path: Path
) -> None:
    async with served(settings(database_url, tmp_path, "local", kind=SLOW)) as client:
        meeting_id = await client.start()
    renamed = settings(database_url, tmp_path, "home", missing_gateway_timeout_seconds=3.0)
    async with served(renamed) as client:
        await waits(client, meeting_id)
        status = await client.ended(meeting_id)
    assert (status["state"], status["error_reason"]) == ("error", "gateway_missing")
    assert "'local'" in status["error_message"]
    assert [each["turns"] for each in status["rounds"]] == [[]]
