"""What providers really answer, and the one fault that each of it is."""

from datetime import UTC, datetime

import pytest

from meeting_core.model import ReportedUsage
from meeting_service.gateways.asked_waits import wait_in_header
from meeting_service.gateways.endpoint import place_of
from meeting_service.gateways.provider_errors import ProviderError
from meeting_service.gateways.provider_faults import fault_of
from meeting_service.gateways.redaction import one_line, secrets_in
from meeting_service.ports import (
    ContextTooLong,
    GatewayFault,
    RateLimited,
    Refused,
    Rejected,
    Unavailable,
)

NOW = datetime(2026, 11, 23, 10, 45, tzinfo=UTC)


def fault(status: int | None, message: str = "", *codes: str, **headers: str) -> GatewayFault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = ProviderError(status, message, codes, named)
    return fault_of(error, source="http://h/v1", secrets=("sk-secret",), now=NOW)


@pytest.mark.parametrize(
    ("status", "message", "codes", "kind"),
    [
        (429, "Rate limit reached for gpt-4o", ["rate_limit_exceeded", "tokens"], RateLimited),
        (429, "You exceeded your current quota", ["insufficient_quota"], Rejected),
        (429, "Request too large for gpt-4 on tokens per min", ["tokens"], ContextTooLong),
        (408, "Request timeout.", [], Unavailable),
        (409, "Conflict.", [], Unavailable),
        (500, "The server had an error", ["server_error"], Unavailable),
        (502, "", [], Unavailable),
        (503, "Engine is overloaded", ["service_unavailable"], Unavailable),
        (529, "Overloaded", ["overloaded_error"], Unavailable),
        (400, "Unknown parameter: 'foo'.", ["unknown_parameter"], Rejected),
        (401, "Incorrect API key", ["invalid_api_key"], Rejected),
        (402, "Insufficient credits", ["402"], Rejected),
        (403, "The context window of this project is closed", [], Rejected),
        (404, "The model `gpt-9` does not exist", ["model_not_found"], Rejected),
        (418, "I'm a teapot", [], Rejected),
        (422, "messages: field required", [], Rejected),
        (400, "This model's maximum context length is 4096 tokens.", ["400"], ContextTooLong),
        (400, "x", ["context_length_exceeded", "invalid_request_error"], ContextTooLong),
        (400, "the request exceeds the available context size", [], ContextTooLong),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", [], ContextTooLong),
        (413, "Request exceeds the maximum size", ["request_too_large"], ContextTooLong),
        (500, "input length and `max_tokens` exceed context limit", [], ContextTooLong),
        (400, "The response was filtered", ["content_filter"], Refused),
        (400, "Your request was rejected", ["content_policy_violation"], Refused),
        (400, "max_tokens is too large: 9999", ["invalid_value"], Rejected),
    ],
)
def test_each_answer_is_one_fault(
    status: int, message: str, codes: list[str], kind: type[GatewayFault]
) -> None:
    assert type(fault(status, message, *codes)) is kind


@pytest.mark.parametrize("code", ["9" * 5_000, str(10**400), "٤٠٠٠", "-1", ""])
def test_a_code_of_any_length_is_no_status(code: str) -> None:
    assert fault(None, "x", code).detail == "http://h/v1 broke off with an error: x"


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.", "max_tokens_f"),
        (400, "Extra inputs are not permitted: stream_options", "stream_options = false"),
        (401, "Unauthorized", "API key"),
        (404, "Not Found", "base_url and the model"),
        (308, "Permanent Redirect", "final address"),
    ],
)
def test_a_rejection_says_what_to_do(status: int, message: str, hint: str) -> None:
    detail = fault(status, message).detail
    assert detail.startswith(f"http://h/v1 answered {status}: {message.rstrip('.')}; ")
    assert hint in detail.partition(";")[2]


@pytest.mark.parametrize(
    ("status", "codes", "is_unreachable"),
    [
        (502, [], True),
        (503, ["service_unavailable"], True),
        (504, [], False),
        (529, ["overloaded_error"], True),
        (None, ["overloaded_error"], True),
        (500, ["server_error"], False),
        (408, [], False),
        (429, [], False),
        (503, ["insufficient_quota"], False),
        (None, ["api_error"], False),
    ],
)
def test_only_an_answer_about_everybody_says_that_the_provider_is_unreachable(
    status: int | None, codes: list[str], is_unreachable: bool
) -> None:
    assert fault(status, "", *codes).is_unreachable == is_unreachable


def test_only_faults_that_pass_say_when() -> None:
    assert fault(503, retry_after="7").retry_after_seconds == 7.0
    assert fault(429, "", "insufficient_quota", retry_after="7").retry_after_seconds is None


def test_usage_is_kept() -> None:
    usage = ReportedUsage(5, 1)
    error = ProviderError(500, "oops")
    kept = fault_of(error, source="h", secrets=(), now=NOW, usage=usage)
    assert kept.usage == usage


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:45:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:44:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 23 Nov 2026 10:45:30 -0000"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 12:45:30 +0200"}, 30.0),
        ({"retry-after": "Mon, 99 Nov 2026 10:45:30 GMT"}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_in_header(headers, NOW) == seconds


def test_a_text_becomes_one_bounded_line_without_secrets() -> None:
    secret = "sk-secret"
    assert one_line(f"a\n\tb\u202e{secret}{secret}", [secret]) == "a b [secret][secret]"
    assert one_line("Authorization: Bearer abcdef123, more") == (
        "Authorization: Bearer [secret], more"
    )
    assert secret not in one_line("x" * 494 + secret, [secret])
    assert len(one_line("word " * 1_000_000)) == 500


def test_what_is_secret_in_the_settings_of_a_gateway() -> None:
    headers = {"X-A": "header-value", "X-B": "1"}
    address = "http://u:pass-word@h/v1?api-version=2026-01-01&key=key-in-query"
    found = secrets_in("sk-key-1", headers, address, {"sig": "signature", "mode": "streaming"})
    assert set(found) == {"key-in-query", "header-value", "pass-word", "signature", "sk-key-1"}
    assert [len(each) for each in found] == sorted(map(len, found), reverse=True)


def test_a_place_is_told_without_credentials() -> None:
    assert place_of("https://u:p@example.org:8443/v1/?key=1") == "https://example.org:8443/v1"
