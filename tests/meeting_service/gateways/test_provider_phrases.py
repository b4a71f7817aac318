"""Words in which providers and bridges say the same: what is caught, and what only looks alike.

A status of None is one inside a stream that began well.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from meeting_service.gateways.provider_errors import error_in
from meeting_service.gateways.provider_faults import fault_of
from meeting_service.ports import ContextTooLong, GatewayFault, RateLimited, Rejected
from tests.meeting_service.gateways.recorded_errors import recorded

MODEL = "model-a"


def fault(status: int | None, body: Any, model: str = MODEL) -> GatewayFault:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return fault_of(error_in(body, status), source="h", secrets=(), now=now, model=model)


@pytest.mark.parametrize(("status", "body"), recorded("too_long", "status", "body"))
def test_too_long_a_brief(status: int | None, body: Any) -> None:
    assert type(fault(status, body)) is ContextTooLong


@pytest.mark.parametrize(("status", "body"), recorded("not_too_long", "status", "body"))
def test_other_bounds_are_no_brief_that_is_too_long(status: int | None, body: Any) -> None:
    assert type(fault(status, body)) is not ContextTooLong


@pytest.mark.parametrize(("status", "body"), recorded("empty_account", "status", "body"))
def test_an_empty_account_is_not_asked_again(status: int | None, body: Any) -> None:
    found = fault(status, body)
    assert type(found) is Rejected
    assert found.retry_after_seconds is None
    assert found.detail.endswith("; check the account's quota and billing")


@pytest.mark.parametrize(("status", "body"), recorded("rate_limit", "status", "body"))
def test_a_limit_a_minute_is_no_empty_account(status: int | None, body: Any) -> None:
    assert type(fault(status, body)) is RateLimited


@pytest.mark.parametrize(
    ("status", "body", "model"), recorded("one_model", "status", "body", "model")
)
def test_an_outage_of_one_model(status: int | None, body: Any, model: str) -> None:
    found = fault(status, body, model)
    assert (found.is_unreachable, found.names_model) == (True, True)


@pytest.mark.parametrize(
    ("status", "body", "model"), recorded("whole_server", "status", "body", "model")
)
def test_an_outage_of_a_whole_server(status: int | None, body: Any, model: str) -> None:
    found = fault(status, body, model)
    assert (found.is_unreachable, found.names_model) == (True, False)
