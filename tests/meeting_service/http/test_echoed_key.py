"""A model server that gives the key back wherever it can: nobody else may ever see it."""

import json
import logging
from pathlib import Path

import anyio
import pytest

from meeting_service.settings import AgentSettings, load_settings
from tests.contracts.gateway_cases import KEY
from tests.meeting_service.gateways.wire_peer import (
    DONE,
    EVENT_STREAM,
    chunked,
    counts,
    ends,
    event,
    head,
    refusal,
    says,
    stream,
    whole,
    wire_peer,
)
from tests.meeting_service.http.service import served, settings_for

pytestmark = pytest.mark.anyio

ERROR = {"message": f"bad key {KEY}, header Bearer {KEY}", "code": KEY, "type": KEY, "param": KEY}
ECHOES = [
    refusal("401 Unauthorized", ERROR, x_echo=KEY, www_authenticate=f"Bearer {KEY}"),
    refusal(f"503 {KEY}", {}),
    whole("500 Oops", KEY),
    whole("307 Moved", "", location=f"http://127.0.0.1:1/{KEY}"),
    whole("200 OK", KEY, content_type=f"text/{KEY}"),
    [head(content_type=EVENT_STREAM, x_echo=KEY), chunked(f"data: {{{KEY}\n\n"), b"zz\r\n"],
    stream(says("Half"), event(error=ERROR), DONE),
    stream(event(choices=[{"delta": {"refusal": f"Not with {KEY}."}}]), ends()),
    stream(ends(KEY), DONE),
    stream(says("Half"), ends("content_filter", model=KEY)),
]
GOOD = stream(says("All good.", model=KEY), ends(f"stop {KEY}"), counts(11, 3), DONE)
MAX_CALLS = 40


async def test_a_key_that_comes_back_is_shown_nowhere(
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    agents = {f"agent-{number}": AgentSettings() for number in range(8)}
    async with wire_peer(*ECHOES, *[GOOD] * MAX_CALLS) as peer:
        (tmp_path / "meetings.toml").write_text(
            f"""
            [gateways.echo]
            kind = "openai_compatible"
            base_url = "{peer.base_url}"
            model = "parrot"
            api_key_env = "PARROT_KEY"
            headers = {{ X-Token = "{KEY[::-1]}" }}
            """
        )
        loaded = load_settings(tmp_path / "meetings.toml", {"PARROT_KEY": KEY}, {})
        settings = settings_for(
            database_url, tmp_path, gateways=loaded.gateways, agents=agents, log_level="debug"
        )
        async with served(settings) as client:
            meeting_id = await client.start(participants=list(agents), num_rounds=2)
            received = await client.watched(meeting_id)
            facts = await client.facts(meeting_id)
            status = await client.status(meeting_id)
            listed = (await client.get("/api/meetings")).json()
    assert peer.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert len(peer.asked) > len(ECHOES)
    assert status["state"] == "complete"
    minutes = await anyio.Path(status["output_path"]).read_text("utf-8")
    seen = "\n".join(
        [*map(json.dumps, (received, facts, status, listed)), repr(settings), minutes, caplog.text]
    )
    assert "[secret]" in seen
    assert caplog.records
    assert KEY not in seen
    assert KEY[::-1] not in seen
