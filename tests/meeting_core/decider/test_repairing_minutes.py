"""Minutes without all their sections: a draft, whose author is asked once to complete it."""

import pytest

from meeting_core import (
    Ask,
    BeginAttempt,
    Meeting,
    ReportedUsage,
    SaveMinutes,
    Usage,
    build_brief,
    estimate_tokens,
    next_step,
    rebuild_brief,
    render_minutes,
)
from meeting_core.errors import OutOfTurn
from meeting_core.model import (
    AcceptReply,
    Adopt,
    Adopted,
    AttemptAbandoned,
    Command,
    Complete,
    Completed,
    FaultClass,
    GiveUpSynthesis,
    Outcome,
    Paused,
    Reply,
    ReportFault,
    StartAttempt,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisStarted,
    SynthesisTask,
)
from tests.builders import (
    SYNTHESIS,
    Later,
    after,
    as_reported,
    attempt_failed,
    attempt_started,
    characters_within,
    convened,
    history,
    meeting_after,
    round_closed,
    round_opened,
    spoken,
    started_after,
    synthesis_drafted,
    up_to_synthesis,
)
from tests.meeting_core.scenario import Stage, brief_speaker
from tests.spec import given

CLOSING = SynthesisTask()
ASKED = (*up_to_synthesis(), attempt_started(CLOSING, cap=500))
HALF = "## Discussion Summary\nWe talked.\n## Decisions\n- none"
LACKING = ("Action Items", "Blockers")
LOSS = "sections missing from the synthesis: Action Items, Blockers"
USAGE = Usage(100, 50, "reported")

DRAFTED = (*ASKED, synthesis_drafted(HALF, LACKING))
REPAIRING = (*DRAFTED, attempt_started(CLOSING, 2, cap=500))


def replied(text: str, finish_reason: str = "stop", model: str = "") -> Reply:
    return Reply(text, estimate_tokens(text), USAGE, finish_reason, model)


FROM_DRAFT = SynthesisCompleted("ann", 1, degraded=LOSS)


def test_a_closing_text_without_a_section_is_a_draft():
    given(*ASKED).when(AcceptReply(CLOSING, 1, HALF, "length", as_reported(USAGE), "m-2")).then(
        SynthesisDrafted("ann", 1, replied(HALF, "length", "m-2"), LACKING)
    )


def test_a_closing_text_with_all_its_sections_is_no_draft():
    given(*ASKED).when(AcceptReply(CLOSING, 1, SYNTHESIS, "stop", as_reported(USAGE))).then(
        SynthesisCompleted("ann", 1, replied(SYNTHESIS))
    )


def test_its_author_is_asked_again_with_the_draft_quoted():
    assert next_step(meeting_after(*DRAFTED)) == BeginAttempt("", StartAttempt(CLOSING))
    expected = started_after(DRAFTED, CLOSING, by="ann", number=2, cap=500)
    assert expected.manifest.draft == len(DRAFTED)
    given(*DRAFTED).when(StartAttempt(CLOSING)).then(expected)
    brief = rebuild_brief(history(*DRAFTED, expected), expected)
    shown = brief.messages[1].content
    assert f'<draft by="ann">\n{HALF}\n</draft>' in shown
    assert "The draft above lacks ## Action Items, ## Blockers. Write it once more" in shown
    assert shown.count("<turn ") == 4


def test_what_was_said_gives_way_to_a_long_draft():
    draft = f"{HALF} {'word ' * 250}".strip()
    tokens = estimate_tokens(draft)
    asked = (*up_to_synthesis(context_tokens=600), attempt_started(CLOSING, cap=500))
    drafted = synthesis_drafted(draft, LACKING, text_tokens=tokens)
    before = build_brief(meeting_after(*asked), CLOSING, "ann").manifest
    later = build_brief(meeting_after(*asked, drafted), CLOSING, "ann").manifest
    assert before.dropped is None
    assert later.dropped is not None
    assert tokens < later.tokens <= 600 + tokens


def test_the_author_of_the_draft_is_asked_even_when_others_come_first():
    refused = attempt_failed(CLOSING, by="ann", fault=FaultClass.REFUSED)
    facts = (*ASKED, refused, attempt_started(CLOSING, 2, by="bob", cap=500))
    facts = (*facts, synthesis_drafted(HALF, LACKING, by="bob", number=2))
    given(*facts).when(StartAttempt(CLOSING)).then(
        started_after(facts, CLOSING, by="bob", number=3, cap=500)
    )


