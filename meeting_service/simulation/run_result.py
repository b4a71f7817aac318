"""The result of one simulated meeting."""

from collections.abc import Mapping

from msgspec import Struct

MICROS = 1_000_000


class Needs(Struct, frozen=True):
    """The lowest limits under which this meeting would have run as without limits.

    Units: tokens, millionths of the currency, seconds.
    """

    tokens: int
    micros: int
    context_tokens: int
    seconds: float

    @property
    def cost(self) -> float:
        return self.micros / MICROS


class RunResult(Struct, frozen=True, kw_only=True):
    """One simulated meeting.

    Units: `seconds` of the meeting's own clock; tokens; `micros` are millionths of the currency.
    `ending` is `complete by CAUSE`, `error: REASON` or `paused`; `limit_hits` counts them by
    name. `wasted_tokens` were charged for calls that brought no reply. `wanted_tokens`,
    `wanted_minutes` and `wanted_seconds` are what its replies would have taken without limits.
    """

    ending: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    wasted_tokens: int
    micros: int
    seconds: float
    limit_hits: Mapping[str, int]
    needs: Needs
    wanted_tokens: tuple[int, ...]
    wanted_minutes: tuple[int, ...]
    wanted_seconds: tuple[float, ...]

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float:
        return self.micros / MICROS
