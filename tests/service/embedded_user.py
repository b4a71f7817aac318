"""A process that uses the embedded server: it says the data source name, and leaves when told to.

    python -m tests.service.embedded_user DATA_DIR|- [--normal-user] [--stale-process]

It leaves when its input ends. As root, `--normal-user` gives root's rights up first.
"""

import os
import pwd
import subprocess
import sys
from pathlib import Path

from meeting_service.store import server_process
from meeting_service.store.embedded import EmbeddedServer, default_data_dir
from meeting_service.store.server_binaries import find_programs, server_account


def give_root_up() -> None:
    """Become an ordinary user; whoever is one stays who they are."""
    if os.geteuid() != 0:
        return
    # What only root can reach, as an environment in root's home, is looked up before.
    programs = find_programs(server_account(Path("/nonexistent")))
    server_process.find_programs = lambda account: programs
    ordinary = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(ordinary.pw_gid)
    os.setuid(ordinary.pw_uid)


def pretend_stale(cluster: Path) -> "subprocess.Popen[bytes]":
    """Leave the process id of a stranger of this user, as a crash and a reboot would."""
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n")
    (cluster / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n{cluster}\n")
    return stranger


def main(folder: str, *options: str) -> None:
    if "--normal-user" in options:
        give_root_up()
    data_dir = default_data_dir() if folder == "-" else Path(folder)
    stranger = pretend_stale(data_dir / "cluster") if "--stale-process" in options else None
    with EmbeddedServer(data_dir, durable=False) as server:
        print(server.dsn(), flush=True)
        sys.stdin.read()
    if stranger is not None:
        stranger.communicate()


if __name__ == "__main__":
    main(*sys.argv[1:])
