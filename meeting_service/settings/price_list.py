"""The settings for prices: an operator's list, for meetings with a budget in money."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from meeting_core.model import ModelPrice, PriceTable

# Above any real price of a million tokens; the bound also refuses infinity.
Price: TypeAlias = Annotated[float, Meta(ge=0, le=1_000_000)]
Label: TypeAlias = Annotated[str, Meta(pattern=r"^\S(.{0,62}\S)?$")]


class ModelPriceSettings(Struct, frozen=True, kw_only=True):
    """The prices of one model. Units: the list's currency, for a million tokens."""

    prompt: Annotated[Price, Meta(description="Price of a million prompt tokens.")]
    completion: Annotated[Price, Meta(description="Price of a million completion tokens.")]


class PriceList(Struct, frozen=True, kw_only=True):
    """The operator's prices. Shape: `models` is keyed by the models' names."""

    version: Annotated[
        Label, Meta(description="Which edition of the prices this is; kept in every meeting.")
    ]
    currency: Annotated[
        Label, Meta(description="Currency of all prices and of `meeting_cost`.")
    ] = "USD"
    models: Mapping[str, ModelPriceSettings] = {}

    @property
    def table(self) -> PriceTable:
        """The list as the core takes it."""
        models = (
            ModelPrice(name, price.prompt, price.completion) for name, price in self.models.items()
        )
        return PriceTable(self.version, self.currency, tuple(models))
