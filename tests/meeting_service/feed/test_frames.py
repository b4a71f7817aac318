"""What each fact shows: every frame with every field that clients rely on."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from meeting_core import Fact, Outcome, evolve, project
from meeting_core.model import (
    Adopted,
    Cancelled,
    Completed,
    EntryRange,
    Failed,
    FaultClass,
    Participant,
    Paused,
    Phase,
    RemarkMade,
    Resumed,
    SynthesisCompleted,
    SynthesisTask,
)
from meeting_service.feed.frames import Frame, delta_frame, frames_of
from tests.builders import (
    BOB,
    MEETING_ID,
    Later,
    after,
    attempt_abandoned,
    attempt_failed,
    attempt_started,
    convened,
    history,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    synthesis_completed,
    synthesis_drafted,
    turn,
    turn_completed,
    turn_skipped,
    up_to_synthesis,
    whole_round,
    written,
)

OPENED = (convened(), round_opened(1))
SPEAKING = (*OPENED, attempt_started())
WITH_FALLBACK = Participant("ann", "Ann", model="large", fallback_models=("small",))


def frames_after(*facts: Fact | Later) -> tuple[Frame, ...]:
    """Return what the last of these facts shows."""
    events = history(*facts)
    before = project(None, events[:-1])
    return frames_of(before, events[-1], evolve(before, events[-1]))


def shown(*facts: Fact | Later) -> tuple[str, dict[str, Any]]:
    """Return the one frame that the last of these facts shows, as a client reads it."""
    (frame,) = frames_after(*facts)
    assert frame.is_numbered
    lines = frame.encoded().decode().split("\n")
    assert [line.partition(": ")[0] for line in lines] == ["event", "data", "", ""]
    return frame.event, json.loads(lines[1].removeprefix("data: "))


def placed(version: int, at: str = "10:45:00.000", **fields: object) -> dict[str, object]:
    meeting_id = "00000000-0000-4000-8000-000000000001"
    return {"meeting_id": meeting_id, "version": version, "at": f"2026-11-23T{at}Z", **fields}


def test_a_convened_meeting_shows_that_it_started():
    assert shown(convened(title="Plan", project_id="apollo")) == (
        "meeting-started",
        placed(
            1,
            title="Plan",
            state="gathering",
            participants=["ann", "bob"],
            num_rounds=2,
            total_rounds=2,
            project_id="apollo",
        ),
    )


def test_an_opened_round_shows_the_new_state_and_the_topic():
    facts = (convened(), *whole_round(1), Later(61.0019, round_opened(2)))
    assert shown(*facts) == (
        "meeting-state",
        placed(
            8,
            "10:46:01.001",
            state="round_2",
            previous_state="round_1",
            current_round=2,
            total_rounds=2,
            round_topic="What is next",
            progress_pct=45,
        ),
    )


def test_a_pause_and_its_end_show_the_state():
    state = {
        "current_round": 1,
        "total_rounds": 2,
        "round_topic": "What was done",
        "progress_pct": 0,
    }
    assert shown(*OPENED, Paused()) == (
        "meeting-state",
        placed(3, state="paused", previous_state="round_1", **state),
    )
    assert shown(*OPENED, Paused(), Resumed(Phase.IN_ROUND)) == (
        "meeting-state",
        placed(4, state="round_1", previous_state="paused", **state),
    )


def test_a_pause_before_the_first_round_has_no_topic():
    _, data = shown(convened(), Paused())
    assert (data["current_round"], data["round_topic"]) == (0, None)


def test_the_first_attempt_of_a_turn_shows_who_begins():
    facts = (*OPENED, *spoken("ann"), attempt_started(turn("bob")))
    assert shown(*facts) == (
        "meeting-turn-start",
        placed(
            5,
            round=1,
            agent_id="bob",
            agent_name="Bob",
            turn_index=1,
            total_turns=2,
            attempt=1,
        ),
    )


def test_a_later_attempt_and_the_synthesis_show_no_start_of_a_turn():
    failed = attempt_failed(retry_at=after(1))
    assert frames_after(*SPEAKING, failed, attempt_started(number=2)) == ()
    assert frames_after(*up_to_synthesis(), attempt_started(SynthesisTask(), cap=500)) == ()


def test_a_completed_turn_shows_what_was_said_and_what_it_took():
    assert shown(*SPEAKING, turn_completed(text="Done.\nNext.")) == (
        "meeting-turn",
        placed(
            4,
            round=1,
            agent_id="ann",
            agent_name="Ann",
            response="Done.\nNext.",
            is_cut=False,
            speaks_for=[],
            finish_reason="stop",
            skipped_reason=None,
            turn_index=0,
            total_turns=2,
            progress_pct=22,
            prompt_tokens=90,
            response_tokens=6,
            usage_source="reported",
            attempts=1,
        ),
    )


def test_a_skipped_turn_shows_why_and_has_no_response():
    assert shown(*SPEAKING, attempt_failed(), turn_skipped()) == (
        "meeting-turn",
        placed(
            5,
            round=1,
            agent_id="ann",
            agent_name="Ann",
            response=None,
            is_cut=False,
            speaks_for=[],
            finish_reason=None,
            skipped_reason="unavailable",
            turn_index=0,
            total_turns=2,
            progress_pct=22,
            prompt_tokens=100,
            response_tokens=200,
            usage_source="unknown",
            attempts=1,
        ),
    )


def test_the_synthesis_shows_that_it_starts():
    assert shown(*up_to_synthesis()) == (
        "meeting-synthesis",
        placed(14, state="synthesizing", progress_pct=90),
    )


def test_a_complete_meeting_shows_how_it_ended_and_what_it_took():
    saved = "the minutes could not be saved: disk full"
    outcome = Outcome("budget", (saved,), "ann", partial_rounds=(2,))
    ended = Later(83.5, Completed(outcome, "minutes/plan.md"))
    assert shown(*up_to_synthesis(), *written(), ended) == (
        "meeting-complete",
        placed(
            17,
            "10:46:23.500",
            state="complete",
            output_path="minutes/plan.md",
            progress_pct=100,
            duration_seconds=83.5,
            total_tokens=4 * 96 + 440,
            outcome={
                "ended_by": "budget",
                "degraded": [saved],
                "author": "ann",
                "silent": [],
                "partial_rounds": [2],
                "silent_rounds": [],
                "overrun_tokens": 0,
            },
        ),
    )


def test_a_failed_meeting_shows_why_and_how_far_it_came():
    facts = (convened(), *whole_round(1), round_opened(2), Failed("crash_loop", "it died 5 times"))
    assert shown(*facts) == (
        "meeting-error",
        placed(
            9,
            state="error",
            error="crash_loop: it died 5 times",
            reason="crash_loop",
            last_completed_round=1,
        ),
    )


def test_a_round_in_which_nobody_spoke_was_not_completed():
    skips = [
        fact
        for agent in ("ann", "bob")
        for fact in (
            attempt_started(turn(agent)),
            attempt_failed(turn(agent)),
            turn_skipped(agent),
        )
    ]
    _, data = shown(*OPENED, *skips, round_closed(1, "silent"), Failed("nobody_spoke"))
    assert (data["error"], data["last_completed_round"]) == ("nobody_spoke", 0)


def test_a_cancelled_meeting_shows_when():
    assert shown(*OPENED, Later(2.25, Cancelled("no quorum"))) == (
        "meeting-cancelled",
        placed(
            3,
            "10:45:02.250",
            state="cancelled",
            cancelled_at="2026-11-23T10:45:02.250Z",
            reason="no quorum",
        ),
    )


@pytest.mark.parametrize(
    ("facts", "code", "severity", "about", "message"),
    [
        (
            (*SPEAKING, attempt_failed(fault=FaultClass.RATE_LIMITED, retry_at=after(1))),
            "attempt_failed",
            "warning",
            ("ann", 1, 1),
            (
                "attempt 1 of Ann's turn in round 1 failed (rate_limited: no answer); "
                "there will be another"
            ),
        ),
        (
            (*SPEAKING, attempt_failed(retry_at=after(1), is_model_unavailable=True)),
            "attempt_failed",
            "warning",
            ("ann", 1, 1),
            (
                "attempt 1 of Ann's turn in round 1 failed (unavailable: no answer); "
                "its gateway does not serve that model now; there will be another"
            ),
        ),
        (
            (
                convened(participants=(WITH_FALLBACK, BOB)),
                round_opened(),
                attempt_started(model="large"),
                attempt_failed(retry_at=after(0), is_model_unavailable=True),
            ),
            "attempt_failed",
            "warning",
            ("ann", 1, 1),
            (
                "attempt 1 of Ann's turn in round 1 failed (unavailable: no answer); "
                "its gateway does not serve that model now; model 'small' is next"
            ),
        ),
        (
            (
                *up_to_synthesis(),
                attempt_started(SynthesisTask(), by="bob"),
                attempt_failed(SynthesisTask(), by="bob"),
            ),
            "attempt_failed",
            "warning",
            ("bob", None, 1),
            (
                "attempt 1 at the synthesis, by Bob, failed (unavailable: no answer); "
                "it was the last one"
            ),
        ),
        (
            (*SPEAKING, attempt_abandoned(cause="restart")),
            "attempt_abandoned",
            "warning",
            ("ann", 1, 1),
            (
                "attempt 1 of Ann's turn in round 1 was given up, because its process ended; "
                "its 300 tokens stay charged"
            ),
        ),
        (
            (*SPEAKING, attempt_abandoned(cause="cancel")),
            "attempt_abandoned",
            "info",
            ("ann", 1, 1),
            (
                "attempt 1 of Ann's turn in round 1 was given up, because the meeting is "
                "cancelled; its 300 tokens stay charged"
            ),
        ),
        (
            (*OPENED, Adopted("host:1", 2, "restart")),
            "resumed",
            "warning",
            (None, None, None),
            "the meeting was resumed after a restart",
        ),
        (
            (*OPENED, Adopted("other:1", 2, "takeover")),
            "taken_over",
            "warning",
            (None, None, None),
            "the meeting was taken over by another process",
        ),
        (
            (*OPENED, *spoken("ann"), round_closed(1, "partial", "budget")),
            "rounds_cut_short",
            "warning",
            (None, 1, None),
            "the rounds ended in round 1, because the token budget is spent",
        ),
        (
            (*up_to_synthesis(), SynthesisCompleted(degraded="no summary was written (refused)")),
            "synthesis_degraded",
            "warning",
            (None, None, None),
            "no summary was written (refused)",
        ),
        (
            (
                *up_to_synthesis(),
                attempt_started(SynthesisTask()),
                replace(synthesis_completed(), degraded="sections missing"),
            ),
            "synthesis_degraded",
            "info",
            ("ann", None, None),
            "sections missing",
        ),
        (
            (
                *up_to_synthesis(),
                attempt_started(SynthesisTask()),
                synthesis_drafted("-", ("Blockers",)),
            ),
            "synthesis_incomplete",
            "info",
            ("ann", None, None),
            "the synthesis lacks Blockers; its author is asked once more",
        ),
    ],
)
def test_a_notice_is_shown_as_a_warning(facts, code, severity, about, message):
    agent_id, round_num, attempt = about
    assert shown(*facts) == (
        "meeting-warning",
        placed(
            len(facts),
            message=message,
            severity=severity,
            code=code,
            agent_id=agent_id,
            round=round_num,
            attempt=attempt,
        ),
    )


def test_a_shortened_brief_is_shown_before_the_turn_starts_and_only_the_start_has_a_number():
    said = (convened(), *whole_round(1), round_opened(2))
    full = attempt_started(turn("ann", 2))
    cut = replace(full, manifest=replace(full.manifest, shortened=EntryRange(6, 6)))
    warning, start = frames_after(*said, cut)
    assert (start.event, start.is_numbered) == ("meeting-turn-start", True)
    assert (warning.event, warning.is_numbered) == ("meeting-warning", False)
    assert warning.data == placed(
        9,
        message="of the earlier contributions, Ann's brief has 1 shortened",
        severity="info",
        code="brief_shortened",
        agent_id="ann",
        round=2,
        attempt=1,
    )


def test_a_brief_that_left_something_out_says_how_much():
    full = attempt_started(SynthesisTask(), cap=500)
    manifest = replace(full.manifest, shortened=EntryRange(6, 10), dropped=EntryRange(4, 4))
    event, data = shown(*up_to_synthesis(), replace(full, manifest=manifest))
    assert (event, data["code"]) == ("meeting-warning", "brief_shortened")
    message = "of the earlier contributions, Ann's brief has 2 shortened and 1 left out"
    assert data["message"] == message


def test_what_changes_nothing_to_see_shows_nothing():
    assert frames_after(convened(), *whole_round(1)) == ()
    assert frames_after(*up_to_synthesis(), *written()) == ()
    assert frames_after(*OPENED, RemarkMade("Cleo", "Hurry up.", 3)) == ()


def test_a_delta_shows_the_growth_of_an_open_attempt_and_has_no_number():
    meeting = meeting_after(*SPEAKING)
    assert meeting.task_state is not None
    assert meeting.task_state.open is not None
    frame = delta_frame(meeting, meeting.task_state.open, turn(), "Hel", after(1.5))
    assert frame == Frame(
        "meeting-turn-delta",
        placed(3, "10:45:01.500", round=1, agent_id="ann", text="Hel"),
        is_numbered=False,
    )


@pytest.mark.parametrize("mark", ["\n", "\r", "\r\n", "\n\nevent: meeting-complete\ndata: {}\n\n"])
def test_no_text_can_end_the_line_it_is_on(mark):
    event, data = shown(*SPEAKING, turn_completed(text=f"a{mark}b\u2028c"))
    assert (event, data["response"]) == ("meeting-turn", f"a{mark}b\u2028c")
    (frame,) = frames_after(*SPEAKING, turn_completed(text=f"a{mark}b"))
    assert b"\r" not in frame.encoded()
    assert frame.encoded().count(b"\n") == 3


def test_every_frame_says_of_which_meeting_it_is():
    (frame,) = frames_after(convened())
    assert frame.data["meeting_id"] == str(MEETING_ID)
