"""Prices of tokens, as they were when a meeting was convened."""

from meeting_core.model.values import Value


class ModelPrice(Value, frozen=True):
    """What one model costs.

    Units: the table's currency, for a million tokens.
    """

    model: str
    prompt: float
    completion: float

    def micros(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Price a call.

        Units: millionths of the currency, rounded up.
        """
        return -int(-(prompt_tokens * self.prompt + completion_tokens * self.completion) // 1)


class PriceTable(Value, frozen=True):
    """The prices an operator keeps; `version` says which edition of them this is.

    Shape: each model once.
    """

    version: str
    currency: str = "USD"
    models: tuple[ModelPrice, ...] = ()

    def of(self, model: str) -> ModelPrice | None:
        """Return a model's price; None if it has no price."""
        return next((price for price in self.models if price.model == model), None)
