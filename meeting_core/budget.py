"""The budget: reserve before a call, settle after it, and never pass the meeting's ceiling.

Counters are folded from events, so a restart cannot reset them. A call whose outcome is unknown
keeps its whole reservation.
"""

from meeting_core.configuration import SMALLEST_USEFUL_CAP, Configuration
from meeting_core.faults import FAULT_RULES
from meeting_core.vocabulary import FaultClass, Reservation, Usage, Value


class Ledger(Value, frozen=True):
    """What a meeting has spent and set aside.

    Units: tokens. Invariant: `spent` never falls.
    """

    spent: int = 0
    reserved: int = 0

    def reserve(self, reservation: Reservation) -> "Ledger":
        """Set tokens aside for a call."""
        return Ledger(self.spent, self.reserved + reservation.total)

    def settle(self, reservation: Reservation, charged: int) -> "Ledger":
        """Replace a reservation by what the call took."""
        return Ledger(self.spent + charged, self.reserved - reservation.total)


def synthesis_share(config: Configuration) -> int:
    """Tokens the turns may not touch: the synthesis's prompt and its output."""
    return config.context_tokens + config.synthesis_max_tokens


def tokens_left(config: Configuration, ledger: Ledger) -> int | None:
    """Tokens neither spent nor reserved; none when the meeting has no ceiling."""
    if config.meeting_tokens is None:
        return None
    return config.meeting_tokens - ledger.spent - ledger.reserved


def turn_cap(config: Configuration, ledger: Ledger, prompt_tokens: int) -> int | None:
    """The output cap a turn may have, or none when no useful turn can be paid for.

    Units: tokens.
    """
    left = tokens_left(config, ledger)
    if left is None:
        return config.max_tokens_per_turn
    return _useful(config.max_tokens_per_turn, left - synthesis_share(config) - prompt_tokens)


def synthesis_cap(config: Configuration, ledger: Ledger, prompt_tokens: int) -> int | None:
    """The output cap the synthesis may have, or none when it cannot be paid for.

    Units: tokens.
    """
    left = tokens_left(config, ledger)
    if left is None:
        return config.synthesis_max_tokens
    return _useful(config.synthesis_max_tokens, left - prompt_tokens)


def fault_charge(
    fault: FaultClass, reservation: Reservation, usage: Usage | None, *, reached: bool
) -> int:
    """Tokens a failed call is charged: what was reported, nothing if it never ran, else all."""
    if usage is not None:
        return usage.total
    if not reached or not FAULT_RULES[fault].is_charged:
        return 0
    return reservation.total


def _useful(wanted: int, affordable: int) -> int | None:
    cap = min(wanted, affordable)
    return cap if cap >= SMALLEST_USEFUL_CAP else None
