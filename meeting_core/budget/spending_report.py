"""What a meeting spent, and on what: every call with its price, and sums that leave nothing out.

Read from the events alone; the total is what the fold's ledger has. Source:
docs/explanation/budget.md.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Literal, TypeAlias, TypeVar

from meeting_core.errors import CorruptHistory
from meeting_core.model.accounting import Amount, amount_of, charged_usage
from meeting_core.model.configuration import Configuration
from meeting_core.model.events import (
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    Convened,
    Fact,
    MeetingEvent,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    TurnCompleted,
)
from meeting_core.model.values import (
    AgentId,
    DigestTask,
    Reply,
    SynthesisTask,
    Task,
    Timing,
    TurnTask,
    Usage,
    UsageSource,
    Value,
)

AttemptEnding: TypeAlias = Literal["completed", "drafted", "failed", "abandoned", "open"]

Key = TypeVar("Key", bound=Hashable)


class SpentAttempt(Value, frozen=True, kw_only=True):
    """One call: how it ended, and what it took.

    Units: tokens and milliseconds, as the names say. `charged` is 0 while the call is `open`, and
    `reserved` what was set aside for it. Shape: `cause` is the fault of a failed call, or why one
    was abandoned; `answered_by` the model by its own account; `has_price` says whether the model
    asked for has one in this meeting.
    """

    task: Task
    number: int
    agent_id: AgentId
    model: str
    answered_by: str = ""
    ending: AttemptEnding = "open"
    cause: str = ""
    usage: Usage = Usage(0, 0, "unknown")
    charged: Amount = Amount()
    reserved: Amount = Amount()
    has_price: bool = False
    timing: Timing | None = None

    @property
    def outcome(self) -> str:
        """How the call ended, in one word, with the cause if it ended badly: `failed:refused`."""
        return f"{self.ending}:{self.cause}" if self.cause else self.ending

    @property
    def is_useful(self) -> bool:
        return self.ending in ("completed", "drafted")


class Subtotal(Value, frozen=True):
    """The sum of some ended calls: what led to a text, and what was spent on failed and abandoned
    ones.
    """

    calls: int = 0
    useful: Amount = Amount()
    waste: Amount = Amount()

    @property
    def total(self) -> Amount:
        return _sum(self.useful, self.waste)


class Spending(Value, frozen=True, kw_only=True):
    """Everything a meeting spent, call by call and summed up.

    Shape: `by_round` are the turns of each round; with `digests` and `synthesis` they make up the
    `total`, and so do the participants, the models, and the sources of the figures. `reserved` is
    set aside for the open call. `currency` is None if the meeting has no prices; every
    amount of money is then 0.
    """

    currency: str | None
    prices_version: str | None
    attempts: tuple[SpentAttempt, ...]
    total: Subtotal
    reserved: Amount
    by_participant: tuple[tuple[AgentId, Subtotal], ...]
    by_round: tuple[tuple[int, Subtotal], ...]
    by_model: tuple[tuple[str, Subtotal], ...]
    by_source: tuple[tuple[UsageSource, Amount], ...]
    digests: Subtotal
    synthesis: Subtotal


def spending(events: Iterable[MeetingEvent]) -> Spending:
    """Return what a whole history spent.

    Raises: `CorruptHistory` when a call ends that has not begun.
    """
    config: Configuration | None = None
    attempts: list[SpentAttempt] = []
    opened: AttemptStarted | None = None
    for event in events:
        fact = event.fact
        if isinstance(fact, Convened):
            config = fact.configuration
        elif config is None:
            raise CorruptHistory(f"{fact.TOPIC} comes before the meeting was convened")
        elif isinstance(fact, AttemptStarted):
            opened = fact
        elif (ended := _ended(config, opened, fact)) is not None:
            attempts.append(ended)
            opened = None
    if config is None:
        raise CorruptHistory("a history has at least one event")
    if opened is not None:
        attempts.append(_begun(config, opened))
    return _summed(config, tuple(attempts))


def _ended(config: Configuration, opened: AttemptStarted | None, fact: Fact) -> SpentAttempt | None:
    """Return how a fact ended the open call; None if it does not."""
    match fact:
        case TurnCompleted():
            return _closed(config, opened, fact, fact.reply.usage, "completed")
        case SynthesisDrafted():
            return _closed(config, opened, fact, fact.reply.usage, "drafted")
        case RoundDigested() | SynthesisCompleted() if fact.reply is not None:
            return _closed(config, opened, fact, fact.reply.usage, "completed")
        case AttemptFailed() | AttemptAbandoned():
            reported = fact.usage if isinstance(fact, AttemptFailed) else None
            began = _expected(opened, fact)
            usage = reported or charged_usage(began.reserved, fact.charged)
            ending: AttemptEnding = "failed" if isinstance(fact, AttemptFailed) else "abandoned"
            return _closed(config, began, fact, usage, ending)
        case _:
            return None


def _closed(
    config: Configuration,
    opened: AttemptStarted | None,
    fact: Fact,
    usage: Usage,
    ending: AttemptEnding,
) -> SpentAttempt:
    began = _expected(opened, fact)
    reply: Reply | None = getattr(fact, "reply", None)
    cause = ""
    if isinstance(fact, AttemptFailed):
        cause = fact.fault.value
    elif isinstance(fact, AttemptAbandoned):
        cause = fact.cause
    return SpentAttempt(
        task=began.task,
        number=began.number,
        agent_id=began.agent_id,
        model=began.model,
        answered_by="" if reply is None else reply.model,
        ending=ending,
        cause=cause,
        usage=usage,
        charged=amount_of(config, began.model, usage),
        reserved=amount_of(config, began.model, began.reserved),
        has_price=_has_price(config, began.model),
        timing=getattr(fact, "timing", None) if reply is None else reply.timing,
    )


def _expected(opened: AttemptStarted | None, fact: Fact) -> AttemptStarted:
    if opened is None:
        raise CorruptHistory(f"{fact.TOPIC} ends a call that has not begun")
    return opened


def _begun(config: Configuration, opened: AttemptStarted) -> SpentAttempt:
    return SpentAttempt(
        task=opened.task,
        number=opened.number,
        agent_id=opened.agent_id,
        model=opened.model,
        reserved=amount_of(config, opened.model, opened.reserved),
        has_price=_has_price(config, opened.model),
    )


def _has_price(config: Configuration, model: str) -> bool:
    return config.prices is not None and config.prices.of(model) is not None


def _summed(config: Configuration, attempts: tuple[SpentAttempt, ...]) -> Spending:
    ended = [attempt for attempt in attempts if attempt.ending != "open"]
    opened = [attempt for attempt in attempts if attempt.ending == "open"]
    turns = [attempt for attempt in ended if isinstance(attempt.task, TurnTask)]
    prices = config.prices
    return Spending(
        currency=prices.currency if prices is not None else None,
        prices_version=prices.version if prices is not None else None,
        attempts=attempts,
        total=_subtotal(ended),
        reserved=_sum(*(attempt.reserved for attempt in opened)),
        by_participant=_by(ended, lambda each: each.agent_id),
        by_round=_by(turns, _round_of),
        by_model=_by(ended, lambda each: each.model),
        by_source=tuple(
            (source, subtotal.total)
            for source, subtotal in _by(ended, lambda each: each.usage.source)
        ),
        digests=_subtotal([each for each in ended if isinstance(each.task, DigestTask)]),
        synthesis=_subtotal([each for each in ended if isinstance(each.task, SynthesisTask)]),
    )


def _round_of(attempt: SpentAttempt) -> int:
    return 0 if isinstance(attempt.task, SynthesisTask) else attempt.task.round_num


def _by(
    attempts: Iterable[SpentAttempt], key: Callable[[SpentAttempt], Key]
) -> tuple[tuple[Key, Subtotal], ...]:
    """Return the sums of calls by a key, in the order in which the keys first came."""
    groups: dict[Key, list[SpentAttempt]] = {}
    for attempt in attempts:
        groups.setdefault(key(attempt), []).append(attempt)
    return tuple((name, _subtotal(group)) for name, group in groups.items())


def _subtotal(attempts: Iterable[SpentAttempt]) -> Subtotal:
    attempts = list(attempts)
    useful = (attempt.charged for attempt in attempts if attempt.is_useful)
    waste = (attempt.charged for attempt in attempts if not attempt.is_useful)
    return Subtotal(len(attempts), _sum(*useful), _sum(*waste))


def _sum(*amounts: Amount) -> Amount:
    return Amount(sum(each.tokens for each in amounts), sum(each.micros for each in amounts))
