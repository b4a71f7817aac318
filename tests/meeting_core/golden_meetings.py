"""Whole meetings as they were stored once: one event a line, with its stored name and its state.

`python -m tests.meeting_core.golden_meetings` plays the meetings whose files do not exist yet, and
writes those files; a file that exists is kept for ever.
"""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from eventsourcing.persistence import StoredEvent

from meeting_core import (
    Ask,
    Configuration,
    Meeting,
    MeetingEvent,
    MeetingMapper,
    ModelPrice,
    Participant,
    PriceTable,
    ReportedUsage,
)
from meeting_core.model import (
    AbandonAttempt,
    AcceptReply,
    Adopt,
    Command,
    DigestTask,
    EndRounds,
    FaultClass,
    MakeRemark,
    Pause,
    RaiseBudget,
    ReportFault,
    Resume,
    SynthesisTask,
    Timing,
    TurnTask,
)
from tests.builders import MEETING_ID, SYNTHESIS
from tests.meeting_core.choices import seeded
from tests.meeting_core.golden_facts import FOLDER, write_missing
from tests.meeting_core.scenario import Stage

MEETINGS = FOLDER / "meetings"
PARTICIPANTS = (
    Participant("ann", "Ann", "planner", "Weigh the costs.", "model-1", "main", ("model-2",)),
    Participant("bob", 'Bob "the builder"', "developer", "Say what you would build.", "model-2"),
    Participant("cat", "Cat", "tester", "Ask what could break.", "model-2"),
)
TOPICS = ("What was done", "What is next", "What is in the way", "What else", "Closing words")
PRICES = PriceTable("2026-11", "EUR", (ModelPrice("model-1", 3, 15), ModelPrice("model-2", 1, 5)))
_TEXT = """the plan build test release budget risk question we they should could must not until
after before database meeting week number 42 100 % größer façade план 計画 &lt;turn&gt; <b> "quoted"
</turn> - * # https://example.org/x?y=1 O'Neill naïve 😀 end."""
WORDS = tuple(_TEXT.split())
HALF_WRITTEN = "## Discussion Summary\nA release was planned.\n## Decisions\n- release on Monday"


def said(seed: str, words: int) -> str:
    """A text of so many words that depends on nothing but the seed."""
    draw = seeded(sum(seed.encode()) * 7_919 + len(seed))
    return " ".join(WORDS[draw(len(WORDS))] for _ in range(words)) + f" ({seed})"


def configuration(num_rounds: int, **changes: object) -> Configuration:
    return Configuration(
        participants=PARTICIPANTS,
        title="Release planning",
        goal="Agree on what is released when\nand who does it.",
        num_rounds=num_rounds,
        round_topics=TOPICS[:num_rounds],
        document_context="The draft of the plan: three parts, two weeks, one risk.",
        parent_minutes="# Last time\n\nNothing was decided.",
        **changes,  # type: ignore[arg-type]
    )


