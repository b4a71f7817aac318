"""What a server, a pooler or a provider's router says becomes one true line with what to do."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from meeting_service.database_address import parse_address
from meeting_service.store.postgres.connect import Connector
from meeting_service.store.postgres.connect_problems import (
    UnavailableDatabase,
    UnsuitableDatabase,
    explained,
)
from meeting_service.store.postgres.persistence_errors import NotWritableError, translated
from meeting_service.store.postgres.tls import TlsFileError, ssl_context

ADDRESS = parse_address("postgresql://u:sesame@db.example/d")


def said_by_server(state: str, text: str) -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": state, "M": text, "S": "FATAL"})


def line_for(error: BaseException) -> tuple[str, type[Exception]]:
    with pytest.raises((UnsuitableDatabase, UnavailableDatabase)) as raised, explained(ADDRESS):
        raise error
    said = str(raised.value)
    assert "\n" not in said
    assert "sesame" not in said
    return said, type(raised.value)


@pytest.mark.parametrize(
    ("state", "text", "words"),
    [
        ("28P01", 'password authentication failed for user "u"', 'the password of "u"'),
        ("08P01", "password authentication failed", 'the password of "u"'),
        ("08P01", "SASL authentication failed", 'the password of "u"'),
        ("08P01", "empty password returned by client", 'the password of "u"'),
        ("XX000", "Wrong password: md5 authentication failed", 'the password of "u"'),
        ("3D000", 'database "d" does not exist', 'no database "d"'),
        ("08P01", "no such database: d", 'no database "d"'),
        ("28000", 'role "u" does not exist', 'no user "u"'),
        ("08P01", "no such user", 'no user "u"'),
        ("XX000", "Tenant or user not found", 'no user "u"'),
        ("28000", 'no pg_hba.conf entry for host "1.2.3.4", SSL encryption', "does not let"),
        ("28000", 'no pg_hba.conf entry for host "1.2.3.4", no encryption', "pg_hba.conf"),
        ("08P01", "SSL required", "sslmode=require"),
        ("XX000", "connection is insecure (try using `sslmode=require`)", "sslmode=require"),
        ("28000", "SSL connection is required. Please specify SSL options", "sslmode=require"),
        ("28000", 'role "u" is not permitted to log in', "LOGIN"),
        ("08P01", "unsupported startup parameter: options", "leave it out"),
        ("42704", 'unrecognized configuration parameter "x"', "correct it in options="),
        ("42501", 'permission denied to set parameter "x"', "correct it in options="),
        ("22023", 'invalid value for parameter "x": "y"', "correct it in options="),
        ("42501", "permission denied for database d", "permission denied for database d"),
    ],
)
def test_what_lasts_is_told_with_what_to_change(state: str, text: str, words: str) -> None:
    said, kind = line_for(said_by_server(state, text))
    assert words in said
    assert kind is UnsuitableDatabase


@pytest.mark.parametrize("sign", ["no encryption", "SSL off"])
def test_a_server_that_wants_tls_is_told_where_the_address_forbids_it(sign: str) -> None:
    address = parse_address("postgresql://u@db.example/d?sslmode=disable")
    with pytest.raises(UnsuitableDatabase, match="write sslmode=require"), explained(address):
        raise said_by_server("28000", f'no pg_hba.conf entry for host "1.2.3.4", {sign}')


@pytest.mark.parametrize(
    ("state", "text", "words"),
    [
        ("53300", "sorry, too many clients already", "max_connections"),
        ("53300", 'too many connections for role "u"', "max_connections"),
        ("53300", "remaining connection slots are reserved for superusers", "max_connections"),
        ("08P01", "no more connections allowed (max_client_conn)", "max_connections"),
        ("XX000", "Max client connections reached", "max_connections"),
        ("57P03", "the database system is starting up", "try again"),
        ("57P03", "the database system is shutting down", "try again"),
        ("08P01", "pgbouncer cannot connect to server", "a pooler whose server"),
        ("08P01", "server login has been failing, try again later", "a pooler whose server"),
        ("08P01", "query_wait_timeout", "pool size"),
        ("XX000", "MaxClientsInSessionMode: max clients reached", "max_connections"),
        ("57P01", "terminating connection due to administrator command", "try again"),
        ("57P02", "terminating connection because of crash", "try again"),
        ("57014", "canceling statement due to statement timeout", "try again"),
        ("53100", "No space left on device", "try again"),
        ("53200", "out of memory", "try again"),
        ("55P03", "canceling statement due to lock timeout", "try again"),
        ("58030", "could not read file", "try again"),
        ("08003", "connection was closed in the middle of operation", "closes them at once"),
        ("08006", "something broke", "try again"),
    ],
)
def test_what_may_pass_is_told_as_such(state: str, text: str, words: str) -> None:
    said, kind = line_for(said_by_server(state, text))
    assert words in said
    assert kind is UnavailableDatabase


@pytest.mark.parametrize(
    ("error", "words", "kind"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "refused", UnavailableDatabase),
        (FileNotFoundError(2, "No such file or directory"), "No such file", UnavailableDatabase),
        (OSError("Multiple exceptions: Connect call failed"), "refused", UnavailableDatabase),
        (ConnectionResetError(104, "Connection reset by peer"), "reset", UnavailableDatabase),
        (TimeoutError(), "did not answer in time", UnavailableDatabase),
        (
            ConnectionError('PostgreSQL server at "db:5432" rejected SSL upgrade'),
            "is no PostgreSQL",
            UnsuitableDatabase,
        ),
        (
            ConnectionError("unexpected connection_lost() call"),
            "closes them at once",
            UnavailableDatabase,
        ),
        (
            NotWritableError("it only reads (default_transaction_read_only is on)"),
            "RESET default_transaction_read_only",
            UnavailableDatabase,
        ),
        (
            NotWritableError("it is a standby, which only reads"),
            "name the primary",
            UnavailableDatabase,
        ),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "TLS with db.example", UnsuitableDatabase),
        (TlsFileError("sslcert=/x cannot be read: no"), "sslcert=/x", UnsuitableDatabase),
        (asyncpg.InterfaceError("unsupported SASL"), "unsupported SASL", UnsuitableDatabase),
    ],
)
def test_what_the_network_says_is_told(error: Exception, words: str, kind: type) -> None:
    assert line_for(error)[1] is kind
    assert words in line_for(error)[0]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslmode=require", "offers no TLS"),
        ("sslmode=verify-ca", "offers no TLS"),
        ("ssl=true", "offers no TLS"),
        ("sslmode=prefer", "is no PostgreSQL"),
        ("sslmode=allow", "is no PostgreSQL"),
    ],
)
def test_only_an_address_that_wants_tls_is_told_that_none_is_offered(
    query: str, words: str
) -> None:
    address = parse_address(f"postgresql://u@db.example/d?{query}")
    with pytest.raises(UnsuitableDatabase, match=words), explained(address):
        raise ConnectionError('PostgreSQL server at "db:5432" rejected SSL upgrade')


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sslcert={}", "sslcert=.*holds no certificate in PEM"),
        ("sslrootcert={}", "sslrootcert=.*holds no certificate in PEM"),
        ("sslcrl={}", "sslcrl=.*holds no list of revoked certificates"),
        ("sslkey={}-gone", "sslkey=.*cannot be read: No such file"),
    ],
)
def test_a_file_of_junk_is_named(tmp_path: Path, query: str, words: str) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    address = parse_address(f"postgresql://u@db.example/d?{query.format(junk)}")
    with pytest.raises(UnsuitableDatabase, match=words), explained(address):
        ssl_context(address)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_systems_certificates_that_are_not_there_are_named_with_their_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, "/nope")
    address = parse_address("postgresql://u@db.example/d?sslrootcert=system")
    with pytest.raises(UnsuitableDatabase, match=f"{variable} is /nope"), explained(address):
        ssl_context(address)


def test_an_error_of_the_store_is_told_by_its_cause() -> None:
    cause = said_by_server("53300", "sorry, too many clients already")
    error = translated(cause)
    error.__cause__ = cause
    assert "no connection left" in line_for(error)[0]


async def closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(8)
    writer.close()


async def speaks_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(8)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("peer", "query", "kind", "words"),
    [
        (closes, "", UnavailableDatabase, "correct the host and the port"),
        (closes, "sslmode=disable", UnavailableDatabase, "closes them at once"),
        (hangs_up, "", UnavailableDatabase, "closes them at once"),
        (hangs_up, "sslmode=require", UnavailableDatabase, "closes them at once"),
        (hangs_up, "sslmode=disable", UnavailableDatabase, "closes them at once"),
        (speaks_http, "", UnsuitableDatabase, "is no PostgreSQL"),
        (speaks_http, "sslmode=disable", UnavailableDatabase, "correct the host and the port"),
    ],
)
async def test_a_peer_that_is_no_postgresql_is_said_to_be_none(
    peer: Callable[..., Awaitable[None]], query: str, kind: type[Exception], words: str
) -> None:
    async with await asyncio.start_server(peer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        address = parse_address(f"postgresql://u:p@127.0.0.1:{port}/d?{query}")
        with pytest.raises(kind, match=words), explained(address):
            await Connector(address).connect("test", 2.0)


def test_with_tls_as_the_second_choice_the_first_refusal_is_told() -> None:
    error = ConnectionError('PostgreSQL server at "db:5432" rejected SSL upgrade')
    error.__cause__ = said_by_server("3D000", 'database "d" does not exist')
    assert 'has no database "d"' in line_for(error)[0]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (None, "the passfile .*/passwords is not there"),
        (0o644, "the passfile .*/passwords is not used while others may read it: chmod 600"),
        (0o600, "the passfile .*/passwords has none for it, or a wrong one"),
    ],
)
def test_a_password_that_was_not_given_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None, words: str
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    file = tmp_path / "passwords"
    if mode is not None:
        file.touch(mode)
    address = parse_address(f"postgresql://u@db.example/d?passfile={file}")
    with pytest.raises(UnsuitableDatabase, match=f"none was given: .*{words}"), explained(address):
        raise said_by_server("28P01", "password authentication failed")


def test_a_password_of_the_environment_is_to_be_corrected_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "sesame")
    with (
        pytest.raises(UnsuitableDatabase, match="correct it in PGPASSWORD"),
        explained(parse_address("postgresql://u@db.example/d")),
    ):
        raise said_by_server("28P01", "password authentication failed")


@pytest.mark.anyio
async def test_of_several_peers_that_close_each_is_told_in_plain_words() -> None:
    async with await asyncio.start_server(hangs_up, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        address = parse_address(f"postgresql://u:p@{host},127.0.0.1:1/d")
        with pytest.raises(UnavailableDatabase) as refused, explained(address):
            await Connector(address).connect("test", 2.0)
    assert f"none of the hosts can be written to: {host}: closed the connection" in str(
        refused.value
    )
