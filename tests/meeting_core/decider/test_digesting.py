"""Digests: a closed round is shortened once, and later briefs show that in its place."""

from collections.abc import Iterable

import pytest

from meeting_core import (
    Ask,
    BeginAttempt,
    Fact,
    GiveCommand,
    Meeting,
    ReportedUsage,
    Usage,
    build_brief,
    decide,
    estimate_tokens,
    next_step,
    rebuild_brief,
)
from meeting_core.decider.call_plan import min_cost
from meeting_core.errors import NoSuchAttempt, OutOfTurn, WrongPhase
from meeting_core.model import (
    AcceptReply,
    AttemptStarted,
    Command,
    DigestTask,
    EntryRange,
    FaultClass,
    MakeRemark,
    OpenRound,
    Participant,
    Paused,
    Reply,
    ReportFault,
    RoundDigested,
    StartAttempt,
    StartSynthesis,
    SynthesisTask,
    TurnCompleted,
    TurnTask,
)
from tests.builders import (
    ANN,
    BOB,
    START,
    Later,
    after,
    as_reported,
    attempt_failed,
    attempt_started,
    characters_within,
    convened,
    digested,
    history,
    meeting_after,
    round_closed,
    round_digested,
    round_opened,
    skipped,
    spoken,
    started_after,
    turn,
    turn_completed,
    whole_round,
)
from tests.meeting_core.scenario import Stage, brief_speaker
from tests.spec import given

FIRST = DigestTask(1)
CLOSED = (convened(digest_rounds=True), *whole_round(1))
ASKED = (*CLOSED, attempt_started(FIRST, prompt=100, cap=200))


def answered(facts: Iterable[Fact], command: Command) -> tuple[Fact, ...]:
    return decide(meeting_after(*facts), command, START)


def undigested(why: str) -> RoundDigested:
    return RoundDigested(1, degraded=why)


def fault(fault_class: FaultClass = FaultClass.REFUSED) -> ReportFault:
    return ReportFault(FIRST, 1, fault_class, "no answer")


def test_after_a_closed_round_its_digest_is_asked_of_whoever_writes_the_minutes():
    assert next_step(meeting_after(*CLOSED)) == BeginAttempt("", StartAttempt(FIRST))
    given(*CLOSED).when(StartAttempt(FIRST)).then(started_after(CLOSED, FIRST, by="ann", cap=200))


def test_a_named_synthesizer_writes_the_digests_too():
    facts = (convened(digest_rounds=True, synthesizer="bob"), *whole_round(1))
    given(*facts).when(StartAttempt(FIRST)).then(started_after(facts, FIRST, by="bob", cap=200))


def test_the_digest_is_asked_of_what_was_said_in_the_round():
    brief = build_brief(meeting_after(*CLOSED), FIRST, "ann")
    shown = brief.messages[1].content
    assert shown.count("<turn ") == 2
    assert "Round 1 of 2 is over. Topic: What was done" in shown
    assert "keep the record" in brief.messages[0].content
    assert brief.manifest.digested == ()


def test_a_later_digest_is_asked_of_its_own_round_only():
    facts = (
        convened(digest_rounds=True, num_rounds=3, round_topics=("A", "B", "C")),
        *(*whole_round(1), *digested(1, "Round one in short.")),
        *whole_round(2),
    )
    shown = build_brief(meeting_after(*facts), DigestTask(2), "ann").messages[1].content
    assert shown.count('<turn round="2"') == 2
    assert '<turn round="1"' not in shown
    assert "Round one in short." not in shown


def test_the_reply_is_the_digest():
    usage = Usage(100, 9, "reported")
    tokens = estimate_tokens("Both spoke.")
    given(*ASKED).when(
        AcceptReply(FIRST, 1, " Both spoke.\n", "stop", as_reported(usage), "m-2")
    ).then(RoundDigested(1, "ann", 1, Reply("Both spoke.", tokens, usage, "stop", "m-2")))


def test_a_digest_over_its_cap_is_cut_where_it_is_quoted():
    text = ("word " * 400).strip()
    usage, kept = Usage(100, 400, "reported"), characters_within(text, 200)
    reply = Reply(text, estimate_tokens(text), usage, "length", cut_to=kept)
    written = RoundDigested(1, "ann", 1, reply)
    given(*ASKED).when(AcceptReply(FIRST, 1, text, "length", as_reported(usage))).then(written)
    facts = (*ASKED, written, round_opened(2))
    shown = build_brief(meeting_after(*facts), turn("ann", 2), "ann").messages[1].content
    assert "[... cut here ...]\n</digest>" in shown


