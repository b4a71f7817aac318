"""A few bytes of the PostgreSQL protocol, enough to ask a server whether it answers.

Blocking and without dependencies, so it works before an event loop runs and in any thread.
Source: PostgreSQL documentation, "Message Flow" and "Message Formats".
"""

import socket
import struct
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

PROTOCOL_3_0 = 196608
CANNOT_CONNECT_NOW = "57P03"
DUPLICATE_DATABASE = "42P04"

ERROR = b"E"
READY_FOR_QUERY = b"Z"
SEVERITY = b"V"
SQLSTATE = b"C"


class ServerState(Enum):
    """How a server answers: nobody there, busy starting or stopping, or taking queries."""

    AWAY = auto()
    BUSY = auto()
    READY = auto()


def probe(socket_path: Path, *, timeout_seconds: float = 2.0) -> ServerState:
    """Say how the server behind a socket answers."""
    try:
        refusal = ask(socket_path, "postgres", timeout_seconds=timeout_seconds)
    except (ConnectionRefusedError, FileNotFoundError):
        return ServerState.AWAY
    except OSError:
        return ServerState.BUSY
    # Any other refusal, as "too many connections", comes from a server that is up.
    return ServerState.BUSY if refusal == CANNOT_CONNECT_NOW else ServerState.READY


def ask(
    socket_path: Path, database: str, statement: str | None = None, *, timeout_seconds: float = 30.0
) -> str | None:
    """Connect as the superuser, run one statement, leave.

    Returns the SQLSTATE the server refused with, or none.
    Raises: OSError when nobody listens or the connection breaks.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(socket_path))
        parameters = b"\0".join((b"user", b"postgres", b"database", database.encode(), b"\0"))
        connection.sendall(struct.pack("!ii", 8 + len(parameters), PROTOCOL_3_0) + parameters)
        refusal = _await_ready(connection)
        if refusal is None and statement is not None:
            text = statement.encode() + b"\0"
            connection.sendall(b"Q" + struct.pack("!i", 4 + len(text)) + text)
            refusal = _await_ready(connection)
        with suppress(OSError):
            connection.sendall(b"X" + struct.pack("!i", 4))
        return refusal


def _await_ready(connection: socket.socket) -> str | None:
    """Read messages until the server waits for a query or gives up; return an error's SQLSTATE."""
    refusal = None
    while True:
        kind, length = struct.unpack("!ci", _receive(connection, 5))
        body = _receive(connection, length - 4)
        if kind == ERROR:
            fields = {field[:1]: field[1:].decode() for field in body.split(b"\0")}
            refusal = fields[SQLSTATE]
            if fields[SEVERITY] in ("FATAL", "PANIC"):
                return refusal
        elif kind == READY_FOR_QUERY:
            return refusal


def _receive(connection: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes. Raises: ConnectionError when the other side is gone."""
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        received += chunk
    return received
