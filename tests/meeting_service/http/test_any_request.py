"""Requests that a machine makes up from the OpenAPI document: every answer is as it says."""

import sys
from pathlib import Path

import anyio
import pytest

from tests.meeting_service.http.service import Client

pytestmark = pytest.mark.anyio

CONFIG = """\
[parameters]
"path.meeting_id" = ["{complete}", "{live}", "00000000-0000-4000-8000-000000000000"]
"""


async def test_made_up_requests_are_answered_as_the_document_says(
    client: Client, tmp_path: Path
) -> None:
    complete = await client.start()
    await client.ended(complete)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(complete=complete, live=await client.start(room_id="blue")))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{client.base_url}/openapi.json".replace("//openapi", "/openapi")),
        *("--phases", "coverage,fuzzing", "--max-examples", "3", "--generation-deterministic"),
        # Streams do not end by themselves; what a start takes depends on the directory.
        *("--exclude-path-regex", "events$", "--exclude-checks", "positive_data_acceptance"),
        *("--request-timeout", "20", "--no-color", "--continue-on-failure", "--warnings", "off"),
    ]
    ended = await anyio.run_process(command, check=False, cwd=tmp_path)
    report = ended.stdout.decode() + ended.stderr.decode()
    assert ended.returncode == 0, report
    assert "18 passed" in report, report
