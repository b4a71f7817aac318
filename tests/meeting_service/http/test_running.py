"""The service as a whole: how it starts, how it stops, what keeps it from starting."""

import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import httpx2
import pytest

from meeting_service import app
from meeting_service.app.gateways import open_gateways
from meeting_service.http.server import CannotListen, listening_socket
from meeting_service.settings import (
    AgentSettings,
    OpenAICompatibleGateway,
    ScriptedGateway,
    Secret,
    SettingsError,
)
from meeting_service.store.postgres.migrate import MigrationError
from tests.meeting_service.http.service import (
    BODY,
    STALLED,
    TIMEOUT_SECONDS,
    Client,
    assert_problem,
    served,
    settings_for,
)
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.anyio


async def test_while_it_stops_it_starts_nothing_ends_streams_and_still_answers(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, gateways=STALLED, drain_seconds=2.0)
    ready, stop, has_stopped = anyio.Event(), anyio.Event(), anyio.Event()
    url = ""

    async def run() -> None:
        nonlocal url
        async with app.running(settings) as url:
            ready.set()
            await stop.wait()
        has_stopped.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await ready.wait()
        async with Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            meeting_id = await client.start()
            async with client.stream("GET", f"/api/meetings/{meeting_id}/events") as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == ": feed"
                stop.set()
                async for _ in lines:
                    pass
            assert not has_stopped.is_set()
            refused = await client.post("/api/meetings/start", json=BODY)
            assert_problem(refused, 503, "stopping")
            assert int(refused.headers["retry-after"]) > 0
            assert_problem(await client.get("/health/ready"), 503, "stopping")
            assert (await client.status(meeting_id))["state"] == "round_1"
        with anyio.fail_after(settings.drain_seconds):
            await has_stopped.wait()
    async with served(settings_for(database_url, tmp_path)) as client:
        assert (await client.ended(meeting_id))["state"] == "complete"


async def test_it_stops_in_time_though_a_client_never_reads_its_stream(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, gateways=STALLED, drain_seconds=1.0)
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with app.running(settings) as url:
            streams = []
            for _ in range(5):
                stream = await anyio.connect_tcp("127.0.0.1", httpx2.URL(url).port)
                await stream.send(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await stream.receive()).startswith(b"HTTP/1.1 200")
                streams.append(stream)
            before = anyio.current_time()
        assert anyio.current_time() - before < settings.drain_seconds + 0.5
        for stream in streams:
            await stream.aclose()


async def test_an_error_inside_comes_out_as_itself(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with app.running(settings_for(database_url, tmp_path)):
            raise ZeroDivisionError


async def test_cancelling_it_stops_it_in_order(database_url: str, tmp_path: Path) -> None:
    url = ""
    with anyio.CancelScope() as scope:
        async with app.running(settings_for(database_url, tmp_path, gateways=STALLED)) as url:
            async with Client(base_url=url) as client:
                meeting_id = await client.start()
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    with pytest.raises(OSError, match=r"connect|refused"):
        await anyio.connect_tcp("127.0.0.1", httpx2.URL(url).port)
    async with served(settings_for(database_url, tmp_path)) as client:
        assert (await client.ended(meeting_id))["state"] == "complete"


async def test_a_port_in_use_is_one_clear_line(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wrong = f"cannot listen on 127.0.0.1:{port}: address already in use"
        with pytest.raises(CannotListen, match=wrong):
            async with app.running(settings_for(database_url, tmp_path, port=port)):
                pass
        code, output = await failed_serve("--port", str(port), "--database-url", database_url)
    assert code == 1
    assert wrong in output
    assert output.count("\n") == 1


async def test_a_database_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"postgresql://u:sesame@127.0.0.1:{closed.getsockname()[1]}/x"
    with pytest.raises(MigrationError, match="could not be upgraded"):
        async with app.running(settings_for(url, tmp_path)):
            pass
    code, output = await failed_serve("--port", "0", "--database-url", url)
    assert code == 1
    assert "could not be upgraded" in output
    assert output.count("\n") == 1
    assert "sesame" not in output


async def failed_serve(*arguments: str) -> tuple[int, str]:
    """Run `meetings serve` where it cannot start; return its exit code and what it says."""
    command = [sys.executable, "-m", "meeting_service", "serve", *arguments]
    ended = await anyio.run_process(command, check=False)
    assert ended.stdout == b""
    return ended.returncode, ended.stderr.decode()


async def test_an_empty_database_is_given_its_schema(empty_database_url, tmp_path):
    async with served(settings_for(empty_database_url, tmp_path)) as client:
        assert (await client.ended(await client.start()))["state"] == "complete"


async def test_a_gateway_that_can_never_work_is_a_wrong_setting(tmp_path: Path) -> None:
    script = tmp_path / "replies.toml"
    script.write_text("replies = 3")
    for gateway, words in (
        (ScriptedGateway(replies_file=script), "replies.toml"),
        (
            OpenAICompatibleGateway(base_url="http://127.0.0.1:9", extra_body={"n": 2}),
            "extra_body",
        ),
    ):
        with pytest.raises(SettingsError, match=rf"gateways\.broken: .*{words}"):
            async with open_gateways({"broken": gateway}, {}):
                pass


async def test_no_secret_is_logged(database_url, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    remote = OpenAICompatibleGateway(
        base_url="http://127.0.0.1:9/v1",
        api_key=Secret("sesame"),
        headers={"X-Token": Secret("sesame")},
        model="m",
    )
    settings = settings_for(
        database_url,
        tmp_path,
        gateways={"remote": remote},
        default_gateway="remote",
        agents={"a": AgentSettings(), "b": AgentSettings()},
        gateway_reconnect_timeout_seconds=0.1,
        log_level="debug",
    )
    async with served(settings) as client:
        status = await client.ended(await client.start(participants=["a", "b"]))
        assert status["state"] == "error"
        assert "sesame" not in json.dumps(await client.facts(status["id"]))
    assert caplog.records
    assert "sesame" not in caplog.text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_stops_the_process_by_itself(
    database_url: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = ServiceProcess(tmp_path, "drain_seconds = 5", "--database-url", database_url)
    async with process, Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        async with client.stream("GET", f"{process.url}/api/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ": feed"
            assert process._process is not None
            os.kill(process._process.pid, number)
            async for _ in lines:
                pass
        with anyio.fail_after(5):
            assert await process.ended() == code


async def test_a_signal_during_the_start_calls_it_off(short_folder: Path) -> None:
    data = short_folder / "data"
    command = [sys.executable, "-m", "meeting_service", "serve", "--port", "0"]
    async with await anyio.open_process([*command, "--data-dir", str(data)]) as process:
        with anyio.fail_after(TIMEOUT_SECONDS):
            while not data.exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.01)
            process.terminate()
            assert await process.wait() == 0
        assert process.stdout is not None
        with pytest.raises(anyio.EndOfStream):
            await process.stdout.receive()
    assert not (data / "cluster" / "postmaster.pid").exists()


def test_the_socket_names_its_protocol_so_that_no_answer_waits_to_be_sent() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
