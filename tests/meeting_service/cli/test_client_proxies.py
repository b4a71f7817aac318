"""Client commands with proxies and certificates in the environment: they work, or say why."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from meeting_service import http_proxy
from meeting_service.cli.application import run
from meeting_service.cli.client import ServiceClient
from meeting_service.cli.exit_codes import Exit
from tests.meeting_service.cli.fake_service import (
    FakeService,
    Reply,
    fake_service,
    feed,
    whole_feed,
)
from tests.meeting_service.cli.socks_proxy import socks_proxy

AGENTS = Reply(body={"agents": [{"id": "dev", "name": "Devi"}]})
FAR = "http://meetings.example"
COMMANDS = [["agents"], ["list"], ["watch", "m1"], ["history", "m1"], ["cancel", "m1"]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without a meetings.toml, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    http_proxy._warn_once.cache_clear()
    for name in list(os.environ):
        is_ours = name.startswith(("MEETINGS_", "SSL_CERT_"))
        if is_ours or name == "DATABASE_URL" or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as service:
        service.on("/api/agents", AGENTS)
        yield service


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("meetings: ")
    return captured.err


@pytest.mark.parametrize(
    "environ",
    [
        {"NO_PROXY": "fd00::/8"},
        {"NO_PROXY": "[::1]"},
        {"NO_PROXY": "[::1]:8080,::1,fe80::/10"},
        {"NO_PROXY": "[::1,10.0.0.0/99,host:port"},
        {"ALL_PROXY": "socks5://127.0.0.1:1"},
        {"ALL_PROXY": "socks://127.0.0.1:1/", "NO_PROXY": "localhost,127.0.0.0/8,::1"},
        {"all_proxy": "socks4://127.0.0.1:1"},
        {"HTTP_PROXY": "http://127.0.0.1:1"},
        {"http_proxy": "http://[::1"},
        {"http_proxy": "127.0.0.1:port"},
        {"HTTP_PROXY": "ftp://nowhere"},
    ],
    ids=str,
)
def test_a_service_on_this_machine_is_reached_whatever_the_environment_says(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in {"HTTP_PROXY": "http://127.0.0.1:1", **environ}.items():
        monkeypatch.setenv(name, value)
    assert run(["agents", "--url", service.url]) == Exit.COMPLETE
    assert run(["agents", "--url", service.url.replace("127.0.0.1", "localhost")]) == Exit.COMPLETE


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_far_service_is_asked_through_the_proxy(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, service.url)
    service.on(f"{FAR}/api/agents", AGENTS)
    service.on(f"{FAR}/api/meetings/m1/events", feed(*whole_feed()))
    assert run(["agents", "--url", FAR]) == Exit.COMPLETE
    assert run(["watch", "m1", "--url", FAR]) == Exit.COMPLETE
    assert [request.headers["host"] for request in service.requests] == ["meetings.example"] * 2


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
def test_a_far_service_is_asked_through_a_socks_proxy(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with socks_proxy(service.url) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{proxy.place}")
        assert run(["agents", "--url", FAR]) == Exit.COMPLETE
        assert proxy.asked_for == ["meetings.example"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each[0])
def test_a_call_that_fails_through_a_proxy_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    with fake_service() as gone:
        place = gone.url.removeprefix("http://")
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{place}")
    assert run([*command, "--url", FAR]) == Exit.UNREACHABLE
    line = error_line(capsys)
    assert f"{FAR} cannot be reached through the proxy http://{place} (HTTP_PROXY): " in line
    assert line.endswith("; mend the proxy, or name the host in NO_PROXY\n")
    assert "secret" not in line


def test_a_proxy_that_answers_itself_is_named(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", service.url)
    service.on(f"{FAR}/api/agents", Reply(403, "<html>denied</html>", "text/html"))
    assert run(["agents", "--url", FAR]) == Exit.UNREACHABLE
    assert error_line(capsys) == (
        f"meetings: {FAR} answered 403 (text/html) through the proxy {service.url} (http_proxy), "
        "which is no answer of a meeting service; check --url, or name the host in NO_PROXY\n"
    )


def test_a_proxy_that_opens_no_tunnel_is_named(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", service.url)
    assert run(["agents", "--url", "https://meetings.example"]) == Exit.UNREACHABLE
    assert f"through the proxy {service.url} (HTTPS_PROXY): 501" in error_line(capsys)


# --- certificates ------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, str]:
    (folder / "empty.pem").touch()
    (folder / "garbage.pem").write_bytes(b"\x00no certificate\xff")
    (folder / "key.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    return {
        name: str(folder / name) for name in ("none.pem", "empty.pem", "garbage.pem", "key.pem")
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each[0])
def test_certificates_that_are_none_are_one_line_on_every_command(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    for value in (*files(folder).values(), str(folder), f'"{folder}/none.pem"'):
        monkeypatch.setenv("SSL_CERT_FILE", value)
        assert run([*command, "--url", "https://127.0.0.1:1"]) == Exit.USAGE
        line = error_line(capsys)
        assert "SSL_CERT_FILE is /" in line
        assert line.endswith("; name a file with certificates in PEM, or unset it\n")


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "HTTPS://127.0.0.1:1", "Https://h/a"])
def test_certificates_are_checked_however_the_scheme_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert run(["agents", "--url", url]) == Exit.USAGE
    assert "SSL_CERT_FILE is /nowhere" in error_line(capsys)


@pytest.mark.parametrize("value", ["/nowhere", "{folder}", "/nowhere:{folder}"])
def test_a_folder_without_certificates_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", value.format(folder=folder))
    assert run(["agents", "--url", "https://127.0.0.1:1"]) == Exit.USAGE
    assert "or unset SSL_CERT_DIR" in error_line(capsys)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("value", ["/nowhere", "", '""'])
def test_certificates_do_not_matter_without_tls(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert run(["agents", "--url", service.url]) == Exit.COMPLETE


def test_an_empty_variable_means_the_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", '""')
    monkeypatch.setenv("SSL_CERT_DIR", "")
    assert run(["agents", "--url", "https://127.0.0.1:1"]) == Exit.UNREACHABLE
    assert "no service answers at https://127.0.0.1:1" in error_line(capsys)


def test_a_certificate_that_is_not_trusted_says_what_to_set() -> None:
    reason = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
    client = ServiceClient("https://meetings.example")
    problem = client.unreachable(httpx2.ConnectError(reason))
    assert problem.code == Exit.UNREACHABLE
    assert str(problem) == (
        f"the certificate of https://meetings.example is not trusted: {reason}; "
        "name the file of its authority's certificate in SSL_CERT_FILE"
    )
