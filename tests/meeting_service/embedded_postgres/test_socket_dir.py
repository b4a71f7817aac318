"""Where the socket is when the cluster's path cannot be a socket's."""

from pathlib import Path

import psycopg
import pytest

from meeting_service.embedded_postgres import EmbeddedServerError
from meeting_service.embedded_postgres.socket_dir import SocketDir
from tests.meeting_service.embedded_postgres.servers import APPLICATION, embedded

LONG_NAME = "long, and with spaces " * 5


def test_a_path_too_long_for_a_socket_gets_a_short_private_folder_beside(folder):
    with embedded(folder / LONG_NAME) as server, psycopg.connect(server.dsn()) as connection:
        host = Path(connection.info.host)
        assert host.parent == Path("/tmp")
        assert host.name.startswith(f"{APPLICATION}-")
        assert host.stat().st_mode & 0o777 == 0o700
    assert not host.exists()


def test_a_folder_that_others_can_enter_is_refused(tmp_path):
    data_dir = tmp_path / LONG_NAME
    socket_dir = SocketDir(data_dir, data_dir / "cluster", application="socket-test")
    socket_dir.path.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedServerError, match="is not a private folder of ours: remove it"):
            socket_dir.create(None)
    finally:
        socket_dir.path.rmdir()
