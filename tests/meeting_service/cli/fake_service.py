"""A service that answers what a test tells it to, over real sockets: for trying its clients."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct


class Reply(Struct, frozen=True):
    """One answer. `breaks` ends the connection before the body is whole.

    Shape: `held_open` keeps the connection open after the body until it is set.
    """

    status: int = 200
    body: Any = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    breaks: bool = False
    held_open: threading.Event | None = None


class Request(Struct, frozen=True):
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class FakeService:
    """Answers each path with its replies in turn, the last one for ever."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = defaultdict(list)
        self.requests: list[Request] = []
        self.url = ""
        self._lock = threading.Lock()

    def on(self, path: str, *replies: Reply) -> None:
        """Say what a path answers; a path is without its query."""
        self.replies[path].extend(replies)

    def requests_to(self, path: str) -> list[Request]:
        """Return the requests for a path."""
        return [request for request in self.requests if request.path.partition("?")[0] == path]

    def next_reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            replies = self.replies.get(request.path.partition("?")[0])
            if not replies:
                return problem(404, "there is no such path")
            return replies.pop(0) if len(replies) > 1 else replies[0]


def problem(status: int, detail: str, **more: Any) -> Reply:
    """Answer with problem+json."""
    headers = more.pop("headers", {})
    body = {"type": "about:blank", "title": "Problem", "status": status, "detail": detail, **more}
    return Reply(status, body, "application/problem+json", headers)


def frame(version: int | None, event: str, **data: Any) -> str:
    """Write one event of a feed."""
    number = f"id: {version}\n" if version is not None else ""
    body = {"meeting_id": "m1", "version": version, "at": "2026-11-23T10:45:00.000Z", **data}
    return f"{number}event: meeting-{event}\ndata: {json.dumps(body)}\n\n"


def feed(*frames: str, **how: Any) -> Reply:
    """Answer with a feed: its opening, then the frames."""
    body = ": feed\nretry: 10\n\n" + "".join(frames)
    return Reply(200, body, "text/event-stream", **how)


@contextmanager
def fake_service() -> Iterator[FakeService]:
    """Run one on a free port."""
    service = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = service.next_reply(Request(self.command, self.path, headers, body))
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            encoded = b"" if reply.body is None else body.encode()
            # A length that is never reached is how a broken connection looks to the other side.
            missing = 1 if reply.breaks or reply.held_open else 0
            self.close_connection = True
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(encoded) + missing))
            self.send_header("Connection", "close")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(encoded)
            self.wfile.flush()
            if reply.held_open is not None:
                reply.held_open.wait(60)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def whole_feed() -> Sequence[str]:
    """Return the frames of a short meeting, complete, with a delta in it."""
    place = {"round": 1, "agent_id": "dev", "agent_name": "Devi", "turn_index": 0, "total_turns": 1}
    return (
        frame(1, "started", title="Sync", participants=["dev", "qa"], total_rounds=1),
        frame(2, "state", state="round_1", current_round=1, total_rounds=1, round_topic="Now"),
        frame(3, "turn-start", **place, attempt=1),
        frame(None, "turn-delta", round=1, agent_id="dev", text="All "),
        frame(None, "turn-delta", round=1, agent_id="dev", text="well."),
        frame(
            4,
            "turn",
            **place,
            response="All\nwell.",
            progress_pct=45,
            prompt_tokens=1_000,
            response_tokens=20,
        ),
        frame(5, "synthesis", state="synthesizing", progress_pct=90),
        frame(
            6,
            "complete",
            state="complete",
            progress_pct=100,
            duration_seconds=1.5,
            total_tokens=1_500,
            output_path="minutes/sync.md",
        ),
    )
