"""The probe of a gateway: one at a time, whose answer is shared."""

import asyncio
import logging
from math import inf

import anyio

from meeting_service.background_loops import is_cancellation
from meeting_service.ports import Gateway, GatewayFault, Unavailable

log = logging.getLogger(__name__)

MAX_PROBE_SECONDS = 5.0
"""How long an adapter may take to say whether its provider can be reached."""


class GatewayProbe:
    """Asks whether a gateway is reachable, for all runners of the process.

    Invariant: at most one probe is under way.
    """

    def __init__(self, name: str, gateway: Gateway) -> None:
        self._name = name
        self._gateway = gateway
        self._lock = anyio.Lock()
        self._is_reachable = False
        self._ended_at = -inf

    async def is_reachable(self, max_age_seconds: float = 0.0) -> bool:
        """Return whether the gateway is reachable, by a probe that is at most this old."""
        async with self._lock:
            if anyio.current_time() - self._ended_at > max_age_seconds:
                self._is_reachable = await self._ask()
                self._ended_at = anyio.current_time()
            return self._is_reachable

    async def _ask(self) -> bool:
        try:
            with anyio.fail_after(MAX_PROBE_SECONDS):
                await self._gateway.probe()
        except Unavailable as fault:
            log.debug("gateway %s is unreachable: %s", self._name, fault.detail)
            return False
        except GatewayFault:
            return True  # the next call will show what is wrong
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            # An adapter's bug must not end the waiting.
            log.exception("the probe of gateway %s broke its contract", self._name)
            return False
        return True
