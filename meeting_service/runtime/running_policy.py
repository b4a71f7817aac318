"""How a process runs meetings: the settings that the runtime works by."""

from typing import Literal

from msgspec import Struct


class RunningPolicy(Struct, frozen=True):
    """How a process runs meetings.

    Units: seconds. `recovery` says whether a meeting whose process died goes on or fails.
    `max_live_meetings` counts the meetings of all processes; None is no bound.
    """

    recovery: Literal["resume", "fail"] = "resume"
    lease_seconds: float = 4.0
    poll_seconds: float = 0.5
    drain_seconds: float = 10.0
    missing_gateway_timeout_seconds: float = 86_400.0
    max_live_meetings: int | None = None
