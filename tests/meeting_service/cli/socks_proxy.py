"""A SOCKS5 proxy that leads every connection to one place, whatever name was asked for."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SocksProxy(socketserver.ThreadingTCPServer):
    """Serves on a free port of the loopback address. `asked_for` holds the names."""

    daemon_threads = True

    def __init__(self, destination: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.destination = destination
        self.asked_for: list[str] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Connection(socketserver.StreamRequestHandler):
    server: SocksProxy

    def handle(self) -> None:
        _, methods = self.rfile.read(2)
        self.rfile.read(methods)
        self.wfile.write(b"\x05\x00")
        *_, kind = self.rfile.read(4)
        length = self.rfile.read(1)[0] if kind == 3 else 4
        self.server.asked_for.append(self.rfile.read(length).decode("latin-1"))
        self.rfile.read(2)
        with socket.create_connection(self.server.destination) as onward:
            self.wfile.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            back = threading.Thread(target=_copy, args=(onward, self.connection))
            back.start()
            _copy(self.connection, onward)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    while chunk := source.recv(65_536):
        target.sendall(chunk)
    target.shutdown(socket.SHUT_WR)


@contextmanager
def socks_proxy(url: str) -> Iterator[SocksProxy]:
    """Run one that leads to the server at a URL."""
    host, _, port = url.rpartition("/")[2].partition(":")
    with SocksProxy((host, int(port))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
