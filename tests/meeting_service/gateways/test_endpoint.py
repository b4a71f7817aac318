"""Addresses of model servers: as people set them, and as they are asked."""

import pytest

from meeting_service.gateways.endpoint import endpoint, place_of

AZURE = "https://r.openai.azure.com/openai/deployments/gpt-4o"
CHAT = "/chat/completions"


@pytest.mark.parametrize(
    ("base_url", "answer", "models"),
    [
        ("http://h/v1", "http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h/v1/", "http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h/v1//", "http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h", "http://h/chat/completions", "http://h/models"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h/v1/chat/completions/", "http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h/v1/chat", "http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h/v1/models", "http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h/v1#top", "http://h/v1/chat/completions", "http://h/v1/models"),
        (
            "http://[::1]:8000/v1",
            "http://[::1]:8000/v1/chat/completions",
            "http://[::1]:8000/v1/models",
        ),
        ("http://h/a%2Fb/v1", "http://h/a%2Fb/v1/chat/completions", "http://h/a%2Fb/v1/models"),
        ("http://h/chatty", "http://h/chatty/chat/completions", "http://h/chatty/models"),
        (
            f"{AZURE}?api-version=2024-10-21",
            f"{AZURE}/chat/completions?api-version=2024-10-21",
            f"{AZURE}/models?api-version=2024-10-21",
        ),
        (
            f"{AZURE}/chat/completions?api-version=2024-10-21",
            f"{AZURE}/chat/completions?api-version=2024-10-21",
            f"{AZURE}/models?api-version=2024-10-21",
        ),
        (
            "http://h/v1?a=1&a=2&flag",
            "http://h/v1/chat/completions?a=1&a=2&flag",
            "http://h/v1/models?a=1&a=2&flag",
        ),
        (
            "http://h/v1?sig=a%2Fb+c",
            "http://h/v1/chat/completions?sig=a%2Fb+c",
            "http://h/v1/models?sig=a%2Fb+c",
        ),
        ("http://h/v1/?", "http://h/v1/chat/completions", "http://h/v1/models"),
    ],
)
def test_an_address_is_taken_as_it_is_meant(base_url: str, answer: str, models: str) -> None:
    assert endpoint(base_url, CHAT, {}) == answer
    assert endpoint(base_url, "/models", {}) == models


@pytest.mark.parametrize(
    ("base_url", "answer"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("https://api.z.ai/api/anthropic", "https://api.z.ai/api/anthropic/v1/messages"),
        ("http://h/anthropic/v1/?beta=true", "http://h/anthropic/v1/messages?beta=true"),
    ],
)
def test_the_version_is_not_asked_twice(base_url: str, answer: str) -> None:
    assert endpoint(base_url, "/v1/messages", {}) == answer
    assert endpoint(base_url, "/v1/models", {}) == answer.replace("messages", "models")


@pytest.mark.parametrize(
    ("base_url", "query", "asked"),
    [
        ("http://h/v1", {"api-version": "preview"}, "api-version=preview"),
        ("http://h/v1?api-version=1", {"api-version": "2"}, "api-version=2"),
        ("http://h/v1?api%2Dversion=1&b=2", {"api-version": "2"}, "b=2&api-version=2"),
        ("http://h/v1?a=1", {"b": "x y/z&"}, "a=1&b=x+y%2Fz%26"),
        ("http://h/v1?a=1", {"b": ""}, "a=1&b="),
    ],
)
def test_a_query_that_is_set_is_added(base_url: str, query: dict[str, str], asked: str) -> None:
    assert endpoint(base_url, CHAT, query) == f"http://h/v1{CHAT}?{asked}"


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "h/v1",
        "ftp://h/v1",
        "http:///v1",
        "http://h:0/v1",
        "http://h/v 1",
        "http://h/v1\n",
        "http://h:x/v1",
        "http://[h/v1",
    ],
)
def test_what_is_no_address_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        place_of(base_url)


def test_nothing_secret_is_in_a_place() -> None:
    assert place_of("https://u:p@h:8443/v1/?key=k#f") == "https://h:8443/v1"
