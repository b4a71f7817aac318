"""Which files one turn passes, from `POST /start` to its frame at the client: traced."""

import asyncio
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import anyio
import pytest

from meeting_service.settings import ScriptedGateway
from tests.meeting_service.http.service import BODY, TIMEOUT_SECONDS, served, settings_for

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(f"{ROOT / package}/" for package in ("meeting_core", "meeting_service"))
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
MAX_FILES = 31
REPLY = 'replies = ["I have written the plan."]\n'
PARTICIPANTS = [
    {"id": "first", "name": "First", "gateway": "scripted"},
    {"id": "second", "name": "Second", "gateway": "stalled"},
]


LOOPS_OF_NO_TURN = {"claims", "changes from outside", "lease renewal", "missing gateways"}
"""Tasks in the background that happen to run meanwhile."""


def task_name() -> str:
    """Return the name of the task that runs now; empty outside the event loop."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return ""
    return task.get_name() if task is not None else ""


@contextmanager
def traced() -> Iterator[dict[str, set[str]]]:
    """Note every file of the packages that a function runs in, with the functions' names."""
    seen: dict[str, set[str]] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_ours = event == "call" and code.co_filename.startswith(PACKAGES)
        if is_ours and task_name() not in LOOPS_OF_NO_TURN:
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
async def test_one_turn_passes_few_files_and_the_page_lists_them(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "replies.toml").write_text(REPLY)
    gateways = {
        "scripted": ScriptedGateway(replies_file=tmp_path / "replies.toml"),
        "stalled": ScriptedGateway(delay_seconds=3_600),
    }
    body = {**BODY, "participants": PARTICIPANTS}
    settings = settings_for(database_url, tmp_path, gateways=gateways)
    async with served(settings) as client, client.stream("GET", "/api/events") as stream:
        lines = stream.aiter_lines()
        with anyio.fail_after(TIMEOUT_SECONDS):
            # What the start leaves to be done once is over with the first meeting's turn.
            await client.start(**body)
            await until_turn(lines)
            with traced() as seen:
                await client.start(**body)
                await until_turn(lines)
    path = PAGE.read_text().partition("<!-- path of a turn -->")[2].partition("<!-- end")[0]
    listed = re.findall(r"^\d+\. `([\w/.]+)`", path, re.MULTILINE)
    functions = "\n".join(f"{path}: {', '.join(sorted(seen[path]))}" for path in sorted(seen))
    assert set(listed) == seen.keys(), functions
    assert len(seen) <= MAX_FILES, functions


async def until_turn(lines: AsyncIterator[str]) -> None:
    """Read the feed up to the frame of a turn that has ended."""
    async for line in lines:
        if line == "event: meeting-turn":
            return
