"""What the service needs to keep between meetings about how models count tokens."""

from collections.abc import Collection, Mapping
from typing import Protocol, TypeAlias

ModelKey: TypeAlias = tuple[str, str]
"""The name of a gateway, and that of a model behind it."""


class FactorStore(Protocol):
    """A row for each gateway and model; the store does not look into what is kept there."""

    async def select_token_factors(self, models: Collection[ModelKey]) -> Mapping[ModelKey, str]:
        """Return what is kept of these models; nothing for a model that has no row."""

    async def save_token_factors(self, gateway: str, model: str, factors: str) -> None:
        """Replace what is kept of a model."""
