"""How many files one turn passes, from `POST /start` to its frame at the client: counted."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import anyio
import pytest

from meeting_service.settings import ScriptedGateway
from tests.meeting_service.http.service import BODY, TIMEOUT_SECONDS, served, settings_for

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(f"{ROOT / package}/" for package in ("meeting_core", "meeting_service"))
MAX_FILES = 60
GATEWAYS = {"scripted": ScriptedGateway(), "stalled": ScriptedGateway(delay_seconds=3_600)}
PARTICIPANTS = [
    {"id": "first", "name": "First", "gateway": "scripted"},
    {"id": "second", "name": "Second", "gateway": "stalled"},
]


@contextmanager
def traced() -> Iterator[dict[str, set[str]]]:
    """Note every file of the packages that a function runs in, with the functions' names."""
    seen: dict[str, set[str]] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGES):
            path = str(Path(code.co_filename).relative_to(ROOT))
            seen.setdefault(path, set()).add(code.co_qualname)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.mark.anyio
async def test_one_turn_passes_few_files(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path, gateways=GATEWAYS)
    body = {**BODY, "participants": PARTICIPANTS}
    async with served(settings) as client, client.stream("GET", "/api/events") as stream:
        lines = stream.aiter_lines()
        await anext(lines)  # the stream is open
        with anyio.fail_after(TIMEOUT_SECONDS), traced() as seen:
            assert (await client.post("/api/meetings/start", json=body)).status_code == 201
            async for line in lines:
                if line == "event: meeting-turn":
                    break
    listed = "\n".join(f"{path}: {', '.join(sorted(seen[path]))}" for path in sorted(seen))
    assert len(seen) <= MAX_FILES, f"{len(seen)} files:\n{listed}"
