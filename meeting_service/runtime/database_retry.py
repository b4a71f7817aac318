"""Waiting for a database that is away."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
from eventsourcing.persistence import InterfaceError, OperationalError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

AWAY = (OperationalError, InterfaceError)
"""What the store raises when it is away; whether the work was done is unknown then."""

FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 1.0


async def retry_while_unavailable(work: Callable[[], Awaitable[Result]]) -> Result:
    """Do the work, again and again while the store is away.

    Raises: whatever else the work raises.
    """
    try:
        return await work()
    except AWAY as error:
        log.warning("waiting for the database: %s", error)
    async for attempt in stamina.retry_context(
        on=AWAY,
        attempts=None,
        timeout=None,
        wait_initial=FIRST_PAUSE_SECONDS,
        wait_max=MAX_PAUSE_SECONDS,
    ):
        with attempt:
            return await work()
    raise AssertionError("a retry without an end has none")
