"""Servers for tests, and what is to be seen of them from outside."""

from pathlib import Path

from meeting_service.embedded_postgres import EmbeddedServer
from meeting_service.embedded_postgres.probe import ServerState, probe

# The service's own, so that a copy of the programs for users without rights is made only once.
APPLICATION = "ai-meetings"


def embedded(folder: Path) -> EmbeddedServer:
    """A server that need not survive a power cut, which makes its cluster twice as fast."""
    return EmbeddedServer(folder, database="lab", application=APPLICATION, durable=False)


def main_process_id(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().split()[0])


def state(folder: Path) -> ServerState:
    return probe(folder / "cluster" / ".s.PGSQL.5432")
