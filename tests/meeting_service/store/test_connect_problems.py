"""What a server, a pooler or a provider's router says becomes one true line with what to do."""

import ssl

import asyncpg
import pytest

from meeting_service.database_address import parse_address
from meeting_service.store.postgres.connect_problems import (
    UnavailableDatabase,
    UnsuitableDatabase,
    explained,
)
from meeting_service.store.postgres.persistence_errors import translated
from meeting_service.store.postgres.tls import TlsFileError

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
            "offers no TLS",
            UnsuitableDatabase,
        ),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "TLS with db.example", UnsuitableDatabase),
        (TlsFileError("sslcert=/x cannot be read: no"), "sslcert=/x", UnsuitableDatabase),
        (asyncpg.InterfaceError("unsupported SASL"), "unsupported SASL", UnsuitableDatabase),
    ],
)
def test_what_the_network_says_is_told(error: Exception, words: str, kind: type) -> None:
    assert line_for(error)[1] is kind
    assert words in line_for(error)[0]


def test_an_error_of_the_store_is_told_by_its_cause() -> None:
    cause = said_by_server("53300", "sorry, too many clients already")
    error = translated(cause)
    error.__cause__ = cause
    assert "no connection left" in line_for(error)[0]