def speak(ask: Ask, meeting: Meeting, *, words: int = 30, minutes: str = SYNTHESIS) -> Command:
    """Answer with the usual text; every other call is reported by the provider."""
    seed = f"{ask.task.key}/{ask.number}"
    match ask.task:
        case TurnTask():
            text = said(seed, words)
        case DigestTask():
            text = f"In short: {said(seed, words // 2)}"
        case SynthesisTask():
            text = minutes
    assert meeting.task_state is not None
    assert meeting.task_state.open is not None
    prompt = meeting.task_state.open.manifest.tokens
    usage = ReportedUsage(prompt * 11 // 10, len(text) // 3) if len(text) % 2 else None
    model = f"{ask.participant.model}-2026"
    return AcceptReply(ask.task, ask.number, text, "stop", usage, model, Timing(900, 120))


def fault(ask: Ask, fault_class: FaultClass, **changes: object) -> ReportFault:
    detail = f"{fault_class} happened"
    return ReportFault(ask.task, ask.number, fault_class, detail, **changes)  # type: ignore[arg-type]


def plain() -> Stage:
    """Everybody speaks, and the minutes are written."""
    return Stage(configuration(3), speak).play()


def rough() -> Stage:
    """Long texts in little room, and a gateway, a model and a speaker that fail."""
    faults = {
        "round-1-ann/1": partial(fault, fault_class=FaultClass.REJECTED),
        "round-1-bob/1": partial(fault, fault_class=FaultClass.RATE_LIMITED, retry_after_seconds=7),
        "round-1-cat/1": partial(fault, fault_class=FaultClass.UNAVAILABLE, is_unreachable=True),
        "round-2-ann/1": partial(fault, fault_class=FaultClass.REFUSED),
        "round-2-bob/1": partial(fault, fault_class=FaultClass.TIMED_OUT, reached=True),
        "round-2-bob/2": partial(fault, fault_class=FaultClass.EMPTY),
        "round-2-cat/1": partial(fault, fault_class=FaultClass.CONTEXT_TOO_LONG),
        "round-4-cat/1": partial(fault, fault_class=FaultClass.TRUNCATED),
        "round-4-cat/2": partial(fault, fault_class=FaultClass.TRUNCATED),
        "synthesis/1": partial(fault, fault_class=FaultClass.REFUSED, reached=False),
    }

    def answer(ask: Ask, meeting: Meeting) -> Command:
        fails = faults.get(f"{ask.task.key}/{ask.number}")
        return (
            fails(ask) if fails else speak(ask, meeting, words=70 + 150 * (len(ask.task.key) % 2))
        )

    stage = Stage(configuration(5, context_tokens=1_100, max_tokens_per_turn=400), answer)
    stage.play(before("round-3-bob"))
    stage.give(AbandonAttempt("shutdown"))
    stage.give(Adopt("replica-2/4711", 2, "restart"))
    stage.play(before("round-3-cat"))
    stage.give(Pause("lunch"))
    stage.play(lambda meeting: meeting.task_state is None)
    stage.give(MakeRemark("Eve", "After lunch, be brief."))
    stage.give(Resume())
    return stage.play()


def digests() -> Stage:
    """Rounds that are digested, remarks among them, and a digest that could not be written."""

    def answer(ask: Ask, meeting: Meeting) -> Command:
        if ask.task == DigestTask(2):
            return fault(ask, FaultClass.REFUSED)
        return speak(ask, meeting, words=400 if ask.task == DigestTask(3) else 60)

    config = configuration(5, digest_rounds=True, synthesizer="bob", context_tokens=1_300)
    stage = Stage(config, answer)
    for task in ("round-1-bob", "round-2-ann", "digest-3", "round-4-cat"):
        stage.play(before(task))
        stage.give(MakeRemark(f"Eve <{task}>", f"Remark while {task} is asked.\n</remark> <turn>"))
    return stage.play()


def short_of_money() -> Stage:
    """A budget that runs short, is raised, and runs out; minutes that had to be repaired."""

    def answer(ask: Ask, meeting: Meeting) -> Command:
        minutes = HALF_WRITTEN if ask.number == 1 else SYNTHESIS
        return speak(ask, meeting, words=80, minutes=minutes)

    config = configuration(
        3,
        context_tokens=1_200,
        synthesis_max_tokens=400,
        meeting_tokens=4_400,
        meeting_cost=0.5,
        prices=PRICES,
        on_budget="pause",
    )
    stage = Stage(config, answer).play()
    stage.give(RaiseBudget(meeting_tokens=5_400, meeting_cost=0.6))
    stage.play()
    stage.give(RaiseBudget(meeting_tokens=7_400))
    stage.play(before("round-3-bob"))
    stage.give(EndRounds())
    return stage.play()


def wrapped_up() -> Stage:
    """A ceiling that ends the rounds; minutes from a draft that its author never completed."""

    def answer(ask: Ask, meeting: Meeting) -> Command:
        if isinstance(ask.task, SynthesisTask) and ask.number == 2:
            return fault(ask, FaultClass.REFUSED)
        return speak(ask, meeting, words=80, minutes=HALF_WRITTEN)

    config = configuration(
        4, context_tokens=1_200, synthesis_max_tokens=400, meeting_tokens=4_600, digest_rounds=True
    )
    return Stage(config, answer).play()


def before(task_key: str) -> Callable[[Meeting], bool]:
    """Say when the attempt for a task is open."""

    def is_open(meeting: Meeting) -> bool:
        task_state = meeting.task_state
        return (
            task_state is not None
            and task_state.open is not None
            and task_state.task.key == task_key
        )

    return is_open


PLAYS: dict[str, Callable[[], Stage]] = {
    "plain": plain,
    "rough": rough,
    "digests": digests,
    "short-of-money": short_of_money,
    "wrapped-up": wrapped_up,
}
"""Name of the golden meeting to the play it was written from."""


class _Line(msgspec.Struct):
    topic: str
    state: msgspec.Raw


def written(events: list[MeetingEvent]) -> bytes:
    rows = [MeetingMapper().to_stored_event(event) for event in events]
    lines = [msgspec.json.encode(_Line(row.topic, msgspec.Raw(row.state))) for row in rows]
    return b"".join(line + b"\n" for line in lines)


def stored(name: str) -> Iterator[StoredEvent]:
    """Read a golden meeting as a store would give it."""
    lines = (MEETINGS / f"{name}.jsonl").read_bytes().splitlines()
    for version, line in enumerate(lines, 1):
        row = msgspec.json.decode(line, type=_Line)
        yield StoredEvent(MEETING_ID, version, row.topic, bytes(row.state))


if __name__ == "__main__":
    MEETINGS.mkdir(exist_ok=True)
    missing = [name for name in PLAYS if not (MEETINGS / f"{name}.jsonl").exists()]
    write_missing(MEETINGS, {f"{name}.jsonl": written(PLAYS[name]().events) for name in missing})
