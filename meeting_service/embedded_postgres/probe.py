"""A few bytes of the PostgreSQL protocol, enough to check whether a server answers.

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
    """How a server answers: not at all, busy starting or stopping, or ready for queries."""

    UNREACHABLE = auto()
    BUSY = auto()
    READY = auto()


def probe(socket_path: Path, *, timeout_seconds: float = 2.0) -> ServerState:
    """Return how the server behind a socket answers."""
    try:
        sqlstate = execute(socket_path, "postgres", timeout_seconds=timeout_seconds)
    except (ConnectionRefusedError, FileNotFoundError):
        return ServerState.UNREACHABLE
    except OSError:
        return ServerState.BUSY
    # Any other error, as "too many connections", comes from a server that is up.
    return ServerState.BUSY if sqlstate == CANNOT_CONNECT_NOW else ServerState.READY


def execute(
    socket_path: Path, database: str, statement: str | None = None, *, timeout_seconds: float = 30.0
) -> str | None:
    """Connect as the superuser, run one statement if given, and disconnect.

    Returns the SQLSTATE of the server's refusal; None if it did not refuse.
    Raises: OSError when no server listens or the connection breaks.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_seconds)
        connection.connect(str(socket_path))
        parameters = b"\0".join((b"user", b"postgres", b"database", database.encode(), b"\0"))
        connection.sendall(struct.pack("!ii", 8 + len(parameters), PROTOCOL_3_0) + parameters)
        sqlstate = _read_until_ready(connection)
        if sqlstate is None and statement is not None:
            text = statement.encode() + b"\0"
            connection.sendall(b"Q" + struct.pack("!i", 4 + len(text)) + text)
            sqlstate = _read_until_ready(connection)
        with suppress(OSError):
            connection.sendall(b"X" + struct.pack("!i", 4))
        return sqlstate


def _read_until_ready(connection: socket.socket) -> str | None:
    """Read messages until the server is ready or gives up; return the SQLSTATE of an error."""
    sqlstate = None
    while True:
        kind, length = struct.unpack("!ci", _receive(connection, 5))
        body = _receive(connection, length - 4)
        if kind == ERROR:
            fields = {field[:1]: field[1:].decode() for field in body.split(b"\0")}
            sqlstate = fields[SQLSTATE]
            if fields[SEVERITY] in ("FATAL", "PANIC"):
                return sqlstate
        elif kind == READY_FOR_QUERY:
            return sqlstate


def _receive(connection: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes. Raises: ConnectionError when the other side is gone."""
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        received += chunk
    return received
