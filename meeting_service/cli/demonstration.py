"""The demo: a service on a port of its own, one meeting, its minutes."""

import sys
from pathlib import Path

import anyio
from msgspec import structs
from rich.console import Console

from meeting_service import app
from meeting_service.app.database import default_data_dir
from meeting_service.cli.client import ServiceClient, meeting_path
from meeting_service.cli.exit_codes import Exit
from meeting_service.cli.printable import one_line
from meeting_service.cli.tables import print_minutes
from meeting_service.cli.watcher import shows_live, watch_meeting
from meeting_service.settings import DEFAULT_AGENTS, ScriptedGateway, Settings

# Slow enough on a terminal to see the text grow.
READING_CHUNK_SECONDS = 0.005
WORDS_PER_CHUNK = 4
CANCEL_TIMEOUT_SECONDS = 2.0
GOAL = "Agree on what ships in the first release, who does what, and what could stop us."
MEETING = {
    "title": "First release",
    "goal": GOAL,
    "participants": list(DEFAULT_AGENTS),
    "meeting_tokens": 60_000,
}


def own_data_dir() -> Path:
    """Return the folder of the demo's database.

    It is not the one of `serve`: a service resumes the unfinished meetings of its database, and the
    demo has none of their gateways.
    """
    usual = default_data_dir()
    return usual.with_name(f"{usual.name}-demo")


def run_demo(settings: Settings, *, as_json: bool) -> Exit:
    """Run the demo's meeting with the settings' database and output folder.

    Raises: `CommandError`, `EmbeddedServerError`, `MigrationError`.
    """
    is_live = not as_json and shows_live(Console())
    chunk_delay_seconds = READING_CHUNK_SECONDS if is_live else 0.0
    scripted = structs.replace(
        settings,
        host="127.0.0.1",
        port=0,
        default_gateway="scripted",
        gateways={
            "scripted": ScriptedGateway(
                chunk_delay_seconds=chunk_delay_seconds, words_per_delta=WORDS_PER_CHUNK
            )
        },
        agents=DEFAULT_AGENTS,
        log_level="error",
    )
    return anyio.run(_run_meeting, scripted, as_json)


async def _run_meeting(settings: Settings, as_json: bool) -> Exit:
    _print_status("starting the service and its database (the first start takes longer)")
    async with app.running(settings) as url, ServiceClient(url) as client:
        started = await client.post("/api/meetings/start", MEETING)
        meeting_id = str(started["id"])
        _print_status(f"meeting {one_line(meeting_id)} on {url}")
        try:
            ended = await watch_meeting(client, meeting_id, as_json=as_json)
        except anyio.get_cancelled_exc_class():
            # An unfinished meeting would go on beside the next demo.
            with anyio.move_on_after(CANCEL_TIMEOUT_SECONDS, shield=True):
                await client.post(meeting_path(meeting_id, "cancel"))
            raise
        if ended is Exit.COMPLETE and not as_json:
            answer = await client.get(meeting_path(meeting_id, "output"))
            print(flush=True)
            print_minutes(str(answer["output_md"]))
            if answer.get("output_path"):
                _print_status(f"saved as {one_line(str(answer['output_path']))}")
    return ended


def _print_status(text: str) -> None:
    print(f"meetings: {text}", file=sys.stderr, flush=True)
