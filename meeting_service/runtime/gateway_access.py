"""The doors to the gateways of one process: who may call now, and who is away."""

from collections.abc import Callable

from meeting_core.model import MeetingId
from meeting_service.ports import (
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    Gateways,
    TimedOut,
    Unavailable,
)
from meeting_service.runtime.circuit_breaker import Breakers
from meeting_service.runtime.rate_limiter import CallLimiter


class GatewayClient:
    """Every gateway behind its breaker, and the permits to call it."""

    def __init__(self, gateways: Gateways, limiter: CallLimiter | None = None) -> None:
        self._gateways = gateways
        self.limiter = limiter or CallLimiter()
        self.breakers = Breakers(gateways)

    async def call(
        self, gateway: str, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call, unless the gateway is known to be away: that is said at once then.

        Raises: a `GatewayFault`.
        """
        breakers = self.breakers
        if breakers.has_known(gateway) and not breakers.may_call(
            gateway, request.call_key.partition("/")[0]
        ):
            detail = f"gateway {gateway!r} is away; it was not asked"
            raise Unavailable(detail, reached=False, is_unreachable=True)
        try:
            reply = await self._gateways[gateway].complete(request, on_delta)
        except GatewayFault as fault:
            self._note(gateway, fault)
            raise
        except BaseException:
            self.breakers.note_end(gateway)
            raise
        self.breakers.note_answer(gateway)
        return reply

    def _note(self, gateway: str, fault: GatewayFault) -> None:
        if fault.is_unreachable:
            self.breakers.note_away(gateway)
        elif fault.reached and not isinstance(fault, Unavailable | TimedOut):
            self.breakers.note_answer(gateway)
        else:
            self.breakers.note_end(gateway)

    def try_acquire(self, gateway: str, meeting_id: MeetingId) -> bool:
        """Take a permit if that needs no waiting."""
        return self.limiter.try_take(gateway, meeting_id)
