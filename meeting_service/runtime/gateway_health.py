"""The health of one gateway as calls show it: which failures are its own, and which its models'."""

import logging

import anyio

from meeting_service.ports import (
    Empty,
    Gateway,
    GatewayFault,
    ModelUnavailable,
    Refused,
    TimedOut,
    Unavailable,
)
from meeting_service.runtime.circuit_breaker import CircuitBreaker
from meeting_service.runtime.gateway_probe import GatewayProbe
from meeting_service.runtime.model_outcomes import ModelOutcomes, Verdict

log = logging.getLogger(__name__)

PROBE_COUNTS_SECONDS = 1.0
"""How long the answer to one probe stands for those of calls that fail soon after."""


class GatewayHealth:
    """What the calls of this process have shown of one gateway and of its models.

    Shape: `has_failed` says whether any has failed; until then there is nothing to check.
    `_failed_models` are the models of the meetings' last calls that a server answered, and that
    showed its gateway unreachable: each such meeting may ask for another model at once.
    """

    def __init__(self, name: str, gateway: Gateway) -> None:
        self._name = name
        self._probe = GatewayProbe(name, gateway)
        self.outcomes = ModelOutcomes()
        self.has_failed = False
        self._failed_models: dict[str, str] = {}
        self.breaker = CircuitBreaker(name, self._probe)

    def check(self, model: str, meeting_id: str) -> None:
        """Raise what a call would meet if that is known; a call that was not made costs nothing.

        Raises: `Unavailable` while the gateway is unreachable, `ModelUnavailable` for a moment
        after the model was not served.
        """
        failed = self._failed_models.pop(meeting_id, model)
        if not self.breaker.may_call(meeting_id) and failed == model:
            detail = f"gateway {self._name!r} is unreachable; it was not asked"
            raise Unavailable(detail, reached=False, is_unreachable=True)
        detail = self.outcomes.reason_to_avoid(model, anyio.current_time())
        if detail and not self.breaker.is_open:
            raise ModelUnavailable(f"{detail}; it was not asked again so soon", reached=False)

    async def judged(self, model: str, meeting_id: str, fault: GatewayFault) -> GatewayFault:
        """Return a call's fault as what it is found to be; record what it shows.

        A failure that is the model's alone is a `ModelUnavailable`, and no fault that is not the
        gateway's is unreachable.
        """
        self.has_failed = True
        if fault.tokens_seen or isinstance(fault, Empty | Refused):
            self.outcomes.record_answer(model, anyio.current_time())
            self.breaker.record_answer()
            return fault
        if not isinstance(fault, Unavailable | TimedOut):
            self.outcomes.record_refusal(model)
            if fault.reached:
                self.breaker.record_answer()
            else:
                self.breaker.record_end()
            return fault
        was_unserved = self.outcomes.is_unserved(model)
        self.outcomes.record_failure(model, anyio.current_time())
        if isinstance(fault, Unavailable) and (fault.is_unreachable or fault.names_model):
            try:
                verdict = await self._verdict(model, fault)
            except BaseException:
                self.breaker.record_end()
                raise
            if verdict == "model":
                return self._unserved(model, fault, is_known=was_unserved)
        if fault.is_unreachable:
            if not self.breaker.is_open:
                self._failed_models.clear()
            if fault.reached:
                self._failed_models[meeting_id] = model
            self.breaker.record_unreachable()
        else:
            self.breaker.record_end()
        return fault

    async def _verdict(self, model: str, fault: GatewayFault) -> Verdict:
        reached, names_model = fault.reached, fault.names_model
        verdict = self.outcomes.verdict(
            model, anyio.current_time(), reached=reached, names_model=names_model
        )
        if verdict is not None:
            return verdict
        is_answered = await self._probe.is_reachable(PROBE_COUNTS_SECONDS)
        # Judged after the probe: meanwhile the others may have failed too.
        verdict = self.outcomes.verdict(
            model,
            anyio.current_time(),
            reached=reached,
            names_model=names_model,
            probe_is_answered=is_answered,
        )
        return verdict or "gateway"

    def _unserved(self, model: str, fault: GatewayFault, *, is_known: bool) -> ModelUnavailable:
        if not is_known:
            said = "gateway %s is reachable and does not serve model %r at present: %s"
            log.warning(said, self._name, model, fault.detail)
        self.outcomes.record_unserved(model, fault.detail, anyio.current_time())
        # It says nothing of the other models, which may be why the breaker is open.
        self.breaker.record_end()
        return ModelUnavailable(
            fault.detail, retry_after_seconds=fault.retry_after_seconds, usage=fault.usage
        )
