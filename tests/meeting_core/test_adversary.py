"""Meetings with ceilings against models and machines that do their worst: the ceilings hold."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from meeting_core import (
    Ask,
    BeginAttempt,
    Configuration,
    Ended,
    GiveCommand,
    Idle,
    Meeting,
    ModelPrice,
    Participant,
    Phase,
    PriceTable,
    ReportedUsage,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    next_step,
)
from meeting_core.decider.convening import default_topics
from meeting_core.errors import NoSuchAttempt
from meeting_core.model import (
    AcceptReply,
    Adopt,
    Cancel,
    Command,
    Complete,
    EndRounds,
    Fail,
    FaultClass,
    RaiseBudget,
    ReportFault,
    Reservation,
    SynthesisTask,
)
from meeting_core.prompt import fixed_tokens
from tests.builders import SYNTHESIS
from tests.ledger import assert_within_ceiling
from tests.meeting_core.choices import Draw, seeded
from tests.meeting_core.scenario import Stage

MEETINGS = 3_000
MAX_MEETING = 400
MAX_ADOPTIONS = 5
FAULTS = tuple(FaultClass)
SPARE = (0, 1, 100, 600, 2_000, 9_000, 20_000, 60_000)
PRICES = PriceTable("1", models=(ModelPrice("small", 1.5, 6.0), ModelPrice("large", 9.0, 30.0)))
PARTICIPANTS = (
    Participant("ann", "Ann", model="small", fallback_models=("large",)),
    Participant("bob", "Bob", model="large"),
    Participant("cat", "Cat", model="small"),
)


def chosen_configuration(draw: Draw) -> Configuration:
    """A meeting whose ceiling is the lowest allowed, or a number of tokens above it."""
    num_participants, rounds = 2 + draw(2), 1 + draw(3)
    digests = draw(3) == 0
    shape = Configuration(
        participants=PARTICIPANTS[:num_participants],
        num_rounds=rounds,
        round_topics=default_topics(rounds),
        context_tokens=(1_000, 3_500)[draw(2)],
        max_tokens_per_turn=(48, 200)[draw(2)],
        synthesis_max_tokens=(100, 500)[draw(2)],
        on_budget=("wrap_up", "pause", "fail")[draw(3)],
        digest_rounds=digests,
        max_attempts=1 + draw(4),
        turn_timeout_seconds=20.0,
        synthesis_timeout_seconds=40.0,
        meeting_timeout_seconds=(
            20.0 * (num_participants * rounds + digests * (rounds - 1)) + 40.0,
            3_600.0,
        )[draw(2)],
        prices=PRICES,
    )
    turn, spare = fixed_tokens(shape), SPARE[draw(len(SPARE))]
    turns = num_participants * (turn + shape.min_tokens_per_turn)
    closing = shape.context_tokens + shape.synthesis_max_tokens
    if draw(3) == 0:
        small, large = PRICES.models
        micros = small.micros(shape.context_tokens, shape.synthesis_max_tokens)
        for participant in shape.participants:
            model = large if participant.model == "large" else small
            micros += model.micros(turn, shape.min_tokens_per_turn)
        shape = replace(shape, meeting_cost=(micros + 1 + 4 * spare) / 1_000_000)
        if draw(2):
            return shape
    return replace(shape, meeting_tokens=turns + closing + spare)


class Siege:
    """One meeting whose every call may go wrong, and whose process may die at any time."""

    def __init__(self, draw: Draw, met: Counter[str]) -> None:
        self.draw, self.met = draw, met
        self.stage = Stage(chosen_configuration(draw))
        # Some models have one vice and keep to it; others have any, now and then or always.
        self.vice = self.pick(VICES) if draw(3) == 0 else None
        self.one_in = (1, 2, 4, 10)[draw(4)]
        self.min_spent = 0
        self.hidden_tokens = (300, 2_000, 4_000, 30_000)[draw(4)]

    def pick(self, choices: tuple[str, ...]) -> str:
        return choices[self.draw(len(choices))]

    @property
    def meeting(self) -> Meeting:
        return self.stage.meeting

    def play(self) -> None:
        for _ in range(MAX_MEETING):
            if self.meeting.has_ended:
                break
            self.step()
        assert self.meeting.has_ended, "the meeting never ends"
        meeting = self.meeting
        match meeting.phase:
            case Phase.CANCELLED:
                self.met["cancelled"] += 1
            case Phase.ERROR:
                self.met[f"failed: {meeting.failure}"] += 1
            case _:
                self.met[f"complete: {meeting.ended_by}"] += 1

    def step(self) -> None:
        if self.draw(40) == 0:
            self.crash()
            return
        if self.draw(250) == 0:
            self.stage.give(Cancel("enough"))
            return
        match step := next_step(self.meeting):
            case GiveCommand() | BeginAttempt():
                self.stage.give(step.command)
            case WaitUntil():
                self.pass_until(step)
            case WaitForGateway():
                self.wait_for_gateway(step)
            case Ask():
                self.answer(step)
            case SaveMinutes():
                self.stage.give(Complete("minutes.md"))
            case Idle():
                self.stage.give(self.operator_s_word())
            case Ended():
                raise AssertionError("it was not said to have ended")

    def pass_until(self, step: WaitUntil) -> None:
        self.stage.now = max(self.stage.now, step.at)
        self.stage.give(step.then.command)

    def wait_for_gateway(self, step: WaitForGateway) -> None:
        if self.draw(3):
            self.stage.now += timedelta(seconds=2)
            self.stage.give(step.then.command)
        else:
            self.stage.now = max(self.stage.now, step.until)
            self.stage.give(step.otherwise.command)

    def operator_s_word(self) -> Command:
        assert self.meeting.pause_cause == "budget"
        self.met["out of money: paused"] += 1
        config = self.meeting.config
        tokens, cost = config.meeting_tokens, config.meeting_cost
        raised = RaiseBudget(
            None if tokens is None else tokens + 1 + self.draw(2_000),
            None if cost is None else cost * 1.25,
        )
        return (raised, raised, EndRounds(), Cancel())[self.draw(4)]

    def crash(self) -> None:
        """The process dies; its last words, if a call was under way, come too late."""
        step, meeting = next_step(self.meeting), self.meeting
        self.met["crash in a call" if isinstance(step, Ask) else "crash between calls"] += 1
        self.stage.now += timedelta(seconds=self.draw(10))
        if meeting.adoptions >= MAX_ADOPTIONS:
            self.stage.give(Fail("crash_loop"))
            return
        self.stage.give(Adopt("another", meeting.epoch + 1, ("restart", "takeover")[self.draw(2)]))
        if isinstance(step, Ask):
            with pytest.raises(NoSuchAttempt):
                self.stage.give(AcceptReply(step.task, step.number, "Too late.", "stop"))

    def answer(self, ask: Ask) -> None:
        vice = "none" if self.draw(self.one_in) else self.vice or self.pick(VICES)
        if vice == "crashes":
            self.crash()
            return
        self.met[vice] += 1
        self.stage.now += timedelta(seconds=1 + self.draw(6))
        assert self.meeting.task_state is not None
        assert self.meeting.task_state.open is not None
        self.min_spent = 0
        self.stage.give(ANSWERS[vice](self, ask, self.meeting.task_state.open.reserved))
        assert self.meeting.ledger.spent >= self.min_spent, "words that came were free"

    # --- what a model may do -------------------------------------------------------------------

    def text(self, ask: Ask, tokens: int) -> str:
        """Return a text of about that length; the minutes mostly with all their sections."""
        words = "word " * (tokens * 4 // 5)
        if isinstance(ask.task, SynthesisTask) and self.draw(3):
            return f"{SYNTHESIS}\n{words}"
        return f"{ask.participant.name} said: {words}"

    def accept(self, ask: Ask, text: str, usage: ReportedUsage | None) -> Command:
        return AcceptReply(ask.task, ask.number, text, "length", usage)

    def keep_to_the_rules(self, ask: Ask, reserved: Reservation) -> Command:
        usage = ReportedUsage(reserved.prompt_tokens, 1 + self.draw(reserved.output_tokens))
        return self.accept(ask, self.text(ask, 20), usage)

    def pass_the_cap(self, ask: Ask, reserved: Reservation) -> Command:
        tokens = reserved.output_tokens * (2 + self.draw(4))
        usage = ReportedUsage(reserved.prompt_tokens, tokens)
        return self.accept(ask, self.text(ask, tokens), usage)

    def have_hidden_instructions(self, ask: Ask, _: Reservation) -> Command:
        """Count what a provider adds to each prompt, which is the same for one meeting."""
        assert self.meeting.open_attempt is not None
        sent = self.meeting.open_attempt.manifest.tokens
        usage = ReportedUsage(sent + self.hidden_tokens, 10)
        return self.accept(ask, self.text(ask, 8), usage)

    def always_count_the_same(self, ask: Ask, _: Reservation) -> Command:
        return self.accept(ask, self.text(ask, 8), ReportedUsage(4_000, 20))

    def report_nothing(self, ask: Ask, reserved: Reservation) -> Command:
        tokens = self.draw(3 * reserved.output_tokens)
        return self.accept(ask, self.text(ask, tokens), None)

    def report_tenfold(self, ask: Ask, reserved: Reservation) -> Command:
        usage = ReportedUsage(10 * reserved.prompt_tokens, 10 * reserved.output_tokens)
        return self.accept(ask, self.text(ask, 20), usage)

    def report_zero(self, ask: Ask, reserved: Reservation) -> Command:
        tokens = self.draw(2 * reserved.output_tokens)
        return self.accept(ask, self.text(ask, tokens), ReportedUsage(0, 0))

    def fail_after_billing(self, ask: Ask, reserved: Reservation) -> Command:
        output = self.draw(2 * reserved.output_tokens)
        usage = ReportedUsage(reserved.prompt_tokens + self.draw(200), output)
        fault = FAULTS[self.draw(len(FAULTS))]
        return ReportFault(ask.task, ask.number, fault, "billed", None, usage)

    def think_beside_the_cap(self, ask: Ask, reserved: Reservation) -> Command:
        thoughts, said = 100 + self.draw(1_900), 1 + self.draw(reserved.output_tokens)
        prompt, written = reserved.prompt_tokens, said + thoughts
        usage = (
            ReportedUsage(prompt, said, prompt + written, thoughts),
            ReportedUsage(prompt, said, prompt + written),
            ReportedUsage(prompt, said, None, thoughts),
            ReportedUsage(prompt, written, prompt + written, thoughts),
            None,
        )[self.draw(5)]
        text, seen = self.text(ask, said), thoughts if usage is None else 0
        return AcceptReply(ask.task, ask.number, text, "stop", usage, thought_tokens=seen)

    def report_a_part(self, ask: Ask, reserved: Reservation) -> Command:
        prompt, said = reserved.prompt_tokens, 1 + self.draw(2 * reserved.output_tokens)
        usage = (
            ReportedUsage(prompt),
            ReportedUsage(None, said),
            ReportedUsage(None, None, prompt + said),
            ReportedUsage(0, said, said),
            ReportedUsage(-1, 10**15, 10**16),
        )[self.draw(5)]
        return self.accept(ask, self.text(ask, said), usage)

    def never_stop(self, ask: Ask, reserved: Reservation) -> Command:
        text = self.text(ask, 2 * reserved.output_tokens + 50)
        return AcceptReply(ask.task, ask.number, text, "length", None, is_truncated=True)

    def break_off(self, ask: Ask, reserved: Reservation) -> Command:
        """Fail after words that were paid for; such a fault is never free, nor an outage."""
        fault, seen = FAULTS[self.draw(len(FAULTS))], 1 + self.draw(3 * reserved.output_tokens)
        is_unreachable, before = self.draw(2) > 0, self.meeting.ledger.spent
        usage = (None, ReportedUsage(reserved.prompt_tokens, 1), ReportedUsage(0, 0))[self.draw(3)]
        broken = ReportFault(
            ask.task,
            ask.number,
            fault,
            "broken off",
            None,
            usage,
            reached=not is_unreachable,
            is_unreachable=is_unreachable,
            tokens_seen=seen,
        )
        self.min_spent = before + min(seen, reserved.total)
        return broken

    def not_know_the_request(self, ask: Ask, _: Reservation) -> Command:
        return ReportFault(ask.task, ask.number, FaultClass.UNSUPPORTED, "unknown field")

    def fail_without_a_bill(self, ask: Ask, _: Reservation) -> Command:
        fault = FAULTS[self.draw(len(FAULTS))]
        reached = self.draw(4) > 0
        return ReportFault(ask.task, ask.number, fault, "no bill", None, None, reached)

    def be_unreachable(self, ask: Ask, _: Reservation) -> Command:
        fault = FaultClass.UNAVAILABLE
        reached = self.draw(2) > 0
        return ReportFault(
            ask.task, ask.number, fault, "unreachable", None, None, reached, is_unreachable=True
        )

    def answer_nothing(self, ask: Ask, reserved: Reservation) -> Command:
        usage = ReportedUsage(reserved.prompt_tokens, 0) if self.draw(2) else None
        return self.accept(ask, ("", " \n", "\x00")[self.draw(3)], usage)

    def never_answer(self, ask: Ask, _: Reservation) -> Command:
        self.stage.now = max(self.stage.now, ask.deadline_at)
        return ReportFault(ask.task, ask.number, FaultClass.TIMED_OUT, "too late")


ANSWERS: dict[str, Callable[[Siege, Ask, Reservation], Command]] = {
    "none": Siege.keep_to_the_rules,
    "passes its cap": Siege.pass_the_cap,
    "has hidden instructions": Siege.have_hidden_instructions,
    "always counts the same": Siege.always_count_the_same,
    "reports nothing": Siege.report_nothing,
    "reports ten times the truth": Siege.report_tenfold,
    "reports zero": Siege.report_zero,
    "fails after billing": Siege.fail_after_billing,
    "thinks beside its cap": Siege.think_beside_the_cap,
    "reports a part": Siege.report_a_part,
    "never stops": Siege.never_stop,
    "breaks off": Siege.break_off,
    "does not know the request": Siege.not_know_the_request,
    "fails without a bill": Siege.fail_without_a_bill,
    "is unreachable": Siege.be_unreachable,
    "answers nothing": Siege.answer_nothing,
    "never answers": Siege.never_answer,
}
VICES = (*(vice for vice in ANSWERS if vice != "none"), "crashes", *2 * ("is unreachable",))
ENDINGS = (
    *(f"complete: {cause}" for cause in ("agenda", "budget", "deadline", "operator")),
    *(f"failed: {why}" for why in ("budget", "nobody_spoke", "gateway_unreachable", "crash_loop")),
    "cancelled",
)


def test_no_model_and_no_crash_takes_a_meeting_past_its_ceiling() -> None:
    met: Counter[str] = Counter()
    for seed in range(MEETINGS):
        siege = Siege(seeded(seed), met)
        try:
            siege.play()
            spent = assert_within_ceiling(siege.stage.events)
        except Exception as error:
            error.add_note(f"seed {seed}: {siege.meeting.config}")
            raise
        config = siege.meeting.config
        tokens, cost = config.meeting_tokens, config.meeting_cost
        met["overdrawn by its last call"] += spent.tokens > (tokens or spent.tokens)
        met["held in money"] += cost is not None
    wanted = [*ANSWERS, *ENDINGS]
    wanted += ["crash in a call", "crash between calls", "out of money: paused"]
    wanted += ["overdrawn by its last call", "held in money"]
    assert {name for name in wanted if met[name] < 5} == set()
