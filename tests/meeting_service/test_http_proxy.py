"""Proxies from the environment: which one an address gets, and what is left out with a warning."""

import logging
from collections.abc import Iterator

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meeting_service import http_proxy
from meeting_service.http_proxy import ProxyChoice, UnusableProxy, proxy_for, usable_proxy

PROXY = "http://proxy.example:3128"
MODEL = "https://models.example/v1"


@pytest.fixture(autouse=True)
def every_warning_is_new(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    http_proxy._warn_once.cache_clear()
    # Whether or not the extra is installed here; one test takes it away again.
    monkeypatch.setattr(http_proxy, "find_spec", lambda _name: object())
    yield
    http_proxy._warn_once.cache_clear()


def address_of(choice: ProxyChoice | None) -> str | None:
    return None if choice is None else choice.url


def with_no_proxy(entries: str, url: str) -> bool:
    """Return whether an address goes through the proxy in spite of `NO_PROXY`."""
    environ = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": entries}
    return proxy_for(url, environ) is not None


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY}, PROXY),
        ({"Https_Proxy": PROXY}, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "http://other:1"}, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, PROXY),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        ({"https_proxy": "", "ALL_PROXY": PROXY}, PROXY),
        ({"HTTPS_PROXY": "no address", "ALL_PROXY": PROXY}, PROXY),
    ],
    ids=str,
)
def test_the_proxy_is_the_most_specific_usable_one(
    environ: dict[str, str], found: str | None
) -> None:
    assert address_of(proxy_for(MODEL, environ)) == found


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("proxy.example:3128", PROXY),
        ("HTTP://proxy.example:3128/", PROXY),
        (f' "{PROXY}" \r\n', PROXY),
        (f"'{PROXY}'", PROXY),
        ("\ufeffproxy.example:3128", PROXY),
        ("https://proxy.example", "https://proxy.example"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("http://10.0.0.1:3128/path?query#part", "http://10.0.0.1:3128"),
        ("http://prüxy.example:1", "http://xn--prxy-1ra.example:1"),
        ("http://me:a%20b@proxy:1", "http://me:a%20b@proxy:1"),
        ("http://me:p@ss#w/o?rd@proxy:1", "http://me:p%40ss%23w%2Fo%3Frd@proxy:1"),
        ("socks5://proxy:1080", "socks5://proxy:1080"),
        ("socks5h://proxy:1080", "socks5://proxy:1080"),
        ("socks://127.0.0.1:1080/", "socks5://127.0.0.1:1080"),
    ],
)
def test_what_names_a_proxy_is_taken_as_clients_take_it(written: str, taken: str) -> None:
    assert usable_proxy(written) == taken
    assert httpx2.Proxy(taken).url.host


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("socks4://proxy:1080", "socks4://"),
        ("socks4a://proxy:1080", "socks4a://"),
        ("ftp://proxy:21", "ftp://"),
        ("://proxy", "?://"),
        ("http://", "no address"),
        ("http://:3128", "no address"),
        ("http://proxy:port", "no address"),
        ("http://proxy:0", "no address"),
        ("http://proxy:99999", "no address"),
        ("http://proxy:\uff13\uff11", "no address"),
        ("http://[::1", "no address"),
        ("http://[proxy]:1", "no address"),
        ("http://[fe80::1%eth0]:1", "no address"),
        ("http://10.0.0.256:1", "no address"),
        ("http://1-2-3-4:1", "no address"),
        ("3128", "no address"),
        ("http://a b:1", "no address"),
        ("http:proxy:3128", "no address"),
        (f"http://{'x' * 64}:1", "no address"),
        ("http://me:secret@", "no address"),
        ("http://me:\udce9@proxy:1", "no address"),
        ("http://pro\x00xy:1", "no address"),
    ],
    ids=ascii,
)
def test_a_variable_that_names_none_is_ignored_with_one_warning(
    written: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert proxy_for(MODEL, {"HTTPS_PROXY": written}) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("HTTPS_PROXY is ignored: it ")
    assert says in record.getMessage()
    assert "socks5://HOST:PORT" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize("written", ["socks5://proxy:1", "socks5h://proxy:1", "SOCKS://proxy:1"])
def test_a_socks_proxy_without_its_package_says_what_to_install(
    written: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_proxy, "find_spec", lambda _name: None)
    assert proxy_for(MODEL, {"ALL_PROXY": written}) is None
    assert "pip install 'httpx2[socks]'" in caplog.text
    with pytest.raises(UnusableProxy, match="SOCKS"):
        proxy_for(MODEL, {}, written)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:11434/v1",
        "http://LOCALHOST.:1",
        "http://models.localhost",
        "http://localhost.localdomain",
        "http://127.0.0.1:8080",
        "http://127.8.9.1",
        "http://127.1:8080",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://0.0.0.0:8080",
        "http://[::1]:8080",
        "http://[::]:8080",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::ffff:127.0.0.1]",
        "https://localhost",
    ],
)
def test_this_machine_is_asked_straight_unless_a_setting_says_otherwise(url: str) -> None:
    environ = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "ALL_PROXY": PROXY}
    assert proxy_for(url, environ) is None
    assert address_of(proxy_for(url, {}, PROXY)) == PROXY


