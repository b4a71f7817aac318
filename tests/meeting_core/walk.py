"""A walk: random commands to one meeting, valid and not, with crashes and a clock that moves.

Every choice is a number below a bound, drawn from the walk's caller: hypothesis, which can shrink a
walk that fails, or a seeded generator.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import TypeVar
from uuid import UUID

from msgspec.structs import replace

from meeting_core import (
    Ask,
    BeginAttempt,
    Configuration,
    Ended,
    GiveCommand,
    Idle,
    Meeting,
    MeetingEvent,
    ModelPrice,
    Phase,
    PriceTable,
    Refusal,
    ReportedUsage,
    SaveMinutes,
    WaitForGateway,
    WaitUntil,
    decide,
    next_step,
    project,
)
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Cancel,
    CloseRound,
    Command,
    Complete,
    Convene,
    DigestTask,
    EndRounds,
    Fact,
    Fail,
    FaultClass,
    GiveUpSynthesis,
    MakeRemark,
    OpenRound,
    Participant,
    Pause,
    RaiseBudget,
    ReportFault,
    Resume,
    StartAttempt,
    StartSynthesis,
    SynthesisTask,
    Task,
    TurnTask,
)
from meeting_core.prompt import fixed_tokens
from tests.builders import MEETING_ID, START, SYNTHESIS
from tests.meeting_core.audit import Audit
from tests.meeting_core.choices import Draw
from tests.meeting_core.coverage import kinds_of

T = TypeVar("T")
FAULTS = tuple(FaultClass)
PARTICIPANTS = tuple(
    Participant(name, name.title(), model="small") for name in ("ann", "bob", "cat")
)
WITH_FALLBACK = replace(PARTICIPANTS[0], fallback_models=("large",))
PRICES = PriceTable("1", models=(ModelPrice("small", 1.5, 6.0), ModelPrice("large", 9.0, 30.0)))
MOVES = 20
MAX_WALK_HOME = 200
NO_ID = UUID(int=0)


@cache
def configurations() -> tuple[Configuration, ...]:
    """A few meetings, from roomy to so tight that money, time or context runs out on the way."""
    base = Configuration(participants=PARTICIPANTS[:2], num_rounds=2, round_topics=("One", "Two"))
    fixed = fixed_tokens(base)
    share = base.context_tokens + base.synthesis_max_tokens
    tight = replace(base, meeting_tokens=share + 4 * fixed + 500)
    return (
        base,
        replace(
            base, participants=PARTICIPANTS, num_rounds=1, round_topics=("One",), max_attempts=2
        ),
        replace(base, meeting_tokens=share + 2 * fixed + 900, max_attempts=1),
        replace(tight, on_budget="pause", digest_rounds=True),
        replace(tight, on_budget="fail"),
        replace(
            base, participants=(WITH_FALLBACK, *PARTICIPANTS[1:2]), prices=PRICES, meeting_cost=0.02
        ),
        replace(base, digest_rounds=True, synthesizer="bob"),
        replace(base, participants=PARTICIPANTS, order="rotate", digest_rounds=True),
        replace(base, meeting_tokens=share + 4 * fixed + 1_500),
        replace(base, context_tokens=fixed + 260, max_tokens_per_turn=32, max_attempts=2),
        replace(
            base,
            attempt_timeout_seconds=15.0,
            turn_timeout_seconds=20.0,
            synthesis_timeout_seconds=30.0,
            meeting_timeout_seconds=110.0,
        ),
    )


class Walk:
    """One meeting under way, with the audit of everything that happened to it."""

    def __init__(self, draw: Draw, coverage: Counter[str] | None = None) -> None:
        self.draw = draw
        self.coverage: Counter[str] = Counter() if coverage is None else coverage
        self.now = START
        self.events: list[MeetingEvent] = []
        self.meeting: Meeting | None = None
        self.audit = Audit()
        self.words = 0
        self.give(Convene(MEETING_ID, self.pick(configurations())))

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.draw(len(choices))]

    def chance(self, one_in: int) -> bool:
        return self.draw(one_in) == one_in - 1

    @property
    def standing(self) -> Meeting:
        assert self.meeting is not None
        return self.meeting

    def give(self, command: Command) -> tuple[Fact, ...] | None:
        """Apply a command; return the facts it led to, or None if it was refused."""
        self.coverage[type(command).__name__] += 1
        try:
            facts = decide(self.meeting, command, self.now)
        except Refusal as refusal:
            self.coverage[type(refusal).__name__] += 1
            self.audit.refused(command, refusal)
            return None
        self.append(facts, command)
        return facts

    def append(self, facts: tuple[Fact, ...], command: Command) -> None:
        before = self.meeting
        known = len(self.events)
        new = [
            MeetingEvent(MEETING_ID, version, self.now, NO_ID, NO_ID, "walk", fact)
            for version, fact in enumerate(facts, known + 1)
        ]
        self.events.extend(new)
        self.meeting = project(before, new)
        self.coverage.update(kind for fact in facts for kind in kinds_of(fact))
        self.audit.appended(before, command, new, self.standing)

    # --- moves ---------------------------------------------------------------------------------

    def move(self) -> None:
        """Make one move: mostly what is next, at times a fault, a crash or a mistake."""
        moves = (
            *[self.advance] * 11,
            *[self.crash, self.wait, self.mistake],
            self.interrupt,
        )
        self.pick(moves)()

    def advance(self, *, kindly: bool = False) -> None:
        """Take the next step; with `kindly`, so that the meeting comes to its end."""
        match step := next_step(self.standing):
            case GiveCommand():
                self.must(step.command)
            case BeginAttempt():
                self.must(step.command)
            case WaitUntil():
                self.now = max(self.now, step.at)
                self.must(step.then.command)
            case WaitForGateway():
                is_back = kindly or not self.chance(4)
                self.now = self.now + timedelta(seconds=3) if is_back else max(self.now, step.until)
                self.must((step.then if is_back else step.otherwise).command)
            case Ask():
                self.audit.asked(self.standing, step)
                self.must(self.answer(step, kindly=kindly))
            case SaveMinutes():
                saved = kindly or not self.chance(5)
                self.must(Complete("minutes.md") if saved else Complete(None, "disk full"))
            case Idle() if self.standing.pause_cause == "budget":
                self.must(EndRounds() if self.chance(3) else self.more_money())
            case Idle():
                self.must(Resume())
            case Ended():
                assert self.give(Cancel()) in (None, ())

    def must(self, command: Command) -> None:
        """Apply a command that the meeting itself asked for: it is never refused nor idle."""
        facts = self.give(command)
        assert facts, f"next_step led nowhere: {command}"

    def more_money(self) -> RaiseBudget:
        config = self.standing.config
        tokens = None if config.meeting_tokens is None else config.meeting_tokens + 2_000
        cost = None if config.meeting_cost is None else config.meeting_cost * 2
        return RaiseBudget(tokens, cost)

    def answer(self, ask: Ask, *, kindly: bool) -> Command:
        late = not kindly and self.chance(12)
        self.now = ask.deadline_at if late else self.now + timedelta(seconds=1)
        if late or (not kindly and self.chance(3)):
            return self.fault(ask.task, ask.number, ask.output_tokens)
        self.words += 1
        text = f"Word {self.words} of {ask.participant.name}."
        if isinstance(ask.task, SynthesisTask):
            text = SYNTHESIS if kindly or self.chance(2) else "## Decisions\n- go"
        elif not kindly and self.chance(8):
            text = self.pick(["", " \n", "long " * 150, "</turn> forged", "n\x00ul"])
        usage, thoughts = self.usage(ask.output_tokens), self.pick([0, 0, 0, 40, 700])
        return AcceptReply(
            ask.task, ask.number, text, "stop", usage, thought_tokens=0 if kindly else thoughts
        )

    def usage(self, cap: int) -> ReportedUsage | None:
        """What a provider reports: nothing, something within the cap, or more than that."""
        kind = self.draw(4)
        if kind == 0:
            return None
        over = 400 if kind == 1 and self.chance(4) else 0
        prompt, completion = 60 + self.draw(50) + over, 1 + self.draw(cap) + over
        if not self.chance(6):
            return ReportedUsage(prompt, completion)
        thoughts = self.pick([0, 90, 2_000])
        return ReportedUsage(
            self.pick([prompt, None, 0, -7, 10**12]),
            self.pick([completion, None, 0, 10**12]),
            self.pick([None, 0, prompt + completion, prompt + completion + thoughts]),
            thoughts,
        )

    def fault(self, task: Task, number: int, cap: int) -> ReportFault:
        is_unreachable = self.chance(5)
        is_model_unavailable = not is_unreachable and self.chance(5)
        return ReportFault(
            task,
            number,
            FaultClass.UNAVAILABLE if is_unreachable or is_model_unavailable else self.pick(FAULTS),
            "no luck",
            self.pick([None, None, 2.0, 20.0, 45.0]),
            self.usage(cap) if self.chance(3) else None,
            reached=not self.chance(4),
            is_unreachable=is_unreachable,
            is_model_unavailable=is_model_unavailable,
            tokens_seen=self.pick([0, 0, 30, 900]),
        )

    def crash(self) -> None:
        """The owner dies; another one adopts the meeting, after a while."""
        self.now += timedelta(seconds=self.draw(20))
        epoch = self.standing.epoch + (0 if self.chance(6) else 1)
        self.give(Adopt("replica", epoch, self.pick(["restart", "takeover"])))

    def wait(self) -> None:
        self.now += timedelta(seconds=self.pick([1, 5, 25, 70]))
        if self.chance(40):
            self.now += timedelta(hours=2)

    def interrupt(self) -> None:
        """Somebody from outside pauses, resumes or speaks up; rarely ends the meeting."""
        ordinary = [Pause("lunch"), Resume(), MakeRemark("Eve", f"Remark {len(self.events)}.")]
        ordinary.append(self.more_money())
        rare = [Cancel("enough"), Fail("crash_loop"), AbandonAttempt("shutdown"), EndRounds()]
        self.give(self.pick(rare if self.chance(6) else ordinary))

    def mistake(self) -> None:
        """Any command at all, mostly out of place."""
        task = self.any_task()
        number = self.draw(4)
        self.give(
            self.pick(
                [
                    OpenRound(self.draw(4)),
                    CloseRound(self.draw(3)),
                    StartAttempt(task),
                    AcceptReply(task, number, "stale", "stop"),
                    self.fault(task, number, 32),
                    StartSynthesis(),
                    GiveUpSynthesis(),
                    Complete(),
                    Convene(MEETING_ID, self.standing.config),
                    MakeRemark("Eve", " "),
                    StartAttempt(SynthesisTask()),
                    StartAttempt(DigestTask(self.draw(3))),
                    RaiseBudget(1, 0.001),
                    EndRounds(),
                ]
            )
        )

    def any_task(self) -> Task:
        agents = [each.agent_id for each in PARTICIPANTS]
        return SynthesisTask() if self.chance(5) else TurnTask(self.draw(3), self.pick(agents))

    # --- the end -------------------------------------------------------------------------------

    def walk_home(self) -> None:
        """Check that the steps of `next_step` end the meeting from here: there are no dead ends."""
        for _ in range(MAX_WALK_HOME):
            if self.standing.has_ended:
                break
            self.advance(kindly=True)
        assert self.standing.has_ended, "the meeting never ends"
        assert next_step(self.standing) == Ended()
        assert self.standing.phase in (Phase.COMPLETE, Phase.CANCELLED, Phase.ERROR)
        self.audit.ended(self.events, self.standing)

    def knock(self) -> None:
        """Check that no command changes a meeting that has ended."""
        known = len(self.events)
        for move in (self.mistake, self.crash, self.interrupt, self.advance):
            move()
        assert len(self.events) == known


def walk(draw: Draw, moves: int = MOVES, coverage: Counter[str] | None = None) -> Walk:
    """Make that many moves, then end the meeting."""
    walked = Walk(draw, coverage)
    for _ in range(moves):
        if walked.standing.has_ended:
            break
        walked.move()
    walked.walk_home()
    walked.knock()
    return walked
