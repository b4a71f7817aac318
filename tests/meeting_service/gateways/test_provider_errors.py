"""What is read out of the envelopes of errors: the words, the codes, and when to come back."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from meeting_service.gateways.asked_waits import MAX_WAIT_SECONDS, wait_in_header
from meeting_service.gateways.provider_errors import error_in, is_error
from tests.meeting_service.gateways.recorded_errors import recorded
from tests.meeting_service.gateways.wire_peer import error

INVALID = {"type": "extra_forbidden", "loc": ["body", "n"], "msg": "Extra inputs", "input": 1}


@pytest.mark.parametrize(("body", "seconds"), recorded("waits", "body", "seconds"))
def test_the_wait_that_a_body_asks_for(body: Any, seconds: float | None) -> None:
    assert error_in(body, 429).wait_seconds == (None if seconds is None else pytest.approx(seconds))


LONG = 10**400


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"message": "x", "retry_after": LONG}}, MAX_WAIT_SECONDS),
        ({"error": {"message": "x", "retry_after": {"seconds": LONG}}}, MAX_WAIT_SECONDS),
        ({"error": {"message": "x", "retry_after_ms": 10**30}}, MAX_WAIT_SECONDS),
        ({"error": {"message": "x", "estimated_time": -LONG}}, 0.0),
        ({"error": {"message": "x", "retry_after": "9" * 400}}, None),
        ({"error": {"message": "x", "retry_after": [LONG]}}, None),
        (error("try again in 999999999999 days"), MAX_WAIT_SECONDS),
        (error("retry-after: 999999999999"), MAX_WAIT_SECONDS),
    ],
)
def test_a_wait_of_any_size_is_bounded(body: Any, seconds: float | None) -> None:
    assert error_in(body, 429).wait_seconds == seconds


@pytest.mark.parametrize(
    "value", ["9" * 400, f"Mon, 01 Jan {LONG} 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 +9999999"]
)
def test_a_header_of_any_length_is_no_failure(value: str) -> None:
    wait = wait_in_header({"retry-after": value}, datetime(2026, 1, 1, tzinfo=UTC))
    assert wait is None or 0 <= wait <= MAX_WAIT_SECONDS


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (error("It broke."), "It broke."),
        ([error("It broke.")], "It broke."),
        ({"error": "It broke."}, "It broke."),
        ("It broke.", "It broke."),
        ({"message": "It broke.", "code": 400}, "It broke."),
        ({"errors": [{"message": "It broke."}], "success": False}, "It broke."),
        ({"code": "invalid", "error": "It broke."}, "It broke."),
        ({"base_resp": {"status_code": 1, "status_msg": "It broke."}}, "It broke."),
        ({"detail": "It broke."}, "It broke."),
        ({"detail": [INVALID]}, "body.n: Extra inputs"),
        ({"message": {"detail": [INVALID]}}, "body.n: Extra inputs"),
        ({"error": {"message": [INVALID]}}, "body.n: Extra inputs"),
        (error("Not known.", param="seed"), "seed: Not known."),
        (error("seed: Not known.", param="seed"), "seed: Not known."),
        (error(json.dumps(error("It broke."))), "It broke."),
        ({"error": json.dumps({"message": "It broke."})}, "It broke."),
        (
            {"error": {"message": "It failed", "metadata": {"raw": "It broke."}}},
            "It failed; It broke.",
        ),
        (
            {
                "error": {
                    "message": "It failed",
                    "metadata": {"raw": json.dumps(error("It broke."))},
                }
            },
            "It failed; It broke.",
        ),
        ([error("It broke."), error("It broke.")], "It broke."),
        (error("{not JSON"), "{not JSON"),
        ({"error": {"code": {"odd": "shape"}}}, ""),
        ([[[[["deep"]]]]], "deep"),
        (None, ""),
        (7, ""),
    ],
)
def test_what_was_said(body: Any, message: str) -> None:
    assert error_in(body, 400).message == message


def test_codes_are_read_at_every_depth() -> None:
    body = [{"error": {"code": 429, "status": "EXHAUSTED", "details": [{"type": "info"}]}}]
    assert error_in(body).codes == ("429", "EXHAUSTED", "info")


def test_an_envelope_of_any_depth_and_size_is_read_in_no_time() -> None:
    deep: Any = "It broke."
    for _ in range(200):
        deep = {"error": deep}
    assert error_in(deep).message == ""
    wide = [error(f"Number {n}.") for n in range(10_000)]
    assert error_in(wide).message.startswith("Number 0.; ")


@pytest.mark.parametrize(
    ("body", "says_error"),
    [
        (error("It broke."), True),
        ([error("It broke.")], True),
        ({"object": "error", "message": "It broke."}, True),
        ({"type": "error", "error": {"message": "It broke."}}, True),
        ({"detail": "It broke."}, True),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no"}}, True),
        ({"choices": [{}], "base_resp": {"status_code": 0, "status_msg": ""}}, False),
        ({"choices": [], "error": None}, False),
        ({"choices": [{"message": {}}], "message": "fine"}, False),
        ({"content": [], "type": "message"}, False),
        ([1], False),
        ({}, False),
        ({"message": "You are number 3 in the queue"}, False),
        ({"status": "ok", "message": "queued"}, False),
        ({"message": "Model loaded, no wait"}, False),
        ({"message": "There is no available channel"}, True),
        ({"type": "ping", "detail": "keepalive"}, False),
        ({"type": "status", "message": "Two servers are not ready yet"}, False),
        ({"status": "processing", "msg": "Reading the prompt: 40 %"}, False),
        ({"code": 0, "message": "warming up"}, False),
        ({"code": 200, "msg": "success"}, False),
        ({"message": {"role": "assistant", "content": "Hello"}}, False),
        ({"choices": [{}], "error": {"code": None, "message": None}}, False),
        ({"choices": [{}], "error": {"code": 0, "message": "ok"}}, False),
        ({"choices": [{}], "error": {"code": "0", "message": "Success.", "details": []}}, False),
        ({"choices": [{}], "error": "none", "errors": [None]}, False),
        ({"choices": [{}], "error": {"code": 0, "message": "It broke."}}, True),
        ({"choices": [{}], "error": {"code": 1302, "message": ""}}, True),
        ({"choices": [{}], "error": True}, True),
        ({"code": 1302, "message": "busy"}, True),
        ({"code": "throttling", "message": "later"}, True),
        ({"type": "invalid_request_error", "message": "model"}, True),
        ({"status": 503, "detail": "maintenance"}, True),
        ({"status": "error", "message": "x"}, True),
        ({"message": "Please try again later"}, True),
        ({"msg": "The model is not available"}, True),
        ({"detail": [INVALID]}, True),
        ({"message": {"detail": [INVALID]}}, True),
    ],
)
def test_what_is_an_error_at_all(body: Any, says_error: bool) -> None:
    assert is_error(body) is says_error


@pytest.mark.parametrize(
    "text", ["[" * 60_000, '{"a":' * 60_000, "1" * 60_000, "retry in 1" * 6_000]
)
def test_a_message_made_to_be_slow_or_deep_is_read_in_no_time(text: str) -> None:
    said = error_in(error(text), 400)
    assert said.message == text
    assert said.wait_seconds is None
