"""CPU of a streamed turn: the whole service in its process beside a bare HTTP client, in one run.

The service holds 64 meetings at once (4 participants, 3 rounds, minutes) through its
OpenAI-compatible gateway, on an embedded PostgreSQL. The bare client makes as many calls, 64 at
once, with the same HTTP library, splits the lines and decodes each chunk, and does nothing else.
Both speak to one model server in a process of its own, which answers each call at once with 200
chunks. The two alternate, so that a drift of the machine's speed hits both; read the ratio.

    python bench/streaming.py [--quick]
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import msgspec
import uvloop

from meeting_service.app import running
from meeting_service.settings import AgentSettings, OpenAICompatibleGateway, Settings

MEETINGS = 64
ROUNDS = 3
TEAM = ("planner", "dev", "design", "qa")
CALLS = MEETINGS * (ROUNDS * len(TEAM) + 1)
CHUNKS = 200
PROMPT = "We measured it twice, and 3 of 4 runs agreed within a percent. " * 60
SECTIONS = "## Action Items\nNone\n## Decisions\nNone\n## Blockers\nNone\n"
MINUTES = f"## Discussion Summary\nFine.\n{SECTIONS}"

Job: TypeAlias = Callable[[Connection], None]
Context = multiprocessing.get_context("spawn")


def serve_model(pipe: Connection) -> None:
    """Answer chat completions in chunks, until the process is ended; send the port first."""
    uvloop.run(_serve_model(pipe))


async def _serve_model(pipe: Connection) -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=1_024)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            is_synthesis = b"/synthesis/" in head
            writer.write(_HEAD)
            for piece in _MINUTES_PIECES if is_synthesis else _TURN_PIECES:
                writer.write(piece)
                # The next piece is a segment of its own, as a model would send it.
                await asyncio.sleep(0)
            writer.write(_TAIL)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


def _chunk(**fields: Any) -> bytes:
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}
    data = b"data: " + msgspec.json.encode(frame) + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _pieces(opening: str) -> list[bytes]:
    words = [opening, *(f"word{n} " for n in range(CHUNKS - 1))]
    return [_chunk(choices=[{"index": 0, "delta": {"content": word}}]) for word in words]


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_TURN_PIECES = _pieces("Well, ")
_MINUTES_PIECES = _pieces(MINUTES)
_DONE = b"data: [DONE]\n\n"
_TAIL = (
    _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _chunk(choices=[], usage={"prompt_tokens": 900, "completion_tokens": 400})
    + b"%x\r\n%s\r\n0\r\n\r\n" % (len(_DONE), _DONE)
)


def run_service(pipe: Connection, port: int, folder: str) -> None:
    """Run the service; send its address, then its CPU seconds whenever asked."""
    uvloop.run(_run_service(pipe, port, Path(folder)))


async def _run_service(pipe: Connection, port: int, folder: Path) -> None:
    settings = Settings(
        port=0,
        data_dir=folder / "data",
        output_dir=folder / "minutes",
        log_level="error",
        gateways={
            "model": OpenAICompatibleGateway(base_url=f"http://127.0.0.1:{port}/v1", model="m")
        },
        agents={agent: AgentSettings(name=agent.title()) for agent in TEAM},
    )
    async with running(settings) as url:
        pipe.send(url)
        threading.Thread(target=_send_cpu, args=(pipe,), daemon=True).start()
        await asyncio.Event().wait()


def _send_cpu(pipe: Connection) -> None:
    while pipe.recv() == "cpu":
        pipe.send(time.process_time())


def run_client(pipe: Connection, port: int) -> None:
    """Make all calls by a bare client whenever asked; send CPU seconds and seconds."""
    while pipe.recv() == "run":
        pipe.send(uvloop.run(_call_all(f"http://127.0.0.1:{port}/v1/chat/completions")))


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


async def _call_all(url: str) -> tuple[float, float]:
    left = iter(range(CALLS))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    content = msgspec.json.encode(body)
    limits = httpx2.Limits(max_connections=MEETINGS, max_keepalive_connections=MEETINGS)
    async with httpx2.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:

        async def work() -> None:
            for _ in left:
                async with client.stream("POST", url, content=content) as response:
                    assert len((await _text_in(response.aiter_raw())).split()) >= CHUNKS

        cpu, start = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(MEETINGS):
                tasks.create_task(work())
        return time.process_time() - cpu, time.perf_counter() - start


async def _text_in(pieces: AsyncIterable[bytes]) -> str:
    texts, rest, decoder = [], b"", msgspec.json.Decoder(_Chunk)
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                texts += [each.delta.content for each in decoder.decode(line[6:]).choices]
    return "".join(texts)


@contextmanager
def child(job: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Run a job in a process of its own; give the pipe to it."""
    here, there = Context.Pipe()
    process = Context.Process(target=job, args=(there, *arguments), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.terminate()
        process.join()


def hold_meetings(service: Connection, http: httpx2.Client) -> tuple[float, float]:
    """Hold all meetings through the service; return its CPU seconds, and the seconds."""
    service.send("cpu")
    cpu, start = service.recv(), time.perf_counter()
    request = {
        "goal": "Measure",
        "participants": TEAM,
        "num_rounds": ROUNDS,
        "max_tokens_per_turn": 1_000,
        "synthesis_max_tokens": 1_000,
        "context_tokens": 4_000,
    }
    started = [http.post("/api/meetings/start", json=request) for _ in range(MEETINGS)]
    left = {answer.raise_for_status().json()["id"] for answer in started}
    while left:
        meeting_id = next(iter(left))
        status = http.get(f"/api/meetings/{meeting_id}/status").raise_for_status().json()
        if status["state"] == "complete":
            left.remove(meeting_id)
        else:
            assert status["state"] not in {"error", "cancelled"}, status
            time.sleep(0.2)
    seconds = time.perf_counter() - start
    service.send("cpu")
    return service.recv() - cpu, seconds


def measure(runs: int) -> None:
    """Alternate the service and the bare client; print what a turn costs each, and the ratio."""
    with tempfile.TemporaryDirectory() as folder, child(serve_model) as model:
        port = model.recv()
        with (
            child(run_service, port, folder) as service,
            child(run_client, port) as client,
            httpx2.Client(base_url=service.recv(), timeout=60.0) as http,
        ):
            ours, bare, ratios = [], [], []
            for run in range(runs + 1):
                client.send("run")
                bare_cpu, bare_seconds = client.recv()
                our_cpu, our_seconds = hold_meetings(service, http)
                if run > 0:  # The first warms both up.
                    ours.append((1_000 * our_cpu / CALLS, CALLS / our_seconds))
                    bare.append((1_000 * bare_cpu / CALLS, CALLS / bare_seconds))
                    ratios.append(our_cpu / bare_cpu)
    for name, found in (("service", ours), ("bare client", bare)):
        cpu, rate = (statistics.median(each) for each in zip(*found, strict=True))
        print(f"{name:12} {cpu:6.2f} ms of CPU a turn, {rate:6.0f} turns/s")
    low, high = min(ratios), max(ratios)
    print(f"ratio of CPU {statistics.median(ratios):6.2f} (min {low:.2f}, max {high:.2f})")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs, for a first look")
    measure(1 if parser.parse_args(arguments).quick else 5)


if __name__ == "__main__":
    main()
