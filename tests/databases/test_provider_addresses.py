"""Addresses as providers hand them out, on a real server that speaks TLS; and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases.certificates import Certificates, make_certificates
from tests.databases.pgbouncer import PgBouncer
from tests.databases.servers import Server, database_url
from tests.databases.service import hold_meetings, refused
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.anyio

TLS = """\
client_tls_sslmode = require
client_tls_key_file = {key}
client_tls_cert_file = {certificate}
"""


@pytest.fixture(scope="module")
def certificates(server_folder: Path) -> Certificates:
    return make_certificates(server_folder)


@pytest.fixture(scope="module")
def tls_server(
    server_folder: Path, server: Server, certificates: Certificates
) -> Iterator[PgBouncer]:
    """A server that wants TLS; the embedded server's wheel has none, so PgBouncer speaks it."""
    more = TLS.format(key=certificates.key, certificate=certificates.certificate)
    with PgBouncer(server_folder, server, more=more) as made:
        yield made


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require&channel_binding=require",
        "channel_binding=require&connect_timeout=10",
        "sslmode=verify-full&sslrootcert={authority}",
        "sslmode=verify-ca&sslrootcert={authority}&application_name=mine",
        "sslmode=no-verify&options=-c%20statement_timeout%3D30s",
        "ssl=true&keepalives=1&keepalives_idle=30&gssencmode=disable",
        "sslmode=verify-full&sslrootcert=system",
    ],
)
async def test_an_address_as_providers_write_it_is_understood(
    *,
    tls_server: PgBouncer,
    certificates: Certificates,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    url = tls_server.url(database, query.format(authority=certificates.authority))
    async with ServiceProcess(tmp_path, "", "--database-url", url) as service:
        await hold_meetings(service.url, 1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslmode=disable", ["wants TLS", "sslmode=require"]),
        ("sslmode=verify-full&sslrootcert=system", ["is not trusted", "sslrootcert=FILE"]),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", ["/nowhere.pem cannot be read"]),
        ("sslmode=verify-full", ["is not named", "sslrootcert=system"]),
        ("options=-c%20no_such_setting%3D1", ["no_such_setting"]),
    ],
)
async def test_tls_that_cannot_be_is_one_line(
    tls_server: PgBouncer, database: str, tmp_path: Path, query: str, words: list[str]
) -> None:
    said = await refused(
        "--database-url", tls_server.url(database, query), HOME=str(tmp_path), SSL_CERT_FILE=""
    )
    for part in words:
        assert part in said


async def test_a_certificate_for_another_name_is_one_line(
    tls_server: PgBouncer, certificates: Certificates, database: str
) -> None:
    query = f"sslmode=verify-full&sslrootcert={certificates.authority}"
    url = database_url(f"localhost:{tls_server.port}", database, query=query)
    said = await refused("--database-url", url)
    assert "is not trusted" in said
    assert "localhost" in said


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("password", 2, ["does not accept the password", "%40"]),
        ("no password", 2, ["password"]),
        ("database", 2, ['has no database "nowhere"', "createdb"]),
        ("TLS", 2, ["offers no TLS"]),
        ("address", 2, ["does not let", "pg_hba.conf"]),
        ("connections", 1, ["no connection left", "max_connections"]),
    ],
)
async def test_what_a_server_refuses_is_one_line(
    server: Server, database: str, kind: str, code: int, words: list[str]
) -> None:
    if kind == "connections":
        server.execute("ALTER DATABASE postgres CONNECTION LIMIT -1")
        server.execute(f"ALTER DATABASE {database} CONNECTION LIMIT 0")
        server.execute("CREATE ROLE common LOGIN PASSWORD 'x'")
    if kind == "address":
        server.execute("CREATE ROLE sleeper NOLOGIN PASSWORD 'x'")
    url = {
        "password": f"postgresql://postgres:no@{server.place}/{database}",
        "no password": f"postgresql://postgres@{server.place}/{database}",
        "database": server.url("nowhere"),
        "TLS": server.url(database, query="sslmode=require"),
        "address": f"postgresql://sleeper:x@{server.place}/{database}",
        "connections": f"postgresql://common:x@{server.place}/{database}",
    }[kind]
    said = await refused("--database-url", url, code=code)
    for part in words:
        assert part in said
