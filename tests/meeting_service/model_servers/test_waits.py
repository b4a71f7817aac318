"""Waits that model servers ask for, through the whole service: kept where a turn has the time."""

from datetime import datetime
from typing import Any

import anyio
import pytest

from tests.meeting_service.gateways.wire_peer import Script, error, event, stream
from tests.meeting_service.model_servers.refusing_peer import (
    SharedService,
    at_first,
    refuses,
    two_participants,
)

pytestmark = pytest.mark.anyio

RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def waits_in(facts: list[dict[str, Any]]) -> list[float | None]:
    """How long each failed attempt is waited for; None for those that are not."""
    failed = [fact for fact in facts if "attempt_failed" in fact["name"]]
    ends = [(fact["data"].get("retry_at"), fact["at"]) for fact in failed]
    return [None if until is None else seconds_between(at, until) for until, at in ends]


def seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def asks_to_wait(wait: str, milliseconds: int) -> dict[str, Script]:
    details = [{"@type": RETRY_INFO, "retryDelay": wait}]
    exhausted: dict[str, Any] = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}
    return {
        "array with RetryInfo": refuses(429, [error("Resource exhausted", **exhausted)]),
        "in words": refuses(429, error(f"Rate limit reached. Please try again in {wait}.")),
        "milliseconds": refuses(429, error("slow", retry_after_ms=milliseconds)),
        "beside the error": refuses(429, {"detail": "slow", "retry_after": milliseconds / 1000}),
        "header": refuses(429, error("slow"), retry_after=f"{milliseconds / 1000:g}"),
        "header in milliseconds": refuses(429, error("slow"), retry_after_ms=f"{milliseconds}"),
        "a header of 0 and words": refuses(429, error(f"retry after {wait}"), retry_after="0"),
        "quoted by a bridge": refuses(
            429, error("litellm.RateLimitError: OpenAIException - try again in " + wait)
        ),
        "500": refuses(500, error(f"Busy; please retry after {wait}")),
        "in a stream": stream(event(**error(f"Try again in {wait}", code="rate_limit_exceeded"))),
    }


@pytest.mark.parametrize("script", asks_to_wait("35s", 35_000).values(), ids=asks_to_wait("1s", 1))
async def test_a_wait_of_35_seconds_fits_into_a_minute(
    shared: SharedService, script: Script
) -> None:
    """The wait is planned; it is not sat through: the meeting is cancelled in it."""
    shared.peer.answer_to = at_first(script)
    meeting_id = await shared.client.start(participants=two_participants(), num_rounds=1)
    with anyio.fail_after(5):
        while not (waits := waits_in(await shared.client.facts(meeting_id))):
            await anyio.lowlevel.checkpoint()
    await shared.client.post(f"/api/meetings/{meeting_id}/cancel")
    assert waits == [pytest.approx(35, abs=0.05)]


async def test_a_wait_is_over_in_time(shared: SharedService) -> None:
    script = refuses(429, [error("Resource exhausted", details=[{"retryDelay": "1.1s"}])])
    meeting, peer = await shared.held(at_first(script))
    assert meeting.texts == ["Ann speaks.", "Bob speaks."]
    assert len(peer.calls_of("round-1-ann")) == 2
    assert meeting.faults == [("rate_limited", 0)]
    (wait,) = waits_in(meeting.facts)
    assert wait is not None
    assert 1.1 <= wait <= 1.5


@pytest.mark.parametrize("script", asks_to_wait("59s", 59_000).values(), ids=asks_to_wait("1s", 1))
async def test_a_wait_longer_than_a_turn_is_not_begun(
    shared: SharedService, script: Script
) -> None:
    with anyio.fail_after(3):
        meeting, peer = await shared.held(at_first(script))
    assert waits_in(meeting.facts) == [None]
    assert meeting.skipped == [meeting.faults[0][0], None]
    assert len(peer.calls_of("round-1-ann")) == 1


async def test_a_quota_a_minute_is_waited_for_where_a_wait_is_asked(shared: SharedService) -> None:
    said = "You exceeded your current quota, please check your plan and billing details."
    script = refuses(429, [error(said, code=429, details=[{"retryDelay": "59s"}])])
    meeting, _ = await shared.held(at_first(script))
    assert meeting.skipped == ["rate_limited", None]
