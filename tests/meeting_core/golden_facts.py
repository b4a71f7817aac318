"""The facts that the golden files stand for; each field of each stored name is in one of them.

`python -m tests.meeting_core.golden_facts` writes the files that do not exist yet, and no other:
from 0.1.0 on, a file that exists is kept for ever.
"""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import msgspec
from msgspec.structs import replace

from meeting_core import (
    Configuration,
    Fact,
    MeetingEvent,
    MeetingMapper,
    ModelPrice,
    Outcome,
    Participant,
    Phase,
    PriceTable,
    Usage,
)
from meeting_core.model import (
    Adopted,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetRaised,
    Cancelled,
    Completed,
    Convened,
    DigestTask,
    EntryRange,
    Failed,
    FaultClass,
    Manifest,
    Paused,
    RemarkMade,
    Reply,
    Reservation,
    Resumed,
    RoundClosed,
    RoundDigested,
    RoundOpened,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    SynthesisTask,
    Timing,
    TurnCompleted,
    TurnSkipped,
    TurnTask,
)

FOLDER = Path(__file__).parents[1] / "golden"
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

PRICES = PriceTable(
    "2026-11-01", "EUR", (ModelPrice("model-1", 3.0, 15.0), ModelPrice("model-2", 0.15, 0.6))
)
FULL_CONFIGURATION = replace(
    CONFIGURATION,
    participants=(
        Participant("ann", "Ann", "planner", "Be brief.", "model-1", "main", ("model-2",)),
        Participant("bob", "Bob", model="model-2"),
    ),
    meeting_cost=1.25,
    prices=PRICES,
    min_tokens_per_turn=48,
    on_budget="pause",
    digest_rounds=True,
    synthesizer="bob",
    order="rotate",
    attempt_timeout_seconds=20.0,
    min_attempt_seconds=1.5,
    max_reply_bytes=100_000,
    gateway_reconnect_timeout_seconds=45.0,
)
LATER_MANIFEST = Manifest(
    2, 812, EntryRange(22, 31), EntryRange(20, 21), EntryRange(19, 19), (EntryRange(4, 9),), 33
)
TIMING = Timing(1_840, 312)

