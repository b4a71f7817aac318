"""What a meeting has learnt about its models: how they count tokens, and how much they take in."""

from meeting_core.calibration import UNCALIBRATED
from meeting_core.vocabulary import Value


class ModelKnowledge(Value, frozen=True):
    """What ended calls have shown of one model.

    Units: `factor` in permille, from our estimate to the model's own count; `context_tokens` is the
    longest brief to try, by our estimate; none where none was too long.
    """

    model: str
    factor: int = UNCALIBRATED
    context_tokens: int | None = None

    def longest_brief(self, context_tokens: int) -> int:
        """Say how long a brief may be, by our estimate, to hold so many tokens by the model's."""
        longest = (
            self.estimate_within(context_tokens) if self.factor > UNCALIBRATED else (context_tokens)
        )
        return longest if self.context_tokens is None else min(longest, self.context_tokens)

    def estimate_within(self, tokens: int) -> int:
        """Say which estimate comes to at most so many tokens by the model's count."""
        return max(0, tokens * UNCALIBRATED // self.factor)


def knowledge_of(known: tuple[ModelKnowledge, ...], model: str) -> ModelKnowledge:
    """Find what is known of a model."""
    for each in known:
        if each.model == model:
            return each
    return ModelKnowledge(model)


def with_knowledge(
    known: tuple[ModelKnowledge, ...], learnt: ModelKnowledge
) -> tuple[ModelKnowledge, ...]:
    """Replace what was known of a model."""
    return (*[each for each in known if each.model != learnt.model], learnt)
