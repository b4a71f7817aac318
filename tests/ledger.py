"""A meeting's money added up from its raw facts, without any rule of the core's.

What a call may cost is what `AttemptStarted` set aside; what it took is what its end says. Where an
end reports no usage, it charges nothing or the whole reservation.
"""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from meeting_core import Fact, MeetingEvent, PriceTable, Usage, fold, spending
from meeting_core.model import (
    AgentId,
    AttemptAbandoned,
    AttemptFailed,
    AttemptStarted,
    BudgetRaised,
    Cancelled,
    Completed,
    Convened,
    DigestTask,
    Failed,
    Reply,
    RoundDigested,
    SynthesisCompleted,
    SynthesisDrafted,
    SynthesisTask,
    Task,
    TurnCompleted,
    TurnTask,
)

FINAL = Completed | Cancelled | Failed
UNBOUNDED = float("inf")
MAX_TOKENIZER_RATIO = 1.5


class Money(Struct, frozen=True):
    """Tokens, and millionths of the currency."""

    tokens: int = 0
    micros: int = 0

    def __add__(self, other: "Money") -> "Money":
        return Money(self.tokens + other.tokens, self.micros + other.micros)

    def beyond(self, other: "Money") -> "Money":
        """Return by how much this exceeds the other."""
        return Money(max(0, self.tokens - other.tokens), max(0, self.micros - other.micros))


class Ceilings:
    """What a meeting may spend, by its last word on it."""

    def __init__(self, convened: Convened) -> None:
        self.tokens: float = UNBOUNDED
        self.micros: float = UNBOUNDED
        config = convened.configuration
        self.take(config.meeting_tokens, config.meeting_cost)

    def take(self, tokens: int | None, cost: float | None) -> None:
        self.tokens = self.tokens if tokens is None else tokens
        self.micros = self.micros if cost is None else cost * 1_000_000

    def assert_hold(self, used: Money, beyond: Money, where: str) -> None:
        assert used.tokens <= self.tokens + beyond.tokens, f"{where}: {used} of {self.tokens}"
        assert used.micros <= self.micros + beyond.micros, f"{where}: {used} of {self.micros}"


class Surprise(Struct, frozen=True):
    """What a model's last call took beyond its reservation.

    Its thoughts, text that kept to no cap, and what was counted of a prompt beyond its estimate.
    """

    thoughts: int
    text: int
    prompt: int = 0

    @staticmethod
    def take(known: dict[str, "Surprise"], call: AttemptStarted, usage: Usage) -> None:
        """Note what a call showed, or that it showed nothing."""
        cap, text = call.reserved.output_tokens, usage.completion_tokens - usage.reasoning_tokens
        known.pop(call.model, None)
        is_counted = usage.source == "reported" or usage.total != call.reserved.total
        if not is_counted:
            return
        found = Surprise(0, 0)
        if usage.completion_tokens > cap:
            found = Surprise(usage.reasoning_tokens, text if text > cap else 0)
        # Less is a tokenizer that counts in its own way: more for each token that is sent.
        if usage.prompt_tokens > MAX_TOKENIZER_RATIO * call.reserved.prompt_tokens:
            sent = call.manifest.tokens
            found = Surprise(found.thoughts, found.text, usage.prompt_tokens - sent)
        if found != Surprise(0, 0):
            known[call.model] = found

    def assert_covered(self, call: AttemptStarted, where: str) -> None:
        """No call may pass a ceiling by what the one before it has shown."""
        reserved = call.reserved
        written = reserved.output_tokens + reserved.beyond_cap_tokens
        needed = self.thoughts + max(reserved.output_tokens, self.text)
        assert written >= needed, f"{where}: the same surprise again: {self}, {reserved}"
        if self.prompt:
            needed = call.manifest.tokens + self.prompt
            assert reserved.prompt_tokens >= needed, f"{where}: the same surprise again: {self}"


def price_of(prices: PriceTable | None, model: str, prompt: int, output: int) -> Money:
    """Price a call."""
    listed = {each.model: each for each in prices.models} if prices is not None else {}
    price = listed.get(model)
    micros = 0 if price is None else ceil(prompt * price.prompt + output * price.completion)
    return Money(prompt + output, micros)


