"""Addresses as users and providers write them: understood, or refused with what to do."""

import pytest

from meeting_service.database_address import AddressError, Host, parse_address
from meeting_service.database_address.other_parameters import IGNORED
from meeting_service.database_address.parsing import normalized

PLAIN = "postgresql://u:p@h/d"


def refusal(address: str) -> str:
    with pytest.raises(AddressError) as refused:
        parse_address(address)
    said = str(refused.value)
    assert "sesame" not in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    "address",
    [
        PLAIN,
        "postgres://u:p@h/d",
        "POSTGRESQL://u:p@h/d",
        "postgresql+asyncpg://u:p@h/d",
        "postgresql+psycopg2://u:p@h/d/",
        "jdbc:postgresql://h/d?user=u&password=p",
        "psql 'postgresql://u:p@h/d'",
        ' "postgresql://u:p@h/d"\n',
        "postgresql://h?user=u&password=p&dbname=d",
        "postgresql:///d?host=h&user=u&password=p",
        "host=h dbname=d user=u password=p",
        "host = h user='u' password='p' dbname=d",
        "psql 'host=h dbname=d user=u password=p'",
    ],
)
def test_every_spelling_of_an_address_means_the_same(address: str) -> None:
    read = parse_address(address)
    assert (read.hosts, read.user, read.password, read.database) == ((Host("h"),), "u", "p", "d")


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("postgresql:///d", ()),
        ("postgresql://h:5433/d", (Host("h", 5433),)),
        ("postgresql://[fe80::1%25eth0]:5/d", (Host("fe80::1%eth0", 5),)),
        ("postgresql://[fe80::1%25en-0.1]/d", (Host("fe80::1%en-0.1"),)),
        ("postgresql://[::ffff:10.0.0.1]/d", (Host("::ffff:10.0.0.1"),)),
        ("postgresql:///d?host=/run/a@b", (Host("/run/a@b"),)),
        ("postgresql://a,b:2,[::1]:3/d", (Host("a"), Host("b", 2), Host("::1", 3))),
        ("postgresql://a,b:2/d?port=7", (Host("a", 7), Host("b", 2))),
        ("postgresql:///d?host=a,b&port=1,2", (Host("a", 1), Host("b", 2))),
        ("postgresql:///d?host=a:1&host=/run/b&port=2", (Host("a", 1), Host("/run/b", 2))),
        ("postgresql://%2Frun%2Fpg/d", (Host("/run/pg"),)),
        ("postgresql:///d?host=/run/a%20b&port=6432", (Host("/run/a b", 6432),)),
        ("postgresql:///d?hostaddr=10.0.0.1", (Host("10.0.0.1"),)),
        ("postgresql:///d?port=5433", (Host("localhost", 5433),)),
        ("postgresql://u@:5433/d", (Host("localhost", 5433),)),
    ],
)
def test_hosts_are_read_with_their_ports(address: str, hosts: tuple[Host, ...]) -> None:
    assert parse_address(address).hosts == hosts


@pytest.mark.parametrize(
    ("address", "password"),
    [
        ("postgresql://u:%40%2F%3F%23%25%3A@h/d", "@/?#%:"),
        ("postgresql://u:a:b+c d@h/d", "a:b+c d"),
        ("postgresql://u@h/d?password=a+b%26", "a+b&"),
        ("postgresql://h/d?user=u&password=a@b", "a@b"),
    ],
)
def test_a_password_is_decoded_once(address: str, password: str) -> None:
    assert parse_address(address).password == password