def test_then_the_next_round_opens():
    assert next_step(meeting_after(*CLOSED, *digested())) == GiveCommand(OpenRound(2))


def test_the_last_round_is_not_digested():
    facts = (*CLOSED, *digested(), *whole_round(2))
    assert next_step(meeting_after(*facts)) == GiveCommand(StartSynthesis())


def test_without_the_wish_nothing_is_digested():
    assert next_step(meeting_after(convened(), *whole_round(1))) == GiveCommand(OpenRound(2))


def test_a_silent_round_is_not_digested():
    silent = (round_opened(1), *skipped("ann"), *skipped("bob"), round_closed(1, "silent"))
    facts = (convened(digest_rounds=True), *silent)
    assert next_step(meeting_after(*facts)) == GiveCommand(OpenRound(2))


def test_a_round_that_ended_all_rounds_is_not_digested():
    facts = (convened(digest_rounds=True), round_opened(1), *spoken("ann"))
    facts = (*facts, round_closed(1, "partial", "budget"))
    assert next_step(meeting_after(*facts)) == GiveCommand(StartSynthesis())


def shown_in_round_two(*facts: Fact | Later) -> tuple[str, AttemptStarted]:
    """What Ann is shown when round 2 opens after these facts, and her attempt."""
    facts = (*facts, round_opened(2))
    started = started_after(facts, turn("ann", 2), cap=200)
    brief = rebuild_brief(history(*facts, started), started)
    return brief.messages[1].content, started


def test_later_briefs_show_the_digest_in_the_rounds_place():
    shown, _ = shown_in_round_two(*CLOSED, *digested(1, "Both did their part."))
    assert '<digest round="1" by="ann">\nBoth did their part.\n</digest>' in shown
    assert "<turn" not in shown


def test_the_manifest_names_what_the_digest_stands_for_and_shows_the_digest():
    _, started = shown_in_round_two(*CLOSED, *digested())
    facts = (*CLOSED, *digested())
    turns = [n for n, fact in enumerate(facts, 1) if isinstance(fact, TurnCompleted)]
    assert started.manifest.digested == (EntryRange(turns[0], turns[-1]),)
    assert started.manifest.whole == EntryRange(len(facts), len(facts))


def test_a_remark_made_during_the_round_is_shown_beside_its_digest():
    stage = Stage(convened(digest_rounds=True).configuration)
    stage.play(lambda meeting: len(meeting.turns) == 1)
    stage.give(MakeRemark("Eve", "Mind the budget."))
    stage.play(lambda meeting: meeting.round_num == 2 and meeting.task_state is not None)
    step = next_step(stage.meeting)
    assert isinstance(step, Ask)
    assert '<remark by="Eve">\nMind the budget.\n</remark>' in step.messages[1].content
    assert "<turn" not in step.messages[1].content


def test_the_author_of_the_minutes_is_shown_digests_and_the_last_round():
    stage = Stage(convened(digest_rounds=True).configuration).play()
    shown = stage.asked[-1].messages[1].content
    assert isinstance(stage.asked[-1].task, SynthesisTask)
    assert (shown.count("<digest "), shown.count("<turn ")) == (1, 2)
    assert '<turn round="2"' in shown


def test_a_fault_for_good_leaves_the_round_as_it_is():
    failed = attempt_failed(FIRST, by="ann", fault=FaultClass.REFUSED)
    why = undigested("refused: no answer")
    given(*ASKED).when(fault()).then(failed, why)
    shown, started = shown_in_round_two(*ASKED, failed, why)
    assert shown.count("<turn ") == 2
    assert "<digest " not in shown
    assert started.manifest.digested == ()


def test_a_fault_that_may_pass_is_tried_again():
    (failed,) = answered(ASKED, fault(FaultClass.EMPTY))
    assert failed == attempt_failed(FIRST, by="ann", fault=FaultClass.EMPTY, retry_at=START)
    again = (*ASKED, failed)
    given(*again).when(StartAttempt(FIRST)).then(
        started_after(again, FIRST, by="ann", number=2, cap=200)
    )


def test_a_reply_without_text_is_a_fault():
    empty = AcceptReply(FIRST, 1, " ", "stop", ReportedUsage(100, 0))
    given(*ASKED).when(empty).then(
        attempt_failed(
            FIRST,
            by="ann",
            fault=FaultClass.EMPTY,
            detail="the reply has no text",
            charged=100,
            usage=Usage(100, 0, "reported"),
            retry_at=START,
        )
    )


