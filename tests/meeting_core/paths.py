"""The legal paths of a meeting, written by hand: the measure that the chart is held to."""

from meeting_core import Phase

LIVE = (Phase.GATHERING, Phase.IN_ROUND, Phase.SYNTHESIZING, Phase.PAUSED)
FINAL = (Phase.COMPLETE, Phase.CANCELLED, Phase.ERROR)

MOVES: dict[tuple[Phase, str], Phase] = {
    (Phase.GATHERING, "round_opened"): Phase.IN_ROUND,
    (Phase.IN_ROUND, "synthesis_started"): Phase.SYNTHESIZING,
    (Phase.SYNTHESIZING, "completed"): Phase.COMPLETE,
    (Phase.GATHERING, "paused"): Phase.PAUSED,
    (Phase.IN_ROUND, "paused"): Phase.PAUSED,
    (Phase.SYNTHESIZING, "paused"): Phase.PAUSED,
    (Phase.PAUSED, "resumed_to_gathering"): Phase.GATHERING,
    (Phase.PAUSED, "resumed_to_in_round"): Phase.IN_ROUND,
    (Phase.PAUSED, "resumed_to_synthesizing"): Phase.SYNTHESIZING,
    **{(phase, "cancelled"): Phase.CANCELLED for phase in LIVE},
    **{(phase, "failed"): Phase.ERROR for phase in LIVE},
}
"""Facts that lead from one phase to another."""

STAYS: dict[str, tuple[Phase, ...]] = {
    "round_opened": (Phase.IN_ROUND,),
    "round_closed": (Phase.IN_ROUND,),
    "round_digested": (Phase.IN_ROUND, Phase.PAUSED),
    "attempt_started": (Phase.IN_ROUND, Phase.SYNTHESIZING),
    "attempt_failed": (Phase.IN_ROUND, Phase.SYNTHESIZING, Phase.PAUSED),
    "attempt_abandoned": (Phase.IN_ROUND, Phase.SYNTHESIZING, Phase.PAUSED),
    "turn_completed": (Phase.IN_ROUND, Phase.PAUSED),
    "turn_skipped": (Phase.IN_ROUND, Phase.PAUSED),
    "synthesis_drafted": (Phase.SYNTHESIZING, Phase.PAUSED),
    "synthesis_completed": (Phase.SYNTHESIZING, Phase.PAUSED),
    "adopted": LIVE,
    "budget_raised": LIVE,
    "remark_made": (Phase.GATHERING, Phase.IN_ROUND, Phase.PAUSED),
}
"""Facts that leave the meeting in the phase it is in."""

LEGAL: dict[tuple[Phase, str], Phase] = {
    **MOVES,
    **{(phase, fact): phase for fact, phases in STAYS.items() for phase in phases},
}