def test_a_second_reply_completes_the_minutes():
    given(*REPAIRING).when(AcceptReply(CLOSING, 2, SYNTHESIS, "stop", as_reported(USAGE))).then(
        SynthesisCompleted("ann", 2, replied(SYNTHESIS))
    )


def test_a_second_reply_that_still_lacks_sections_completes_them_degraded():
    text = "## Discussion Summary\nWe talked.\n## Action Items\nNone\n## Decisions\nNone"
    loss = "sections missing from the synthesis: Blockers"
    given(*REPAIRING).when(AcceptReply(CLOSING, 2, text, "stop", as_reported(USAGE))).then(
        SynthesisCompleted("ann", 2, replied(text), loss)
    )


def test_nobody_is_asked_a_third_time():
    facts = (*REPAIRING, SynthesisCompleted("ann", 2, replied(HALF), LOSS))
    assert isinstance(next_step(meeting_after(*facts)), SaveMinutes)


@pytest.mark.parametrize("fault", [FaultClass.REFUSED, FaultClass.REJECTED])
def test_a_fault_for_good_in_the_repair_completes_the_minutes_from_the_draft(fault: FaultClass):
    charged = 600 if fault is FaultClass.REFUSED else 0
    failed = attempt_failed(CLOSING, 2, fault, by="ann", charged=charged)
    given(*REPAIRING).when(ReportFault(CLOSING, 2, fault, "no answer")).then(failed, FROM_DRAFT)


def test_a_fault_that_may_pass_is_tried_again():
    fault = ReportFault(CLOSING, 2, FaultClass.EMPTY, "no answer", usage=ReportedUsage(90, 0))
    failed = attempt_failed(
        CLOSING,
        2,
        FaultClass.EMPTY,
        charged=90,
        usage=Usage(90, 0, "reported"),
        retry_at=after(0),
    )
    given(*REPAIRING).when(fault).then(failed)


def test_the_repair_has_attempts_of_its_own():
    once_more = attempt_failed(CLOSING, fault=FaultClass.EMPTY, retry_at=after(0))
    facts = (*ASKED, once_more, attempt_started(CLOSING, 2, cap=500))
    facts = (*facts, synthesis_drafted(HALF, LACKING, number=2))
    facts = (*facts, attempt_started(CLOSING, 3, cap=500))
    fault = ReportFault(CLOSING, 3, FaultClass.EMPTY, "no answer")
    given(*facts).when(fault).then(
        attempt_failed(CLOSING, 3, FaultClass.EMPTY, charged=600, retry_at=after(0))
    )


def test_a_wait_for_a_call_slot_takes_nothing_from_the_repairs_time():
    """A redraft that waited 71 of 120 s for a slot had 17.8 s left, and timed out."""
    facts = (*DRAFTED[:-1], Later(31, DRAFTED[-1]))
    started = started_after(facts, CLOSING, by="ann", number=2, cap=500)
    given(*facts).when(StartAttempt(CLOSING), at=after(102)).then(started)
    step = next_step(meeting_after(*facts, Later(102, started)))
    assert isinstance(step, Ask)
    assert step.deadline_at == after(102 + 120 - 31)


def test_without_time_for_the_repair_the_draft_stands():
    late = (*DRAFTED[:-1], Later(118.5, DRAFTED[-1]))
    given(*late).when(StartAttempt(CLOSING), at=after(118.5)).then(FROM_DRAFT)
    fault = ReportFault(CLOSING, 2, FaultClass.UNAVAILABLE, "no answer", reached=False)
    given(*REPAIRING).when(fault, at=after(119.9)).then(
        attempt_failed(CLOSING, 2, charged=0), FROM_DRAFT
    )


def test_without_money_for_the_repair_the_draft_stands():
    drafted = synthesis_drafted(HALF, LACKING)
    opening = [convened(meeting_tokens=4_800), round_opened(1), *spoken("ann")]
    closing = [round_closed(1, "partial", "budget"), SynthesisStarted()]
    asked = attempt_started(CLOSING, cap=500)
    dear = SynthesisDrafted(
        "ann", 1, Reply(HALF, 30, Usage(100, 4_500, "reported"), "stop"), LACKING
    )
    given(*opening, *closing, asked, drafted).when(StartAttempt(CLOSING)).then(
        started_after((*opening, *closing, asked, drafted), CLOSING, number=2, cap=500)
    )
    given(*opening, *closing, asked, dear).when(StartAttempt(CLOSING)).then(FROM_DRAFT)