def test_without_money_for_it_there_is_no_digest():
    facts = [convened(digest_rounds=True, meeting_tokens=9_000), *whole_round(1)]
    facts[-2] = turn_completed("bob", usage=Usage(4_384, 6, "reported"))
    given(*facts).when(StartAttempt(FIRST)).then(undigested("the token budget is spent"))


def test_a_digest_takes_no_more_than_one_of_the_turns_to_come():
    def closed(ceiling: int) -> list[Fact]:
        return [convened(digest_rounds=True, meeting_tokens=ceiling), *whole_round(1)]

    meeting = meeting_after(*closed(9_000))
    floors = [min_cost(meeting, FIRST, "ann").tokens]
    floors += [min_cost(meeting, turn(each, 2), each).tokens for each in ("ann", "bob")]
    share, spare = 3_500 + 500, 70
    ceiling = share + meeting.ledger.spent + sum(floors) + len(floors) * spare
    (started,) = answered(closed(ceiling), StartAttempt(FIRST))
    assert isinstance(started, AttemptStarted)
    assert started.reserved.total == floors[0] + spare


def test_when_the_time_for_the_rounds_is_over_there_is_no_digest():
    config = convened(digest_rounds=True, meeting_timeout_seconds=480.0)  # so the rounds have 360
    facts = (config, *whole_round(1))
    given(*facts).when(StartAttempt(FIRST), at=after(358)).then(
        started_after(facts, FIRST, by="ann", cap=200)
    )
    given(*facts).when(StartAttempt(FIRST), at=after(358.5)).then(
        undigested("the time for it ran out")
    )


def test_a_digest_ends_while_paused():
    given(*ASKED, Paused()).when(fault()).then(
        attempt_failed(FIRST, by="ann", fault=FaultClass.REFUSED), undigested("refused: no answer")
    )
    given(*CLOSED, Paused()).when(StartAttempt(FIRST)).then_refused(WrongPhase, "paused")


def test_only_the_round_just_closed_is_digested_and_only_once():
    given(convened()).when(StartAttempt(FIRST)).then_refused(WrongPhase)
    given(*CLOSED[:2]).when(StartAttempt(FIRST)).then_refused(OutOfTurn)
    given(*CLOSED).when(StartAttempt(DigestTask(2))).then_refused(OutOfTurn)
    given(*CLOSED, *digested()).when(StartAttempt(FIRST)).then_refused(OutOfTurn)
    given(*CLOSED, undigested("why")).when(StartAttempt(FIRST)).then_refused(OutOfTurn)
    given(*ASKED, round_digested()).when(fault()).then_refused(NoSuchAttempt)


def test_a_digest_is_given_up_once_and_the_meeting_goes_on():
    facts = (*CLOSED, undigested("refused: no answer"))
    assert next_step(meeting_after(*facts)) == GiveCommand(OpenRound(2))


def forgetful(ask: Ask, meeting: Meeting) -> Command:
    """Answer at length in turns, and fail the digest of the second round."""
    if ask.task == DigestTask(2):
        return ReportFault(ask.task, ask.number, FaultClass.REFUSED, "no")
    reply = brief_speaker(ask, meeting)
    assert isinstance(reply, AcceptReply)
    if isinstance(ask.task, TurnTask):
        return AcceptReply(ask.task, ask.number, "word " * 150, "stop")
    return reply


@pytest.mark.parametrize("context_tokens", [600, 900, 1_400, 3_500])
def test_every_brief_among_digests_and_remarks_can_be_built_again(context_tokens: int):
    topics = ("A", "B", "C", "D")
    config = convened(
        participants=(ANN, BOB, Participant("cat", "Cat")),
        num_rounds=4,
        round_topics=topics,
        digest_rounds=True,
        context_tokens=context_tokens,
    ).configuration
    stage = Stage(config, forgetful)
    for turns in (1, 2, 4, 6, 7, 9, 11):
        stage.play(lambda meeting, turns=turns: len(meeting.turns) == turns)
        stage.give(MakeRemark("Eve", f"Remark after {turns} turns."))
    stage.play()
    tasks = {type(attempt.task) for attempt in stage.attempts}
    assert tasks == {TurnTask, DigestTask, SynthesisTask}
    for ask, attempt in zip(stage.asked, stage.attempts, strict=True):
        assert rebuild_brief(stage.events, attempt).messages == ask.messages
        assert attempt.manifest.tokens <= context_tokens


def test_a_meeting_with_digests_ends_like_any_other():
    stage = Stage(convened(digest_rounds=True).configuration).play()
    names = [type(fact).__name__ for fact in stage.facts]
    assert names.count("RoundDigested") == 1
    assert names[-1] == "Completed"
    assert stage.meeting.outcome is not None
    assert stage.meeting.outcome.degraded == ()
