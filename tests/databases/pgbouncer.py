"""A real PgBouncer in front of a server."""

import subprocess
from pathlib import Path
from typing import Self

from tests.databases.programs import (
    free_port,
    own,
    own_folder,
    pgbouncer_program,
    process_options,
    wait_for_port,
)
from tests.databases.servers import PASSWORD, Server, database_url

# What the package ships, but for the mode, the address and the accounts.
CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
pool_mode = {mode}
{more}
"""


class PgBouncer:
    """One PgBouncer, with the settings as shipped and `more`."""

    def __init__(self, folder: Path, server: Server, mode: str = "session", more: str = "") -> None:
        self.port = free_port()
        self._folder = own_folder(folder / f"pgbouncer-{mode}-{self.port}")
        users = self._folder / "users.txt"
        users.write_text(f'"postgres" "{PASSWORD}"\n')
        self._configuration = self._folder / "pgbouncer.ini"
        self._configuration.write_text(
            CONFIGURATION.format(
                server_port=server.port,
                port=self.port,
                folder=self._folder,
                mode=mode,
                more=more,
            )
        )
        for path in (users, self._configuration):
            own(path)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", query: str = "") -> str:
        return database_url(f"127.0.0.1:{self.port}", database, query=query)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [pgbouncer_program(), "--quiet", self._configuration], **process_options()
        )
        wait_for_port(self.port, self._process, self._folder / "pgbouncer.log")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
