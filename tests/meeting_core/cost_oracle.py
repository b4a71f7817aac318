"""What an attempt may cost, reckoned by hand: shares of what is left, and what was spared."""

from math import ceil

from meeting_core import Configuration, Meeting, build_brief
from meeting_core.model import AgentId, AttemptStarted, Manifest, Task

Money = tuple[int, int]
"""Tokens and millionths of the currency."""

PLENTY = 10**12


def price(config: Configuration, model: str, prompt: int, output: int) -> Money:
    """What a call costs."""
    table = {each.model: each for each in config.prices.models} if config.prices else {}
    each = table.get(model)
    micros = 0 if each is None else ceil(prompt * each.prompt + output * each.completion)
    return prompt + output, micros


def left_of(config: Configuration, spent: Money, reserved: Money, share: Money) -> Money:
    """What neither was spent nor is set aside."""
    tokens, cost = config.meeting_tokens, config.meeting_cost
    return (
        PLENTY if tokens is None else tokens - spent[0] - reserved[0] - share[0],
        PLENTY if cost is None else int(cost * 1_000_000) - spent[1] - reserved[1] - share[1],
    )


class CostOracle:
    """Judges what one attempt was planned to cost, in a meeting as it stood before it."""

    def __init__(self, meeting: Meeting, task: Task, agent_id: AgentId, model: str) -> None:
        self.meeting, self.task, self.agent_id, self.model = meeting, task, agent_id, model
        known = {each.model: each for each in meeting.model_profiles}.get(model)
        self.factor = 1_000 if known is None else known.factor
        self.prompt_beyond = 0 if known is None else known.prompt_beyond_tokens
        self.thoughts, self.text = (
            (0, 0) if known is None else (known.reasoning_tokens, known.text_tokens)
        )
        self.max_tokens = meeting.config.context_tokens * 1_000 // max(self.factor, 1_000)
        if known is not None and known.context_tokens is not None:
            self.max_tokens = min(self.max_tokens, known.context_tokens)
        self.min_tokens = self._tokens(0)
        self.whole = self._tokens(self.max_tokens)

    def _tokens(self, limit: int) -> int:
        return self._manifest(limit).tokens

    def _manifest(self, limit: int) -> Manifest:
        brief = build_brief(self.meeting, self.task, self.agent_id, context_tokens=limit)
        return brief.manifest

    def prompt(self, tokens: int) -> int:
        """Return what a provider may count: by its factor, or with instructions of its own."""
        unscaled = ceil(tokens * min(self.factor, 1_000) / 1_000)
        hidden = unscaled + self.prompt_beyond if self.prompt_beyond else 0
        return max(self.shown(tokens), hidden)

    def shown(self, tokens: int) -> int:
        return ceil(tokens * self.factor / 1_000)

    def written(self, cap: int) -> int:
        """Return what the model may write with a cap, by what it wrote before."""
        return self.thoughts + max(cap, self.text)

    def fits(self, tokens: int, cap: int, pot: Money) -> bool:
        cost = price(self.meeting.config, self.model, self.prompt(tokens), self.written(cap))
        return cost[0] <= pot[0] and cost[1] <= pot[1]

    def is_useful(self, wanted: int, pot: Money) -> bool:
        """Return whether the shortest brief and the lowest useful cap can be paid for."""
        return self.fits(self.min_tokens, min(wanted, self.meeting.config.min_tokens_per_turn), pot)

    def sees_something(self, wanted: int, pot: Money) -> bool:
        """Return whether minutes can be written: there is nothing to see, or something is seen."""
        if self.whole == self.min_tokens and self._manifest(self.max_tokens).dropped is not None:
            return False  # the model takes in too little for anything that was said
        if self.whole == self.min_tokens or self.fits(self.whole, wanted, pot):
            return self.is_useful(wanted, pot)
        for limit in range(self.whole, self.min_tokens, -1):
            manifest = self._manifest(limit)
            if (manifest.whole or manifest.shortened) and self.fits(manifest.tokens, wanted, pot):
                return True
        return False

    def judge(self, fact: AttemptStarted, wanted: int, pots: list[Money]) -> None:
        """Check an attempt: the first pot that pays for something useful pays for it.

        It pays for all, or for a shortened brief, or for the shortest brief and a lower cap.
        """
        tokens, cap = fact.manifest.tokens, fact.reserved.output_tokens
        pot = next((pot for pot in pots if self.is_useful(wanted, pot)), None)
        assert pot is not None, "nothing useful can be paid for"
        assert fact.reserved.prompt_tokens == self.prompt(tokens)
        assert cap + fact.reserved.beyond_cap_tokens == self.written(cap)
        assert tokens <= max(self.max_tokens, self.min_tokens)
        assert self.fits(tokens, cap, pot)
        if self.fits(self.whole, wanted, pot):
            assert (tokens, cap, fact.budget_reductions) == (self.whole, wanted, ())
            return
        assert fact.budget_reductions
        assert ("brief" in fact.budget_reductions) == (self.min_tokens < self.whole)
        assert ("cap" in fact.budget_reductions) == (cap < wanted)
        if cap < wanted:
            assert not self.fits(tokens, cap + 1, pot), "the cap is lower than it must be"
            assert tokens == self.min_tokens, (
                "the cap was lowered before the brief was at its shortest"
            )
