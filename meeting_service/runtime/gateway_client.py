"""The gateways as runners see them: a slot for each call, the call, and waiting until reachable."""

import asyncio
import logging
from collections.abc import Callable

import anyio

from meeting_core.model import MeetingId
from meeting_service.background_loops import is_cancellation
from meeting_service.ports import (
    Gateway,
    GatewayFault,
    GatewayReply,
    GatewayRequest,
    Gateways,
    Rejected,
    TimedOut,
    Unavailable,
)
from meeting_service.runtime.gateway_health import GatewayHealth
from meeting_service.runtime.rate_limiter import CallLimiter, CallSlotWait

log = logging.getLogger(__name__)

GRACE_SECONDS = 0.5
"""How long after its deadline an adapter may take to say that it was missed."""


class GatewayClient:
    """Every gateway of the process, behind its rate limiter, with what is known of its health.

    Invariant: a meeting holds at most one call slot.
    """

    def __init__(self, gateways: Gateways, limiter: CallLimiter | None = None) -> None:
        self._gateways = gateways
        # Without bounds, nothing has to be kept of who calls.
        self._limiter = limiter if limiter is not None and limiter.is_bounded else None
        self._held_slots: dict[MeetingId, str] = {}
        self._health = {name: GatewayHealth(name, each) for name, each in gateways.items()}
        self.names = frozenset(gateways)

    def try_acquire(self, gateway: str, meeting_id: MeetingId) -> bool:
        """Take a slot for the meeting's next call if one is free; return whether it is held.

        A slot of another gateway that the meeting holds is given back.
        """
        if self._limiter is None:
            return True
        if self._held_slots.get(meeting_id) != gateway:
            self.release(meeting_id, was_used=False)
            if not self._limiter.try_acquire(gateway, meeting_id):
                return False
            self._held_slots[meeting_id] = gateway
        return True

    async def acquire(self, gateway: str, meeting_id: MeetingId) -> None:
        """Wait for a slot, first come, first served, and take it."""
        if not self.try_acquire(gateway, meeting_id):
            assert self._limiter is not None
            await self._limiter.acquire(gateway, meeting_id)
            self._held_slots[meeting_id] = gateway

    def release(self, meeting_id: MeetingId, *, was_used: bool) -> None:
        """Release the meeting's slot, if it holds one; an unused slot started no call."""
        if self._limiter is not None and meeting_id in self._held_slots:
            gateway = self._held_slots.pop(meeting_id)
            self._limiter.release(gateway, meeting_id, was_used=was_used)

    def call_slot_wait(self, meeting_id: MeetingId) -> CallSlotWait | None:
        """Return the meeting's wait for a slot; None if it does not wait."""
        return self._limiter.wait_of(meeting_id) if self._limiter is not None else None

    async def call(
        self, gateway: str, request: GatewayRequest, on_delta: Callable[[str], None]
    ) -> GatewayReply:
        """Make one call; if its gateway or its model is known not to answer, fail at once.

        Raises: a `GatewayFault`, and nothing else, even if an adapter breaks its contract. It is
        unreachable only if that is the gateway's, and a `ModelUnavailable` if it is the model's.
        """
        found = self._gateways.get(gateway)
        if found is None:
            detail = f"there is no gateway {gateway!r} any more; add [gateways.{gateway}] again"
            raise Rejected(detail, reached=False)
        health, meeting_id = self._health[gateway], request.call_key.partition("/")[0]
        if health.has_failed:
            health.check(request.model, meeting_id)
        try:
            reply = await _complete(found, request, on_delta)
        except GatewayFault as fault:
            raise await health.judged(request.model, meeting_id, fault) from fault.__cause__
        except BaseException:
            health.breaker.record_end()
            raise
        health.outcomes.record_answer(request.model, anyio.current_time())
        if health.has_failed:
            health.breaker.record_answer()
        return reply

    async def wait_until_reachable(self, gateway: str, meeting_id: MeetingId) -> None:
        """Wait until the meeting may call a gateway that was found unreachable."""
        health = self._health.get(gateway)
        if health is not None:
            await health.breaker.wait_until_reachable(str(meeting_id))


async def _complete(
    gateway: Gateway, request: GatewayRequest, on_delta: Callable[[str], None]
) -> GatewayReply:
    """Call an adapter and enforce its contract: in time, a reply or a `GatewayFault`."""
    try:
        # Later than the adapter's own timeout, which knows more of what became of the call.
        async with asyncio.timeout(request.timeout_seconds + GRACE_SECONDS):
            return await gateway.complete(request, on_delta)
    except GatewayFault:
        raise
    except TimeoutError:
        detail = f"no complete answer within {request.timeout_seconds:g} s"
        raise TimedOut(detail) from None
    except (Exception, asyncio.CancelledError) as error:
        if is_cancellation(error):
            raise
        log.exception("the gateway of call %s broke its contract", request.call_key)
        raise Unavailable(f"the gateway failed with {type(error).__name__}") from error
