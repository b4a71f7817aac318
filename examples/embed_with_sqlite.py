"""Embed the library with a store of your own: meetings in SQLite that survive the program's end.

    python examples/embed_with_sqlite.py meetings.sqlite

The program holds a meeting and stores every event before it acts on it. Kill it in the middle and
start it again: the meeting goes on after its last stored event. An attempt that was open is charged
in full, because it is unknown whether the model was called.
"""

import sqlite3
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from meeting_core import (
    Ask,
    BeginAttempt,
    Configuration,
    Ended,
    EventMetadata,
    GiveCommand,
    Idle,
    Meeting,
    MeetingEvent,
    MeetingMapper,
    Participant,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    decide,
    next_step,
    project,
    wrap_facts,
)
from meeting_core.model import AcceptReply, Adopt, Command, Complete, Convene

CONFIGURATION = Configuration(
    goal="Agree on a name",
    participants=(Participant("ann", "Ann"), Participant("bob", "Bob")),
    num_rounds=2,
)


class SqliteStore:
    """Events in one table; its primary key refuses a second event of the same version."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path)
        self._mapper = MeetingMapper()
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS events (meeting_id TEXT, version INTEGER, topic TEXT,"
            " state BLOB, PRIMARY KEY (meeting_id, version))"
        )

    def append(self, events: Iterable[MeetingEvent]) -> None:
        """Store events, all or none."""
        rows = [self._mapper.to_stored_event(event) for event in events]
        with self._connection:
            self._connection.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?)",
                [
                    (str(row.originator_id), row.originator_version, row.topic, row.state)
                    for row in rows
                ],
            )

    def load(self, meeting_id: UUID) -> Meeting | None:
        """Fold a meeting from its events; None if it has none."""
        rows = self._connection.execute(
            "SELECT version, topic, state FROM events WHERE meeting_id = ? ORDER BY version",
            (str(meeting_id),),
        )
        stored = [StoredEvent(meeting_id, *row) for row in rows]
        return project(None, self._mapper.to_meeting_events(stored))

    def meeting_ids(self) -> list[UUID]:
        """List every meeting, oldest first."""
        rows = self._connection.execute(
            "SELECT meeting_id FROM events WHERE version = 1 ORDER BY rowid"
        )
        return [UUID(meeting_id) for (meeting_id,) in rows]


def model(ask: Ask) -> str:
    """Answer for a participant; put a call to your model here."""
    return f"{ask.participant.name} was shown {len(ask.messages[-1].content)} characters."


def hold(store: SqliteStore, meeting_id: UUID) -> Meeting:
    """Hold a meeting from where it stands to its end."""
    meeting = store.load(meeting_id)
    command: Command
    if meeting is None:
        command = Convene(meeting_id, CONFIGURATION)
    else:
        command = Adopt("this program", meeting.epoch + 1, "restart")
    while meeting is None or not meeting.has_ended:
        metadata = EventMetadata(datetime.now(UTC), uuid4(), "this program")
        events = wrap_facts(
            decide(meeting, command, metadata.at),
            metadata,
            meeting_id=meeting_id,
            after=meeting.version if meeting else 0,
            new_id=uuid4,
        )
        store.append(events)  # before anything is done about them
        meeting = project(meeting, events)
        assert meeting is not None
        match step := next_step(meeting):
            case Ask():
                print(f"round {meeting.round_num}: {step.participant.name}", flush=True)
                command = AcceptReply(step.task, step.number, model(step), "stop")
            case GiveCommand() | BeginAttempt():
                command = step.command
            case WaitUntil() | WaitForGateway():
                command = step.then.command  # this model is always there
            case SaveMinutes():
                print(step.markdown)
                command = Complete()
            case Idle() | Ended():
                break
    return meeting


def main(path: str) -> None:
    """Finish the meetings that were left, or hold a new one."""
    store = SqliteStore(path)
    loaded = ((meeting_id, store.load(meeting_id)) for meeting_id in store.meeting_ids())
    unfinished = [meeting_id for meeting_id, meeting in loaded if meeting and not meeting.has_ended]
    for meeting_id in unfinished or [uuid4()]:
        meeting = hold(store, meeting_id)
        print(f"{meeting.state} after {meeting.version} events, {meeting.ledger.spent} tokens")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "meetings.sqlite")
