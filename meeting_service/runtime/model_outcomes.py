"""Whose a failure is when no call seems to reach a gateway: the gateway's, or its model's alone.

Pure: times and outcomes in, a verdict out. Source: ADR 0021.
"""

from collections import OrderedDict
from typing import Literal, TypeAlias

from msgspec import Struct

Verdict: TypeAlias = Literal["gateway", "model"]

ANSWER_COUNTS_SECONDS = 30.0
"""How long an answer to one model shows that its gateway is reachable."""

AVOIDED_SECONDS = 0.4
"""How long a model that was not served is not asked again.

Shorter than the shortest wait before a meeting's next attempt: its own retry is always asked.
"""

MAX_MODELS = 64
"""How many models of a gateway are remembered; the one asked longest ago is forgotten first."""


class Outcome(Struct, frozen=True):
    """How the last call to a model ended.

    Units: `at` is in seconds. `unserved` is what the gateway said when it did not serve the model,
    empty for any other outcome.
    """

    at: float
    is_answer: bool
    unserved: str = ""


class ModelOutcomes:
    """The last outcome of each model that was lately asked at one gateway.

    Units: `now` is in seconds of one clock that never goes back.
    """

    def __init__(self) -> None:
        # Unlike a dict's, its first entry is found at once however many have left before.
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()

    def record_answer(self, model: str, now: float) -> None:
        self._record(model, Outcome(now, is_answer=True))

    def record_failure(self, model: str, now: float) -> None:
        """Record that a call was not answered by the model."""
        self._record(model, Outcome(now, is_answer=False))

    def record_unserved(self, model: str, detail: str, now: float) -> None:
        """Record that the gateway is reachable and did not serve the model."""
        self._record(model, Outcome(now, is_answer=False, unserved=detail))

    def record_refusal(self, model: str) -> None:
        """Record that a call was refused for another reason: the model is served, if it was not."""
        if self.is_unserved(model):
            del self._outcomes[model]

    def is_unserved(self, model: str) -> bool:
        """Return whether the gateway did not serve the model when it was last asked for it."""
        outcome = self._outcomes.get(model)
        return outcome is not None and outcome.unserved != ""

    def reason_to_avoid(self, model: str, now: float) -> str:
        """Return what the gateway said when it did not serve the model a moment ago; or nothing."""
        outcome = self._outcomes.get(model)
        if outcome is None or now - outcome.at >= AVOIDED_SECONDS:
            return ""
        return outcome.unserved

    def another_answers(self, model: str, now: float) -> bool:
        """Return whether the last outcome of another model is an answer that still counts."""
        return any(
            outcome.is_answer and now - outcome.at <= ANSWER_COUNTS_SECONDS
            for other, outcome in self._outcomes.items()
            if other != model
        )

    def verdict(
        self,
        model: str,
        now: float,
        *,
        reached: bool,
        names_model: bool,
        probe_is_answered: bool | None = None,
    ) -> Verdict | None:
        """Return whose a failure of a call to this model is; None to ask the gateway's probe first.

        A probe acquits the gateway only while another model answers: many servers go on listing
        their models when all their completions fail.
        """
        if not reached:
            return "gateway"
        if names_model:
            return "model"
        if probe_is_answered is False or not self.another_answers(model, now):
            return "gateway"
        return "model" if probe_is_answered else None

    def _record(self, model: str, outcome: Outcome) -> None:
        self._outcomes[model] = outcome
        self._outcomes.move_to_end(model)
        if len(self._outcomes) > MAX_MODELS:
            self._outcomes.popitem(last=False)
