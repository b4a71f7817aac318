"""The facts that the golden files stand for, one with every field in use for each stored name."""

from datetime import UTC, datetime
from uuid import UUID

from meeting_core import Configuration, Fact, MeetingEvent, Outcome, Participant, Phase, Usage
from meeting_core.events import (
    Adopted,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    Cancelled,
    Completed,
    Convened,
    Failed,
    Paused,
    RemarkMade,
    Resumed,
    RoundClosed,
    RoundOpened,
    SynthesisCompleted,
    SynthesisStarted,
    TurnCompleted,
    TurnSkipped,
)
from meeting_core.vocabulary import (
    EntryRange,
    FaultClass,
    Manifest,
    Reservation,
    SynthesisTask,
    TurnTask,
)

AT = datetime(2026, 11, 23, 10, 45, 0, 123456, tzinfo=UTC)
MEETING_ID = UUID("4f6c1f6e-58a5-4d0c-9f3e-3a8f3a1b2c4d")
TURN, CLOSING = TurnTask(2, "ann"), SynthesisTask()
MANIFEST = Manifest(1, 812, EntryRange(9, 21), EntryRange(5, 7), EntryRange(4, 4))
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
REPORTED, ESTIMATED = Usage(801, 97, "reported"), Usage(812, 44, "estimated")

CONFIGURATION = Configuration(
    participants=(
        Participant("ann", "Ann", "planner", "Be brief.", "model-1", "main"),
        Participant("bob", "Bob"),
    ),
    title="Weekly «review»",
    goal="Ship it\nsafely",
    room_id="room-1",
    project_id="project-1",
    parent_meeting_id=UUID("11111111-2222-4333-8444-555555555555"),
    parent_minutes="# Last time",
    document_context="The plan 計画",
    num_rounds=2,
    round_topics=("Done", "Next"),
    max_tokens_per_turn=150,
    synthesis_max_tokens=400,
    context_tokens=3_000,
    meeting_tokens=50_000,
    max_attempts=2,
    turn_timeout_seconds=30.5,
    synthesis_timeout_seconds=90.0,
    meeting_timeout_seconds=1_800.0,
)

GOLDEN: dict[str, Fact] = {
    "meeting.convened.v1": Convened(CONFIGURATION, "a1b2c3"),
    "meeting.convened.v1.least": Convened(
        Configuration(participants=(Participant("ann", "Ann"), Participant("bob", "Bob")))
    ),
    "meeting.round_opened.v1": RoundOpened(2),
    "meeting.attempt_started.v1": AttemptStarted(
        TURN, 3, "ann", Reservation(812, 150), MANIFEST, DIGEST, "model-1"
    ),
    "meeting.attempt_started.v1.synthesis": AttemptStarted(
        CLOSING, 1, "bob", Reservation(120, 400), Manifest(1, 120), DIGEST
    ),
    "meeting.attempt_failed.v1": AttemptFailed(
        TURN, 1, "ann", FaultClass.RATE_LIMITED, "slow down", 898, REPORTED, AT
    ),
    "meeting.attempt_failed.v1.last": AttemptFailed(
        CLOSING, 2, "bob", FaultClass.CONTEXT_TOO_LONG, "", 0
    ),
    "meeting.attempt_abandoned.v1": AttemptAbandoned(TURN, 2, "ann", "takeover", 962),
    "meeting.turn_completed.v1": TurnCompleted(
        2, "ann", 3, 'Done: "all"\n会議 \U0001f600', 44, REPORTED, "stop", "model-1-0613", 2
    ),
    "meeting.turn_completed.v1.least": TurnCompleted(2, "ann", 3, "Yes.", 2, ESTIMATED, "length"),
    "meeting.turn_skipped.v1": TurnSkipped(2, "bob", "timed_out", "no answer in 30 s"),
    "meeting.round_closed.v1": RoundClosed(2, "partial", "budget"),
    "meeting.synthesis_started.v1": SynthesisStarted(),
    "meeting.synthesis_completed.v1": SynthesisCompleted(
        "## Decisions\n- go", 9, "ann", 1, REPORTED, "stop", "model-1", 1, "sections missing"
    ),
    "meeting.synthesis_completed.v1.unwritten": SynthesisCompleted(degraded="no summary"),
    "meeting.completed.v1": Completed(
        Outcome("deadline", ("the time limit ended the rounds early",), "ann"), "2026-11-23-x.md"
    ),
    "meeting.cancelled.v1": Cancelled("not needed"),
    "meeting.failed.v1": Failed("nobody_spoke", "unavailable: no answer"),
    "meeting.paused.v1": Paused("lunch"),
    "meeting.resumed.v1": Resumed(Phase.IN_ROUND),
    "meeting.adopted.v1": Adopted("replica-2/4711", 2, "restart"),
    "meeting.remark_made.v1": RemarkMade("Eve", "Mind the budget.", 5),
}
"""Name of the golden file to the fact in it: the stored name, and what is special, if anything."""


def golden_event(fact: Fact) -> MeetingEvent:
    """Give a fact the envelope that all golden files share."""
    event_id = UUID("0190a0b0-c0d0-7e0f-8a1b-2c3d4e5f6071")
    command_id = UUID("0190a0b0-c0d0-7e0f-8a1b-2c3d4e5f6072")
    return MeetingEvent(MEETING_ID, 7, AT, event_id, command_id, "runner", fact)