GOLDEN: dict[str, Fact] = {
    "meeting.convened.v1": Convened(CONFIGURATION, "a1b2c3", 9),
    "meeting.round_opened.v1": RoundOpened(2, ("bob", "ann")),
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
        2, "ann", 3, Reply('Done: "all"\n会議 \U0001f600', 44, REPORTED, "stop", "model-1-0613", 2)
    ),
    "meeting.turn_completed.v1.least": TurnCompleted(
        2, "ann", 3, Reply("Yes.", 2, ESTIMATED, "length")
    ),
    "meeting.turn_skipped.v1": TurnSkipped(2, "bob", "timed_out", "no answer in 30 s"),
    "meeting.round_closed.v1": RoundClosed(2, "partial", "budget"),
    "meeting.synthesis_started.v1": SynthesisStarted(),
    "meeting.synthesis_completed.v1": SynthesisCompleted(
        "ann", 1, Reply("## Decisions\n- go", 9, REPORTED, "stop", "model-1", 1), "sections missing"
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
    "meeting.convened.v1.full": Convened(FULL_CONFIGURATION, "a1b2c3"),
    "meeting.convened.v1.defaults": Convened(
        Configuration(participants=(Participant("ann", "Ann"), Participant("bob", "Bob")))
    ),
    "meeting.attempt_started.v1.budget_reductions": AttemptStarted(
        TURN, 1, "ann", Reservation(812, 90), LATER_MANIFEST, DIGEST, "model-1", ("brief", "cap")
    ),
    "meeting.attempt_started.v1.digest": AttemptStarted(
        DigestTask(1), 1, "bob", Reservation(300, 150), Manifest(2, 280), DIGEST
    ),
    "meeting.attempt_failed.v1.unreachable": AttemptFailed(
        TURN, 1, "ann", FaultClass.UNAVAILABLE, "refused", 0, give_up_at=AT, timing=Timing(20)
    ),
    "meeting.attempt_failed.v1.model_unavailable": AttemptFailed(
        TURN,
        1,
        "ann",
        FaultClass.UNAVAILABLE,
        "overloaded",
        0,
        retry_at=AT,
        is_model_unavailable=True,
    ),
    "meeting.attempt_failed.v1.next_model": AttemptFailed(
        TURN, 2, "ann", FaultClass.REJECTED, "no such model", 0, retry_at=AT, timing=TIMING
    ),
    "meeting.attempt_abandoned.v1.operator": AttemptAbandoned(
        DigestTask(1), 1, "bob", "operator", 450
    ),
    "meeting.turn_completed.v1.cut": TurnCompleted(
        2, "ann", 3, Reply("On and on.", 400, REPORTED, "length", "model-2", 0, 150, TIMING)
    ),
    "meeting.turn_skipped.v1.operator": TurnSkipped(2, "ann", "operator"),
    "meeting.round_closed.v1.operator": RoundClosed(2, "silent", "operator"),
    "meeting.round_digested.v1": RoundDigested(
        1, "bob", 2, Reply("Ann plans, Bob builds.", 9, REPORTED, "stop", "model-2", 1, 150, TIMING)
    ),
    "meeting.round_digested.v1.degraded": RoundDigested(1, degraded="timed_out: no answer"),
    "meeting.synthesis_drafted.v1": SynthesisDrafted(
        "ann",
        1,
        Reply("## Decisions\n- go", 9, REPORTED, "length", "model-1", 1, 400, TIMING),
        ("Action Items", "Blockers"),
    ),
    "meeting.synthesis_drafted.v1.least": SynthesisDrafted(
        "ann", 1, Reply("Yes.", 2, ESTIMATED, "stop"), ("Blockers",)
    ),
    "meeting.synthesis_completed.v1.cut": SynthesisCompleted(
        "ann", 2, Reply("## Decisions\n- go", 900, REPORTED, "length", "", 0, 400, TIMING, True)
    ),
    "meeting.synthesis_completed.v1.draft": SynthesisCompleted(
        "ann", 1, degraded="sections missing"
    ),
    "meeting.completed.v1.silent": Completed(
        Outcome("operator", ("round 1: bob did not speak (empty)",), "ann", ("bob",), (1,), (2,))
    ),
    "meeting.failed.v1.budget": Failed("budget"),
    "meeting.paused.v1.budget": Paused("raise the budget", "budget"),
    "meeting.budget_raised.v1": BudgetRaised(80_000, 2.5),
    "meeting.budget_raised.v1.cost": BudgetRaised(meeting_cost=3.0),
    "meeting.attempt_started.v1.beyond_cap": AttemptStarted(
        TURN, 4, "ann", Reservation(812, 150, 1_960), MANIFEST, DIGEST, "model-1"
    ),
    "meeting.attempt_failed.v1.unsupported": AttemptFailed(
        TURN, 1, "ann", FaultClass.UNSUPPORTED, "no such field", 0, retry_at=AT, timing=TIMING
    ),
    "meeting.attempt_failed.v1.partly_reported": AttemptFailed(
        TURN, 1, "ann", FaultClass.TRUNCATED, "reset", 1_001, Usage(801, 200, "partly_reported")
    ),
    "meeting.turn_completed.v1.thought": TurnCompleted(
        2,
        "ann",
        3,
        Reply(
            "I object.\nBob: I give in.",
            9,
            Usage(801, 2_097, "reported", 2_000),
            "stop",
            thought="Would Bob mind?",
            label="**Ann:** ",
            speaks_for=("bob",),
        ),
    ),
    "meeting.completed.v1.overrun": Completed(
        Outcome(
            "agenda",
            ("the ceiling of 50000 tokens was passed by 1960",),
            "ann",
            overrun_tokens=2_060,
        ),
        "2026-11-23-x.md",
    ),
}
"""Name of the golden file to the fact in it: the stored name, and what is special, if anything."""


def golden_event(fact: Fact) -> MeetingEvent:
    """Return a fact as an event with the metadata that all golden files share."""
    event_id = UUID("0190a0b0-c0d0-7e0f-8a1b-2c3d4e5f6071")
    command_id = UUID("0190a0b0-c0d0-7e0f-8a1b-2c3d4e5f6072")
    return MeetingEvent(MEETING_ID, 7, AT, event_id, command_id, "runner", fact)


def write_missing(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files that do not exist yet, and list them with their sums; touch no other."""
    sums = folder / "SHA256SUMS"
    lines = sums.read_text().splitlines() if sums.exists() else []
    for name, data in files.items():
        if not (folder / name).exists():
            (folder / name).write_bytes(data)
            lines.append(f"{sha256(data).hexdigest()}  {name}")
    sums.write_text(
        "".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split()[1]))
    )


if __name__ == "__main__":
    states = {name: MeetingMapper().to_stored_event(golden_event(GOLDEN[name])) for name in GOLDEN}
    write_missing(
        FOLDER,
        {f"{name}.json": msgspec.json.format(row.state) + b"\n" for name, row in states.items()},
    )
