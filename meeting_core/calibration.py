"""What a meeting learns about its models: how they count tokens, and how much they take in."""

from meeting_core.vocabulary import Value

EVEN = 1_000
LEAST, MOST = 500, 3_000
LARGEST_TRUE_RATIO = 10
SLOWNESS = 8


class ModelKnowledge(Value, frozen=True):
    """What ended calls have shown of one model.

    Units: `factor` in thousandths: a thousand tokens by our estimate are so many by the model's
    count. `context_tokens` is the longest brief to try, by our estimate; none where none was too
    long.
    """

    model: str
    factor: int = EVEN
    context_tokens: int | None = None


def next_factor(factor: int, estimated: int, reported: int) -> int:
    """Learn from a prompt: half the way up, so that reservations soon hold; an eighth down.

    Units: thousandths, and tokens. What nobody can have counted is left aside.
    """
    if estimated <= 0 or not 0 < reported <= LARGEST_TRUE_RATIO * estimated:
        return factor
    seen = min(max(-(-reported * EVEN // estimated), LEAST), MOST)
    if seen >= factor:
        return factor + -(-(seen - factor) // 2)
    return factor - (factor - seen) // SLOWNESS


def scaled(tokens: int, factor: int) -> int:
    """Turn an estimate into what the model will count, rounded up."""
    return -(-tokens * factor // EVEN)


def unscaled(tokens: int, factor: int) -> int:
    """Say which estimate comes to at most so many tokens by the model's count."""
    return tokens * EVEN // factor


def knowledge_of(known: tuple[ModelKnowledge, ...], model: str) -> ModelKnowledge:
    """Find what is known of a model."""
    return next((each for each in known if each.model == model), None) or ModelKnowledge(model)


def with_knowledge(
    known: tuple[ModelKnowledge, ...], learnt: ModelKnowledge
) -> tuple[ModelKnowledge, ...]:
    """Replace what was known of a model."""
    return (*(each for each in known if each.model != learnt.model), learnt)
