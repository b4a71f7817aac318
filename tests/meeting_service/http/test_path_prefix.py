"""Behind a reverse proxy with a path prefix: every link in an answer leads back through it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio import to_thread

from meeting_service.cli.application import run
from meeting_service.cli.exit_codes import Exit
from meeting_service.http.path_prefix import PathPrefix, without_prefix
from tests.meeting_service.http.reverse_proxy import reverse_proxy
from tests.meeting_service.http.service import (
    BODY,
    TIMEOUT_SECONDS,
    Client,
    assert_problem,
    served,
    settings_for,
)

TRUSTING = {"trusted_proxies": ("127.0.0.1",)}


@asynccontextmanager
async def behind_proxy(
    database_url: str,
    folder: Path,
    prefix: str,
    *,
    strips: bool,
    header: str | None = None,
    **settings: Any,
) -> AsyncIterator[Client]:
    """A service behind a proxy, and a client that knows only the proxy."""
    headers = {} if header is None else {"X-Forwarded-Prefix": header}
    async with (
        served(settings_for(database_url, folder, **settings)) as inner,
        reverse_proxy(str(inner.base_url), prefix, strips=strips, headers=headers) as url,
        Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
    ):
        yield client


async def assert_links_lead_back(client: Client) -> None:
    """Follow every link that an answer has."""
    origin = client.base_url.copy_with(path="/")
    started = await client.post("/api/meetings/start", json=BODY)
    assert started.status_code == 201, started.text
    stream_url = started.json()["stream_url"]
    with anyio.fail_after(TIMEOUT_SECONDS):
        async with client.sse(str(origin.join(stream_url))) as source:
            assert source.response.status_code == 200
            events = [event.event async for event in source]
    assert events[-1] == "meeting-complete"
    page = await client.get("/docs")
    assert page.status_code == 200
    for link in set(re.findall(r'href="([^"#]+)"', page.text)):
        document = await client.get(str(page.url.join(link)))
        assert document.status_code == 200
        (server,) = document.json()["servers"]
        base = str(origin.join(server["url"])).rstrip("/")
        assert (await client.get(f"{base}/api/agents")).status_code == 200
    missing = await client.get("/api/nothing")
    problem = assert_problem(missing, 404, f"{client.base_url.path.rstrip('/')}/docs lists")
    kind, _, anchor = problem["type"].partition("#")
    assert f'id="{anchor}"' in (await client.get(str(missing.url.join(kind)))).text
    assert_problem(await client.post("/docs"), 405)
    assert_problem(await client.post("/api/meetings/start", json={}), 400)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("prefix", "strips"),
    [("/meetings", True), ("/team/a-1/meetings", False), ("/api", True), ("/api", False)],
)
async def test_a_prefix_of_the_settings(database_url, tmp_path, prefix, strips):
    async with behind_proxy(
        database_url, tmp_path, prefix, strips=strips, root_path=prefix
    ) as client:
        await assert_links_lead_back(client)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("prefix", "header", "strips"),
    [("/a", "/a", True), ("/a", " /a/ ", False), ("/a/b", "/a, /b", True)],
)
async def test_a_prefix_that_a_trusted_proxy_names(database_url, tmp_path, prefix, header, strips):
    async with behind_proxy(
        database_url, tmp_path, prefix, strips=strips, header=header, **TRUSTING
    ) as client:
        await assert_links_lead_back(client)


@pytest.mark.anyio
async def test_client_commands_work_behind_a_prefix(database_url, tmp_path, capsys):
    async with behind_proxy(
        database_url, tmp_path, "/meetings", strips=True, root_path="/meetings"
    ) as client:
        url = str(client.base_url)
        for command in (
            ["start", "Decide", "--participant=dev", "--participant=qa", "--rounds=1", "--watch"],
            ["list"],
            ["agents", "--json"],
        ):
            arguments = [*command, f"--url={url}"]
            assert await to_thread.run_sync(run, arguments) == Exit.COMPLETE, command
    assert "complete" in capsys.readouterr().out


HOSTILE = [
    "//evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "/a//b",
    "/../admin",
    "/a/../b",
    "/%2e%2e",
    "/a\\b",
    '/"><script>',
    "/a b",
    "/a?b=c",
    "/a#b",
    "/a\tb",
    "a",
    "/é",
    "/" + 10_000 * "a",
    "/a,//evil.example",
    ",",
]


@pytest.mark.anyio
@pytest.mark.parametrize("configured", ["", "/meetings"])
async def test_a_hostile_prefix_is_ignored_even_from_a_trusted_proxy(
    database_url, tmp_path, configured
):
    settings = settings_for(database_url, tmp_path, root_path=configured, **TRUSTING)
    async with served(settings) as client:
        for value in HOSTILE:
            headers = [(b"X-Forwarded-Prefix", value.encode())]
            answer = await client.get("/openapi.json", headers=headers)
            assert answer.json()["servers"] == [{"url": configured or "/"}], value
            missing = await client.get("/nothing", headers=headers)
            problem = dict(missing.json())
            assert problem["instance"] == f"{configured}/nothing", value
            assert problem["type"] == f"{configured}/docs#nothing-here", value


@pytest.mark.anyio
@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",), ("::1", "128.0.0.1")])
async def test_a_prefix_from_anybody_else_is_ignored(database_url, tmp_path, trusted):
    settings = settings_for(database_url, tmp_path, trusted_proxies=trusted)
    async with served(settings) as client:
        answer = await client.get("/openapi.json", headers={"X-Forwarded-Prefix": "/evil"})
        assert answer.json()["servers"] == [{"url": "/"}]


@pytest.mark.parametrize(
    ("client", "is_believed"),
    [
        (("10.1.2.3", 1), True),
        (("::ffff:10.1.2.3", 1), True),
        (("fd00::1", 1), True),
        (("11.1.2.3", 1), False),
        (("fe80::1", 1), False),
        (("", 0), False),
        (None, False),
    ],
)
@pytest.mark.anyio
async def test_a_proxy_is_known_by_its_address(client, is_believed):
    seen: list[Any] = []

    async def app(scope, _receive, _send):
        seen.append(scope)

    scope: Any = {
        "type": "http",
        "path": "/a/docs",
        "client": client,
        "headers": [(b"x-forwarded-prefix", b"/a")],
    }
    await PathPrefix(app, "", ("10.0.0.0/8", "fd00::/8"))(scope, None, None)  # type: ignore[arg-type]
    assert seen[0]["path"] == ("/docs" if is_believed else "/a/docs")


@pytest.mark.parametrize(
    ("path", "prefix", "own"),
    [
        ("/a/api/meetings", "/a", "/api/meetings"),
        ("/api/meetings", "/a", "/api/meetings"),
        ("/a", "/a", "/"),
        ("/a/", "/a", "/"),
        ("/ab/docs", "/a", "/ab/docs"),
        ("/a/nothing", "/a", "/nothing"),
        ("/api/meetings", "/api", "/api/meetings"),
        ("/api/api/meetings", "/api", "/api/meetings"),
        ("/api", "/api", "/api"),
        ("/docs", "/docs", "/docs"),
        ("/docs/docs", "/docs", "/docs"),
        ("/api/v1/health/ready", "/api/v1", "/health/ready"),
        ("/docs", "", "/docs"),
    ],
)
def test_a_prefix_is_taken_off_where_it_was_left(path, prefix, own):
    assert without_prefix(path, prefix) == own


@pytest.mark.anyio
async def test_what_is_no_http_is_answered_with_links_below_the_prefix(database_url, tmp_path):
    settings = settings_for(database_url, tmp_path, root_path="/meetings")
    async with served(settings) as client:
        url = httpx2.URL(client.base_url)
        async with await anyio.connect_tcp(url.host, url.port or 0) as stream:
            await stream.send(b"NO HTTP\r\n\r\n")
            received = b""
            async for chunk in stream:
                received += chunk
    assert b'"type":"/meetings/docs#bad-request"' in received