@pytest.mark.parametrize(
    ("password", "written"),
    [
        ("p@sesame", "'@' as %40"),
        ("p/sesame", "'/' as %2F"),
        ("12/sesame", "'/' as %2F"),
        ("p?sesame", "'?' as %3F"),
        ("12?x=sesame", "'?' as %3F"),
        ("12?sslmode=sesame", "'?' as %3F"),
        ("p#sesame", "'#' as %23"),
        ("12#sesame", "'#' as %23"),
        ("@/?#sesame", "'@' as %40, '/' as %2F, '?' as %3F, '#' as %23"),
    ],
)
@pytest.mark.parametrize("rest", ["@h/d", "@h:5432/d?sslmode=require", "@a,b:1/d"])
def test_a_password_that_is_not_encoded_is_refused_without_showing_it(
    password: str, written: str, rest: str
) -> None:
    said = refusal(f"postgresql://u:{password}{rest}")
    assert written in said


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mysql://u:sesame@h/d", ["must begin with postgresql://"]),
        ("host=h password=my sesame", ["postgresql://USER:PASSWORD@HOST:PORT/DATABASE"]),
        ("host=h password=my sesame=x", ["postgresql://USER:PASSWORD@HOST:PORT/DATABASE"]),
        ("Server=h;Database=d;Password=sesame", ["USER:PASSWORD@HOST:PORT/DATABASE"]),
        ("Host=h;Username=u;Password=sesame", ["USER:PASSWORD@HOST:PORT/DATABASE"]),
        ("db.example/sesame", ["USER:PASSWORD@HOST:PORT/DATABASE"]),
        ("postgresql://u:50%sesame@h/d", ["%25"]),
        ("postgresql://u:%FFsesame@h/d", ["password", "UTF-8"]),
        ("postgresql://u:sesame", ["port", "USER:PASSWORD@HOST"]),
        ("postgresql://u:p@h:sesame/d", ["port"]),
        ("postgresql://u:p@h:0/d", ["port"]),
        ("postgresql://u:p@h:70000/d", ["65,535"]),
        ("postgresql://u:p@a,,b/d", ["host", "commas"]),
        ("postgresql://u:p@h h/d", ["host"]),
        ("postgresql://u:p@::1/d", ["IPv6", "[ADDRESS]:PORT"]),
        ("postgresql://u:p@[::1/d", ["IPv6"]),
        ("postgresql://u:p@[10.0.0.1]/d", ["no IPv6 address"]),
        ("postgresql://u:p@[db]/d", ["no IPv6 address"]),
        ("postgresql://u:p@h/d/sesame", ["name of the database", "%2F"]),
        ("postgresql://u:p@h/d#sesame", ["%23"]),
        ("postgresql://u:p@h/d?sesame", ["NAME=VALUE"]),
        ("postgresql://a,b,c/d?port=1,2", ["3 hosts and 2 ports"]),
        ("postgresql://h/d?hostaddr=10.0.0.1", ["hostaddr", "leave one"]),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(address: str, words: list[str]) -> None:
    said = refusal(address)
    for part in words:
        assert part in said


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("ssl_mode=require", ["ssl_mode", "did you mean sslmode?"]),
        ("conect_timeout=3", ["did you mean connect_timeout?"]),
        ("statement_timeout=5000", ["options=-c%20statement_timeout%3DVALUE"]),
        ("TimeZone=UTC", ["options=-c%20TimeZone%3DVALUE"]),
        ("sslmode=sesame", ["sslmode", "verify-full"]),
        ("ssl=sesame", ["sslmode", "require"]),
        ("target_session_attrs=standby", ["target_session_attrs", "read-write"]),
        ("target_session_attrs=read-only", ["the service writes"]),
        ("target_session_attrs=prefer-standby", ["the service writes"]),
        ("gssencmode=require", ["gssencmode", "sslmode=require"]),
        ("channel_binding=sesame", ["channel_binding"]),
        ("channel_binding=require&sslmode=disable", ["exclude each other"]),
        ("sslrootcert=system&sslmode=disable", ["sslmode=verify-full"]),
        ("require_auth=scram-sha-256", ["require_auth", "leave it out"]),
        ("client_encoding=latin1", ["client_encoding", "UTF-8"]),
        ("options=-c%20client_encoding=latin1", ["client_encoding", "UTF-8"]),
        ("options=--client-encoding=latin1", ["client_encoding", "UTF-8"]),
        ("options=-cClient_Encoding=latin1", ["client_encoding", "UTF-8"]),
        ("SSLMode=require", ["did you mean sslmode?"]),
        ("SslRootCert=x", ["did you mean sslrootcert?"]),
        ("Connect_Timeout=1", ["did you mean connect_timeout?"]),
        ("tls=true", ["write sslmode=require"]),
        ("useSSL=true", ["write sslmode=require"]),
        ("unix_sock=/cloudsql/p:r:i", ["host=/FOLDER"]),
        ("unix_socket=/x", ["host=/FOLDER"]),
        ("targetServerType=secondary", ["the service writes"]),
        ("loginTimeout=sesame", ["loginTimeout", "whole number"]),
        ("connect_timeout=sesame", ["connect_timeout", "whole number"]),
        ("connect_timeout=2.5", ["connect_timeout", "whole number"]),
        ("keepalives_idle=-1", ["keepalives_idle", "whole number"]),
        ("schema=", ["schema", "empty"]),
        ("options=-x", ["options=-c NAME=VALUE"]),
        ("options=-c%20sesame", ["options=-c NAME=VALUE"]),
        ("options=--search_path", ["options=-c NAME=VALUE"]),
        ("sslcrldir=/x", ["sslcrl=FILE"]),
        ("load_balance_hosts=random", ["load_balance_hosts"]),
        ("replication=true", ["replication"]),
        ("gsslib=sesame", ["gsslib"]),
        ("%E2%82%AC=1", ["not a name"]),
    ],
)
def test_a_parameter_that_cannot_be_kept_is_named_with_what_to_do(
    query: str, words: list[str]
) -> None:
    said = refusal(f"{PLAIN}?{query}")
    for part in words:
        assert part in said


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("sslmode=require&channel_binding=require", {"sslmode": "require"}),
        ("channel_binding=require", {"sslmode": "require"}),
        ("channel_binding=prefer", {}),
        ("sslmode=prefer&channel_binding=require", {"sslmode": "require"}),
        ("ssl=true", {"sslmode": "require"}),
        ("ssl=0", {"sslmode": "disable"}),
        ("ssl=verify-ca", {"sslmode": "verify-ca"}),
        ("sslaccept=strict", {"sslmode": "verify-full"}),
        ("sslmode=no-verify", {"sslmode": "no-verify"}),
        ("sslrootcert=system", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslrootcert=system&sslmode=require", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslcert=a&sslkey=b", {"sslcert": "a", "sslkey": "b"}),
    ],
)
def test_what_is_asked_of_tls_is_understood(query: str, tls: dict[str, str]) -> None:
    assert parse_address(f"{PLAIN}?{query}").tls == tls


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        ("schema=mine", {"search_path": '"mine"'}),
        ('schema=my"s', {"search_path": '"my""s"'}),
        ("currentSchema=a,b", {"search_path": '"a", "b"'}),
        ("search_path=a", {"search_path": '"a"'}),
        ("options=-c%20search_path%3Dx", {"search_path": "x"}),
        ("options=-csearch_path=x+-c+jit=on", {"search_path": "x", "jit": "on"}),
        ("options=--statement-timeout=5s", {"statement_timeout": "5s"}),
        (r"options=-c%20search_path=a,\ b", {"search_path": "a, b"}),
    ],
)
def test_settings_of_the_server_are_kept_for_each_session(
    query: str, settings: dict[str, str]
) -> None:
    assert parse_address(f"{PLAIN}?{query}").settings == settings