def test_nobody_gives_up_while_the_draft_can_be_completed():
    given(*DRAFTED).when(GiveUpSynthesis()).then_refused(OutOfTurn, "ann")
    given(*REPAIRING).when(GiveUpSynthesis()).then_refused(OutOfTurn)


def test_a_draft_over_its_cap_is_cut_and_the_sections_beyond_the_cut_are_missing():
    text = SYNTHESIS.replace("We talked.", "word " * 600)
    usage = Usage(100, 700, "reported")
    drafted = SynthesisDrafted(
        "ann",
        1,
        Reply(text, estimate_tokens(text), usage, "length", cut_to=characters_within(text, 500)),
        ("Action Items", "Decisions", "Blockers"),
    )
    given(*ASKED).when(AcceptReply(CLOSING, 1, text, "length", as_reported(usage))).then(drafted)
    shown = build_brief(meeting_after(*ASKED, drafted), CLOSING, "ann").messages[1].content
    assert "[... cut here ...]\n</draft>" in shown
    assert "write it down" not in shown


def test_a_second_reply_over_its_cap_is_cut_and_says_so():
    text = f"{SYNTHESIS}\n{'word ' * 600}"
    usage = Usage(100, 700, "reported")
    completed = SynthesisCompleted(
        "ann",
        2,
        Reply(
            text.strip(),
            estimate_tokens(text.strip()),
            usage,
            "length",
            cut_to=characters_within(text.strip(), 500),
        ),
        "the synthesis was cut at its cap",
    )
    given(*REPAIRING).when(AcceptReply(CLOSING, 2, text, "length", as_reported(usage))).then(
        completed
    )
    meeting = meeting_after(*REPAIRING, completed)
    assert meeting.synthesis is not None
    assert estimate_tokens(meeting.synthesis.text) <= 500


def test_minutes_from_a_draft_are_saved_and_say_what_they_lack():
    facts = (*DRAFTED, FROM_DRAFT)
    outcome = Outcome("agenda", (LOSS,), "ann")
    step = next_step(meeting_after(*facts))
    assert step == SaveMinutes(render_minutes(meeting_after(*facts), outcome))
    assert isinstance(step, SaveMinutes)
    assert "We talked." in step.markdown
    given(*facts).when(Complete("minutes.md")).then(Completed(outcome, "minutes.md"))


def test_the_draft_is_accounted_for_once():
    drafted = meeting_after(*DRAFTED)
    assert drafted.ledger.reserved == 0
    assert meeting_after(*DRAFTED, FROM_DRAFT).ledger == drafted.ledger


def test_a_draft_survives_the_loss_of_its_repair():
    lost = AttemptAbandoned(CLOSING, 2, "ann", "restart", 600)
    given(*REPAIRING).when(Adopt("replica", 2, "restart"), at=after(30)).then(
        lost, Adopted("replica", 2, "restart")
    )
    facts = (*REPAIRING, lost, Later(30, Adopted("replica", 2, "restart")))
    given(*facts).when(StartAttempt(CLOSING), at=after(30)).then(
        started_after(facts, CLOSING, by="ann", number=3, cap=500)
    )


def test_a_draft_may_come_while_paused():
    given(*ASKED, Paused()).when(AcceptReply(CLOSING, 1, HALF, "stop", as_reported(USAGE))).then(
        SynthesisDrafted("ann", 1, replied(HALF), LACKING)
    )


def test_a_meeting_whose_author_never_completes_the_minutes_still_ends():
    def careless(ask: Ask, meeting: Meeting) -> Command:
        if isinstance(ask.task, SynthesisTask):
            return AcceptReply(ask.task, ask.number, HALF, "stop")
        return brief_speaker(ask, meeting)

    stage = Stage(convened().configuration, careless).play()
    assert stage.meeting.outcome == Outcome("agenda", (LOSS,), "ann")
    assert [ask.number for ask in stage.asked if ask.task == CLOSING] == [1, 2]
    for attempt in stage.attempts:
        assert rebuild_brief(stage.events, attempt).digest == attempt.digest