def ended_call(fact: Fact) -> tuple[Task, int, AgentId, Usage | int] | None:
    """Return the call that a fact ends, and its charge; None if it ends no call."""
    match fact:
        case AttemptFailed():
            usage = fact.usage
            assert usage is None or usage.total == fact.charged, "charged is not what was reported"
            return fact.task, fact.number, fact.agent_id, usage or fact.charged
        case AttemptAbandoned():
            assert fact.charged > 0, "a lost call may have cost all that was set aside"
            return fact.task, fact.number, fact.agent_id, fact.charged
        case TurnCompleted():
            task = TurnTask(fact.round_num, fact.agent_id)
            return task, fact.number, fact.agent_id, fact.reply.usage
        case RoundDigested(agent_id=str(agent_id), reply=Reply() as reply):
            return DigestTask(fact.round_num), fact.number, agent_id, reply.usage
        case SynthesisDrafted():
            return SynthesisTask(), fact.number, fact.agent_id, fact.reply.usage
        case SynthesisCompleted(agent_id=str(agent_id), reply=Reply() as reply):
            return SynthesisTask(), fact.number, agent_id, reply.usage
        case _:
            return None


def assert_within_ceiling(history: Sequence[MeetingEvent]) -> Money:
    """Hold a history against its ceilings, fact by fact; give what it spent.

    Nothing passes them but what single calls took beyond their own reservations, and no call begins
    that does not fit. At most one is open, each ends once, and every charge is in the sum.
    """
    convened = history[0].fact
    assert isinstance(convened, Convened)
    ceilings, prices = Ceilings(convened), convened.configuration.prices
    spent = beyond = reserved = Money()
    surprises: dict[str, Surprise] = {}
    open_call: AttemptStarted | None = None
    for event in history:
        fact, where = event.fact, f"version {event.originator_version}"
        if isinstance(fact, BudgetRaised):
            ceilings.take(fact.meeting_tokens, fact.meeting_cost)
        elif isinstance(fact, AttemptStarted):
            assert open_call is None, f"{where}: two calls at once"
            open_call, amount = fact, fact.reserved
            written = amount.output_tokens + amount.beyond_cap_tokens
            reserved = price_of(prices, fact.model, amount.prompt_tokens, written)
            if fact.model in surprises:
                surprises[fact.model].assert_covered(fact, where)
            ceilings.assert_hold(spent + reserved, Money(), f"{where}: begun")
        elif (ended := ended_call(fact)) is not None:
            *call, charge = ended
            assert open_call is not None, f"{where}: nothing was open"
            assert call == [open_call.task, open_call.number, open_call.agent_id], where
            charged = charged_for(open_call, charge, reserved, prices)
            if isinstance(charge, Usage):
                Surprise.take(surprises, open_call, charge)
            spent, beyond = spent + charged, beyond + charged.beyond(reserved)
            open_call, reserved = None, Money()
        elif isinstance(fact, FINAL):
            assert open_call is None, f"{where}: a call was left open"
        ceilings.assert_hold(spent + reserved, beyond, where)
    assert_agreed(history, spent, reserved)
    return spent


def charged_for(
    call: AttemptStarted, charge: Usage | int, reserved: Money, prices: PriceTable | None
) -> Money:
    """Price what a call's end charges."""
    if isinstance(charge, Usage):
        return price_of(prices, call.model, charge.prompt_tokens, charge.completion_tokens)
    assert charge in (0, call.reserved.total), "charged neither nothing nor all"
    return reserved if charge else Money()


def assert_agreed(history: Sequence[MeetingEvent], spent: Money, reserved: Money) -> None:
    """Compare with what the fold and the account of spending make of the same history."""
    ledger, account = fold(history).ledger, spending(history)
    assert (ledger.spent, ledger.spent_micros) == (spent.tokens, spent.micros)
    assert (ledger.reserved, ledger.reserved_micros) == (reserved.tokens, reserved.micros)
    total = account.total.total
    assert (total.tokens, total.micros) == (spent.tokens, spent.micros)