def test_options_for_a_router_of_connections_are_kept_for_the_start() -> None:
    read = parse_address(f"{PLAIN}?options=endpoint%3Dep-x+-c+jit=off")
    assert read.startup_options == "endpoint=ep-x"
    assert read.settings == {"jit": "off"}


def test_times_and_keepalives_are_numbers() -> None:
    read = parse_address(f"{PLAIN}?connect_timeout=10&keepalives_idle=7&tcp_user_timeout=9")
    assert read.connect_timeout_seconds == 10
    assert read.keepalive == {"keepalives_idle": 7, "tcp_user_timeout": 9}
    assert parse_address(f"{PLAIN}?connect_timeout=0").connect_timeout_seconds is None


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_what_other_clients_are_told_is_noted_as_without_meaning(name: str) -> None:
    assert parse_address(f"{PLAIN}?{name}=true").ignored == (name,)


@pytest.mark.parametrize(
    "query",
    [
        "target_session_attrs=read-write",
        "target_session_attrs=any",
        "gssencmode=disable",
        "client_encoding=utf8",
        "application_name=mine",
        "ApplicationName=mine",
        "targetServerType=primary",
        "krbsrvname=postgres",
    ],
)
def test_what_changes_nothing_is_taken(query: str) -> None:
    assert parse_address(f"{PLAIN}?{query}").settings == {}


def test_what_jdbc_calls_by_other_names_is_understood() -> None:
    read = parse_address(f"jdbc:{PLAIN}?ApplicationName=mine&loginTimeout=7&sslfactory=x")
    assert (read.application_name, read.connect_timeout_seconds) == ("mine", 7)
    assert read.ignored == ("sslfactory",)


@pytest.mark.parametrize(
    "address",
    [
        f"{PLAIN}?sslrootcert=/home/me@corp/ca.pem",
        "postgresql:///d?sslrootcert=/home/me@corp/ca.pem",
        "postgresql://h/d?user=u&sslrootcert=/home/me@corp/ca.pem",
        "host=h password=p@w sslrootcert=/home/me@corp/ca.pem",
    ],
)
def test_the_name_of_a_file_may_hold_the_sign_that_ends_an_account(address: str) -> None:
    assert parse_address(normalized(address)).tls == {"sslrootcert": "/home/me@corp/ca.pem"}


@pytest.mark.parametrize("password", ["a b", "it's", "back\\slash", "@/?#%:&=+", ""])
def test_a_quoted_password_of_libpqs_form_is_kept(password: str) -> None:
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    read = parse_address(normalized(f"user=u password='{quoted}' host=h"))
    assert (read.user, read.password) == ("u", password or None)


def test_a_folder_of_sockets_shows_as_it_is() -> None:
    read = parse_address("postgresql:///d?host=/cloudsql/p:r:i")
    assert str(read) == "/cloudsql/p:r:i/d"
    assert str(parse_address("postgresql://[::1]:5/d")) == "[::1]:5/d"


def test_no_password_shows() -> None:
    read = parse_address("postgresql://u:sesame@h/d?sslpassword=sesame")
    assert "sesame" not in repr(read)
    assert str(read) == "h/d"