@pytest.mark.parametrize("url", ["http://128.0.0.1", "http://localhost.example", "http://10.1.2.3"])
def test_what_only_looks_like_this_machine_has_a_proxy(url: str) -> None:
    assert address_of(proxy_for(url, {"HTTP_PROXY": PROXY})) == PROXY


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        ("*", MODEL),
        ("a.example,*", MODEL),
        ("models.example", MODEL),
        ("example", MODEL),
        (".example", MODEL),
        (".models.example", MODEL),
        ("*.example", MODEL),
        ("MODELS.EXAMPLE.", MODEL),
        ("models.example:443", MODEL),
        ("https://models.example", MODEL),
        ("https://models.example/", MODEL),
        ("mod*.example", MODEL),
        ("'models.example'", MODEL),
        ('"a.example, models.example"', MODEL),
        ("a.example models.example", MODEL),
        ("[::1],fd00::/200,,models.example", MODEL),
        ("10.0.0.0/8", "http://10.1.2.3:8000"),
        ("10.9.9.9/8", "http://10.1.2.3:8000"),
        ("10.0.0.0/255.0.0.0", "http://10.1.2.3"),
        ("10.1.2.3", "http://10.1.2.3:8000"),
        ("10.1.2.3:8000", "http://10.1.2.3:8000"),
        ("10.*", "http://10.1.2.3"),
        ("10.1.", "http://10.1.2.3"),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]"),
        ("fd00::/8", "http://[fd12::1]:8000"),
        ("[fd00::]/8", "http://[fd12::1]:8000"),
        ("[fd00::/8]", "http://[fd12::1]:8000"),
        ("fd12:0:0::1", "http://[fd12::1]:8000"),
        ("[fd12::1]", "http://[fd12::1]:8000"),
        ("[fd12::1]:8000", "http://[fd12::1]:8000"),
        ("fe80::%eth0/10", "http://[fe80::1%25eth0]"),
        ("modèle.example", "https://xn--modle-6ra.example"),
    ],
)
def test_what_no_proxy_names_is_asked_straight(entries: str, url: str) -> None:
    assert not with_no_proxy(entries, url)


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        ("", MODEL),
        ("odels.example", MODEL),
        ("api.models.example", MODEL),
        ("models.example:8443", MODEL),
        ("http://models.example", MODEL),
        ("10.0.0.0/8", "http://11.1.2.3"),
        ("10.0.0.0/8", "http://10.example"),
        ("2.3", "http://10.1.2.3"),
        ("10.1.2.3:8001", "http://10.1.2.3:8000"),
        ("fd00::/8", "http://[fe80::1]"),
        ("[fd12::1]:8001", "http://[fd12::1]:8000"),
        ("::/0", "http://10.1.2.3"),
        (".", MODEL),
    ],
)
def test_what_no_proxy_does_not_name_goes_through_the_proxy(entries: str, url: str) -> None:
    assert with_no_proxy(entries, url)


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.0/99",
        "10.0.0/8",
        "fd00::/200",
        "[::1",
        "::1]",
        "[]",
        "[::1]:port",
        "host:port",
        "host:1:2",
        "host:99999",
        "models.example/v1",
        "<local>",
        "me@host",
        "http://",
        "\udce9",
    ],
    ids=ascii,
)
def test_an_entry_that_is_none_is_warned_of_once_and_the_others_count(
    entry: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert with_no_proxy(entry, MODEL)
        assert not with_no_proxy(f"{entry},models.example", MODEL)
    (record,) = caplog.records
    assert record.getMessage().startswith("NO_PROXY: ")
    assert "is ignored" in record.getMessage()
    assert "write example.com, 10.0.0.0/8" in record.getMessage()


def test_lower_case_wins_for_exceptions_too() -> None:
    environ = {"HTTPS_PROXY": PROXY, "no_proxy": "other.example", "NO_PROXY": "*"}
    assert address_of(proxy_for(MODEL, environ)) == PROXY
    assert proxy_for(MODEL, {"HTTPS_PROXY": PROXY, "No_Proxy": "*"}) is None


@pytest.mark.parametrize(
    "url", ["", "no address", "http://", "http://[::1", "http://h:port", "/v1"]
)
def test_an_address_without_a_host_has_no_proxy(url: str) -> None:
    assert proxy_for(url, {"ALL_PROXY": PROXY, "NO_PROXY": "[::1]"}) is None


def test_a_setting_wins_over_the_environment() -> None:
    environ = {"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}
    assert proxy_for(MODEL, {"HTTPS_PROXY": PROXY}, "none") is None
    assert address_of(proxy_for(MODEL, environ, "http://mine:1")) == "http://mine:1"
    with pytest.raises(UnusableProxy, match="no address"):
        proxy_for(MODEL, environ, "http://mine:port")


def test_a_choice_shows_no_password() -> None:
    choice = proxy_for(MODEL, {"https_proxy": "http://me:secret@proxy:3128"})
    assert choice is not None
    assert choice.shown == "the proxy http://proxy:3128 (https_proxy)"
    assert "secret" not in repr(choice) + str(choice)


@pytest.mark.parametrize("proxy", ["http://me:secret@proxy:1", "https://[fd00::1]:1", "http://p"])
def test_a_client_can_be_made_with_any_choice(proxy: str) -> None:
    choice = proxy_for(MODEL, {"ALL_PROXY": proxy})
    assert choice is not None
    with httpx2.Client(proxy=choice.url, trust_env=False) as client:
        assert not client.is_closed


HOSTS = ["proxy", "localhost", "10.0.0.0", "::1", "\u00fc", "\udce9", "\ufeff", "\x00", "xn--"]
PARTS = ["://", "http", "https", "socks5", "/8", "3128", "65536", "me:secret@"]
PIECES = st.lists(st.sampled_from([*"@:/[]%#?.,*-_ '\"", *HOSTS, *PARTS]), max_size=8).map("".join)


@given(proxy=PIECES, exceptions=PIECES, host=PIECES)
def test_whatever_stands_in_the_environment_is_read_without_an_error(
    proxy: str, exceptions: str, host: str
) -> None:
    environ = {"HTTP_PROXY": proxy, "NO_PROXY": exceptions}
    for url in ("http://models.example", f"http://{host}", host):
        choice = proxy_for(url, environ)
        assert choice is None or httpx2.Proxy(choice.url).url.host


@pytest.mark.parametrize("host", ["-xn--", "-xn--xn--", "proxy.-xn--a"])
def test_a_name_that_clients_cannot_read_back_is_no_proxy(host: str) -> None:
    assert proxy_for("http://models.example", {"HTTP_PROXY": f"http://{host}:80"}) is None


def test_each_of_these_proxies_is_one_that_a_client_takes() -> None:
    for proxy in (
        "a_b",
        "a-b.example.",
        "xn--prxy-1ra",
        "1.2.3.4",
        "[::1]",
        "me:@p",
        "me@p",
        ":@p",
    ):
        assert httpx2.Proxy(usable_proxy(proxy)).url.host
