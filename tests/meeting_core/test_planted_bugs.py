"""The audit proves something: it finds each of these bugs, planted one at a time, and no others."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from meeting_core import (
    BeginAttempt,
    Fact,
    Meeting,
    MeetingError,
    Phase,
    decider,
    projector,
)
from meeting_core import minutes as minutes_of
from meeting_core.budget import Allowance
from meeting_core.budget import allowance as budget
from meeting_core.decider import call_plan as ceilings
from meeting_core.decider import control, fault_policy, faults, turns
from meeting_core.decider import summaries as closing
from meeting_core.model import (
    Amount,
    DigestTask,
    FaultClass,
    Ledger,
    Reply,
    Resumed,
    StartAttempt,
    SynthesisCompleted,
    SynthesisTask,
    TurnSkipped,
    Usage,
    accounting,
    reported_usage,
)
from meeting_core.model import meeting as meetings
from meeting_core.prompt import brief
from meeting_core.steps import agenda
from tests.meeting_core.choices import seeded
from tests.meeting_core.walk import MOVES, walk

WALKS = 1_000
Plant = Callable[[pytest.MonkeyPatch], None]
PLANTED: dict[str, Plant] = {}


def planted(bug: Plant) -> Plant:
    PLANTED[bug.__name__] = bug
    return bug


def first_finding() -> Exception | None:
    """Walk until the audit, or the core itself, finds something."""
    for seed in range(WALKS):
        try:
            walk(seeded(seed), MOVES)
        except (AssertionError, MeetingError) as finding:
            return finding
    return None


@planted
def a_call_is_never_charged(patch: pytest.MonkeyPatch) -> None:
    true = Ledger.settle
    patch.setattr(Ledger, "settle", lambda self, reserved, *_, **__: true(self, reserved, Amount()))


@planted
def a_reservation_is_never_given_back(patch: pytest.MonkeyPatch) -> None:
    true = Ledger.settle
    patch.setattr(Ledger, "settle", lambda self, _, charged, **__: true(self, Amount(), charged))


@planted
def nothing_is_reserved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "reserve", lambda self, _: self)


@planted
def an_abandoned_call_is_charged_nothing(patch: pytest.MonkeyPatch) -> None:
    true = faults.abandoned

    def bug(meeting: Meeting, cause: Any) -> tuple[Fact, ...]:
        return tuple(replace(fact, charged=0) for fact in true(meeting, cause))

    for module in (decider, control):
        patch.setattr(module, "abandoned", bug)


@planted
def a_failed_call_is_charged_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(faults, "fault_charge", lambda *_, **__: (None, 0))


@planted
def words_that_came_before_a_fault_are_free(patch: pytest.MonkeyPatch) -> None:
    true = faults.fault_charge

    def bug(*arguments: Any, **named: Any) -> Any:
        return true(*arguments, **{**named, "tokens_seen": 0})

    patch.setattr(faults, "fault_charge", bug)


@planted
def what_passed_a_cap_is_not_learnt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accounting.ModelProfile, "beyond_cap", lambda *_: 0)


@planted
def any_report_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reported_usage, "_believed", lambda count, _: count)


@planted
def an_unsupported_form_counts_as_a_try(patch: pytest.MonkeyPatch) -> None:
    true = faults._again

    def bug(meeting: Meeting, task_state: Any, command: Any, *more: Any) -> Any:
        if command.fault is FaultClass.UNSUPPORTED and meeting.config.max_attempts == 1:
            return None
        return true(meeting, task_state, command, *more)

    patch.setattr(faults, "_again", bug)


@planted
def an_unreported_usage_is_nothing(patch: pytest.MonkeyPatch) -> None:
    true = turns.kept_reply

    def bug(*arguments: Any) -> Reply:
        reply = true(*arguments)
        is_estimated = reply.usage.source == "estimated"
        return replace(reply, usage=Usage(0, 0, "estimated")) if is_estimated else reply

    patch.setattr(decider, "kept_reply", bug)


@planted
def the_ceiling_is_passed_by_one(patch: pytest.MonkeyPatch) -> None:
    true = Allowance.output_beside

    def bug(self: Allowance, prompt_tokens: int, wanted: int) -> int:
        cap = true(self, prompt_tokens, wanted)
        return cap + 1 if cap < wanted else cap

    patch.setattr(Allowance, "output_beside", bug)


@planted
def nobody_thinks_of_the_turns_to_come(patch: pytest.MonkeyPatch) -> None:
    true = ceilings.turn_allowance

    def bug(*arguments: Any) -> Any:
        return true(*arguments[:-1], arguments[-1][:1])

    patch.setattr(ceilings, "turn_allowance", bug)


@planted
def money_is_no_object(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(budget, "micros_left", lambda *_: None)


@planted
def the_cap_is_lowered_before_the_brief_is_shortened(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Allowance, "prompt_beside", lambda *_: None)


@planted
def a_gateway_is_waited_for_without_end(patch: pytest.MonkeyPatch) -> None:
    def bug(meeting: Meeting, _: Any, now: Any) -> Any:
        return now + timedelta(seconds=meeting.config.gateway_reconnect_timeout_seconds)

    patch.setattr(faults, "_give_up_at", bug)


@planted
def the_wait_for_a_gateway_is_the_speakers(patch: pytest.MonkeyPatch) -> None:
    true = meetings.TaskState.clock_at

    def bug(self: meetings.TaskState, now: Any) -> Any:
        return self.clock_from if self.give_up_at is not None else true(self, now)

    patch.setattr(meetings.TaskState, "clock_at", bug)


@planted
def the_wait_for_a_call_slot_is_the_speakers(patch: pytest.MonkeyPatch) -> None:
    def bug(self: meetings.TaskState, now: Any) -> Any:
        return now if self.give_up_at is not None else self.clock_from

    patch.setattr(meetings.TaskState, "clock_at", bug)


@planted
def an_attempt_begins_without_the_time_for_it(patch: pytest.MonkeyPatch) -> None:
    for module in (turns, faults):
        patch.setattr(module, "min_attempt_seconds", lambda _: 0.0)


@planted
def every_round_is_spoken_in_the_order_of_the_first(patch: pytest.MonkeyPatch) -> None:
    def bug(self: Meeting, _: int) -> tuple[str, ...]:
        return tuple(each.agent_id for each in self.config.participants)

    patch.setattr(meetings.Meeting, "speaking_order", bug)


@planted
def a_rejected_model_is_asked_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(meetings.Meeting, "speaking", meetings.Meeting.participant)


@planted
def a_reply_over_its_cap_is_quoted_whole(patch: pytest.MonkeyPatch) -> None:
    true = turns.kept_reply
    patch.setattr(decider, "kept_reply", lambda *each: replace(true(*each), cut_to=None))


@planted
def a_draft_is_discarded(patch: pytest.MonkeyPatch) -> None:
    def bug(_: Meeting, cause: str) -> SynthesisCompleted:
        return SynthesisCompleted(degraded=f"no summary was written ({cause})")

    for module in (closing, faults):
        patch.setattr(module, "draft_or_nothing", bug)


@planted
def the_last_round_is_digested_too(patch: pytest.MonkeyPatch) -> None:
    def bug(meeting: Meeting) -> bool:
        last = meeting.rounds[-1]
        is_open = last.ending is None or last.digest is not None
        return meeting.config.digest_rounds and not is_open and last.ending != "silent"

    true = agenda._in_round

    def in_round(meeting: Meeting) -> Any:
        if bug(meeting):
            return BeginAttempt("", StartAttempt(DigestTask(meeting.round_num)))
        return true(meeting)

    for module in (agenda, turns, closing):
        patch.setattr(module, "awaits_digest", bug)
    patch.setattr(agenda, "_in_round", in_round)


@planted
def the_turns_spend_the_syntheses_share(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(budget, "synthesis_share", lambda *_: 0)


@planted
def the_rounds_never_run_out_of_time(patch: pytest.MonkeyPatch) -> None:
    true = meetings.Meeting.deadline_at.fget

    def bug(meeting: Meeting) -> Any:
        late = timedelta(days=9) if meeting.synthesis_clock_from is None else timedelta()
        return true(meeting) + late

    patch.setattr(meetings.Meeting, "deadline_at", property(bug))


@planted
def adopting_does_not_restart_the_clocks(patch: pytest.MonkeyPatch) -> None:
    true = projector.adopted
    kept = ("epoch", "adoptions")

    def bug(*arguments: Any) -> dict[str, Any]:
        return {name: value for name, value in true(*arguments).items() if name in kept}

    patch.setattr(projector, "adopted", bug)


@planted
def adopting_leaves_the_call_open(patch: pytest.MonkeyPatch) -> None:
    for module in (decider, control):
        patch.setattr(module, "abandoned", lambda *_: ())
    patch.setattr(projector, "_WHILE_OPEN", {*Fact.__args__})


@planted
def a_skip_is_recorded_twice(patch: pytest.MonkeyPatch) -> None:
    true = decider.report_fault

    def bug(*arguments: Any) -> tuple[Fact, ...]:
        facts = true(*arguments)
        return (*facts, facts[-1]) if isinstance(facts[-1], TurnSkipped) else facts

    patch.setattr(decider, "report_fault", bug)
    patch.setattr(projector, "_check_turn", lambda *_: None)


@planted
def a_round_begins_with_the_second_speaker(patch: pytest.MonkeyPatch) -> None:
    true = projector._round_opened

    def bug(*arguments: Any) -> dict[str, Any]:
        (*earlier, opened) = true(*arguments)["rounds"]
        return {"rounds": (*earlier, replace(opened, first_turn=max(opened.first_turn - 1, 0)))}

    patch.setattr(projector, "_round_opened", bug)


@planted
def the_speakers_are_asked_in_reverse(patch: pytest.MonkeyPatch) -> None:
    def bug(meeting: Meeting) -> str | None:
        order = meeting.rounds[-1].order[::-1]
        return order[meeting.round_turns] if meeting.round_turns < len(order) else None

    patch.setattr(meetings.Meeting, "next_speaker", property(bug))


@planted
def a_stale_reply_is_taken(patch: pytest.MonkeyPatch) -> None:
    true = turns.attempt_of

    def bug(meeting: Meeting, command: Any) -> Any:
        task_state = meeting.task_state
        if (
            task_state is not None
            and task_state.open is not None
            and task_state.task == command.task
        ):
            return task_state, task_state.open
        return true(meeting, command)

    for module in (decider, faults):
        patch.setattr(module, "attempt_of", bug)
    patch.setattr(meetings.Meeting, "require_open", lambda meeting, *_: meeting.open_attempt)


@planted
def a_fault_is_tried_again_once_more(patch: pytest.MonkeyPatch) -> None:
    def bug(*arguments: Any, max_attempts: int, **more: Any) -> Any:
        return fault_policy.retry_at(*arguments, max_attempts=max_attempts + 1, **more)

    patch.setattr(faults, "retry_at", bug)


@planted
def a_fault_counts_with_every_other(patch: pytest.MonkeyPatch) -> None:
    def bug(fault: Any, tries: int, _: int, **more: Any) -> Any:
        return fault_policy.retry_at(fault, tries, tries, **more)

    patch.setattr(faults, "retry_at", bug)


@planted
def the_providers_wish_is_ignored(patch: pytest.MonkeyPatch) -> None:
    def bug(*arguments: Any, retry_after_seconds: float | None, **more: Any) -> Any:
        return fault_policy.retry_at(*arguments, retry_after_seconds=None, **more)

    patch.setattr(faults, "retry_at", bug)


@planted
def the_pen_does_not_pass_on(patch: pytest.MonkeyPatch) -> None:
    true = projector.attempt_failed

    def bug(*arguments: Any) -> dict[str, Any]:
        changes = true(*arguments)
        return {**changes, "task_state": replace(changes["task_state"], given_up=())}

    patch.setattr(projector, "attempt_failed", bug)


@planted
def nobody_gives_up_the_synthesis(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        agenda, "_synthesizing", lambda _: BeginAttempt("", StartAttempt(SynthesisTask()))
    )


@planted
def a_brief_leaves_out_the_newest(patch: pytest.MonkeyPatch) -> None:
    true = brief.transcript_of

    def bug(*arguments: Any) -> Any:
        known = true(*arguments)
        return replace(known, versions=known.versions[:-1], entries=known.entries[:-1])

    patch.setattr(brief, "transcript_of", bug)


@planted
def a_brief_forgets_the_earlier_rounds(patch: pytest.MonkeyPatch) -> None:
    true = brief.transcript_of

    def bug(meeting: Meeting, *arguments: Any) -> Any:
        this_round = [turn for turn in meeting.turns if turn.round_num == meeting.round_num]
        return true(replace(meeting, turns=tuple(this_round)), *arguments)

    patch.setattr(brief, "transcript_of", bug)


@planted
def the_outcome_hides_a_skip(patch: pytest.MonkeyPatch) -> None:
    def bug(*arguments: Any) -> Any:
        outcome = minutes_of.outcome_of(*arguments)
        losses = [loss for loss in outcome.degraded if "did not speak" not in loss]
        return replace(outcome, degraded=tuple(losses))

    patch.setattr(closing, "outcome_of", bug)


@planted
def the_outcome_names_an_author_who_did_not_write(patch: pytest.MonkeyPatch) -> None:
    def bug(*arguments: Any) -> Any:
        return replace(minutes_of.outcome_of(*arguments), author="ann")

    patch.setattr(closing, "outcome_of", bug)


@planted
def the_end_is_not_the_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(meetings.Meeting, "has_ended", property(lambda _: False))


@planted
def everybody_resumes_in_a_round(patch: pytest.MonkeyPatch) -> None:
    for module in (decider, control):
        patch.setattr(module, "resume", lambda _: (Resumed(Phase.IN_ROUND),))


@pytest.mark.parametrize("bug", PLANTED)
def test_the_audit_finds(bug: str, monkeypatch: pytest.MonkeyPatch):
    PLANTED[bug](monkeypatch)
    assert first_finding() is not None


def test_the_audit_finds_nothing_where_no_bug_is_planted():
    assert first_finding() is None
