"""PostgreSQL servers over TCP with passwords: a primary, and a standby made from it."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psycopg

from tests.databases.programs import (
    POLL_SECONDS,
    START_SECONDS,
    free_port,
    own,
    own_folder,
    postgres_program,
    process_options,
    run,
)

PASSWORD = "se@sa/me"
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "fsync": "off",
    "full_page_writes": "off",
    "unix_socket_directories": "",
    "timezone": "UTC",
}
ADMITTED = (
    "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
)


class Server:
    """One server, in a folder that is new or that a base backup filled."""

    def __init__(self, folder: Path, name: str, **settings: str) -> None:
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self.port = free_port()
        self._folder = folder
        self._settings = {**SETTINGS, **settings, "port": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, database: str = "postgres", user: str = "postgres", query: str = "") -> str:
        return database_url(self.place, database, user, query)

    def create(self, *, admitted: str = ADMITTED) -> Self:
        own_folder(self.data)
        secret = own(self._written("password", PASSWORD))
        run(
            postgres_program("initdb"),
            f"--pgdata={self.data}",
            "--username=postgres",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        (self.data / "pg_hba.conf").write_text(admitted)
        return self

    def copy(self, primary: "Server") -> Self:
        """Become a standby of a running primary."""
        own_folder(self.data)
        run(
            postgres_program("pg_basebackup"),
            f"--pgdata={self.data}",
            "--checkpoint=fast",
            "--no-sync",
            "--write-recovery-conf",
            f"--dbname=host=127.0.0.1 port={primary.port} user=postgres application_name=standby",
            environment={"PGPASSWORD": PASSWORD},
        )
        return self

    def start(self) -> Self:
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [postgres_program("postgres"), "-D", self.data, *options],
                stdout=log,
                stderr=log,
                **process_options(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(POLL_SECONDS)
        return self

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str, *arguments: Any, database: str = "postgres") -> list[Any]:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def wait_until(self, statement: str) -> None:
        """Wait until a statement's first value is true."""
        deadline = time.monotonic() + START_SECONDS
        while not self.execute(statement)[0][0]:
            assert time.monotonic() < deadline, statement
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Kill the server and all its processes with -9."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        ids = [int(each) for each in children.read_text().split()]
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for each in ids:
            # They end by themselves when they notice; a connection must not live that long.
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def _written(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path


def database_url(place: str, database: str, user: str = "postgres", query: str = "") -> str:
    secret = quote(PASSWORD, safe="")
    return f"postgresql://{user}:{secret}@{place}/{database}{query and f'?{query}'}"
