"""Take an address apart: `postgresql://user:password@host:port,host:port/database?parameters`.

Stricter than a URL library, which would take a part of a password for a host's name: what is not
encoded is refused. No error shows more of an address than the names of its parameters.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv6Address
from urllib.parse import quote, unquote

from meeting_service.database_address.address import AddressError, DatabaseAddress, Host
from meeting_service.database_address.keyword_values import keyword_values
from meeting_service.database_address.parameters import KNOWN, read_parameters
from meeting_service.database_address.service_file import with_service

SCHEMES = ("postgresql", "postgres")
MUST_BEGIN = (
    "must begin with postgresql://, the only database there is: write"
    " postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
)
MAX_PORT = 65_535

_MAY_HOLD_AT = ("user", "username", "password", "sslpassword", "application_name")
_RESERVED = re.compile(r"[/?#]")
_HALF_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::(\d*))?")
_HOST_NAME = re.compile(r"[\w.-]+")


def parse_address(text: str) -> DatabaseAddress:
    """Read an address. Raises: `AddressError`."""
    rest = _without_scheme(text)
    _check_encoding(rest)
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    account, _, host_list = authority.rpartition("@")
    user, _, password = account.partition(":")
    database = path.rstrip("/")
    if "/" in database:
        raise AddressError("has a '/' in the name of the database; write %2F if it is part of it")
    address = DatabaseAddress(
        hosts=tuple(_hosts(host_list)),
        user=_decoded("user", user) or None,
        password=_decoded("password", password) or None,
        database=_decoded("name of the database", database) or None,
    )
    pairs = with_service(address, list(_pairs(query)))
    return read_parameters(address, pairs, lambda hosts: tuple(_hosts(hosts)))


def normalized(text: str) -> str:
    """Return the address as libpq spells it; its parts are left as they are."""
    return f"postgresql://{_without_scheme(text)}"


def _without_scheme(text: str) -> str:
    # Providers show a command to be copied; files of settings put values in quotes.
    bare = text.strip().removeprefix("psql ").strip().strip("'\"").strip()
    if (pairs := keyword_values(bare, KNOWN)) is not None:
        return "?" + "&".join(f"{name}={quote(value, safe='/')}" for name, value in pairs)
    scheme, separator, rest = bare.partition("://")
    # JDBC and SQLAlchemy name a driver besides the database.
    name = scheme.lower().removeprefix("jdbc:").partition("+")[0]
    if not separator or name not in SCHEMES:
        raise AddressError(MUST_BEGIN)
    return rest


def _check_encoding(rest: str) -> None:
    """Refuse an address whose user or password holds what ends them."""
    end = found.start() if (found := _RESERVED.search(rest)) else len(rest)
    authority, tail = rest[:end], rest[end:]
    path, _, query = tail.partition("?")
    before_last_at = rest.rpartition("@")[0]
    keys = (pair.partition("=") for pair in query.split("&") if "@" in pair)
    # Where the account has ended, or cannot have begun, the sign is the parameter's own.
    is_after_account = authority.count("@") == 1 or ":" not in authority
    may_hold = KNOWN if is_after_account else _MAY_HOLD_AT
    if (
        authority.count("@") > 1
        or "@" in path
        or "#" in before_last_at
        or any(not separator or key not in may_hold for key, separator, _ in keys)
    ):
        secret = before_last_at.partition(":")[2] or before_last_at
        written = [f"'{sign}' as %{ord(sign):02X}" for sign in "@/?#" if sign in secret]
        raise AddressError(
            "holds a user or a password with a sign that has to be encoded: write "
            + ", ".join(written or ["'@' as %40"])
        )
    if "#" in rest:
        raise AddressError("holds a '#': write it as %23")
    if _HALF_ESCAPE.search(rest):
        raise AddressError("holds a '%' that begins no code of a character: write it as %25")


def _hosts(host_list: str) -> Iterator[Host]:
    if not host_list:
        return
    for spec in host_list.split(","):
        if spec.startswith("["):
            bracketed = _BRACKETED.fullmatch(spec)
            name = "" if bracketed is None else _decoded("host", bracketed[1])
            if bracketed is None or not _is_ipv6(name):
                raise AddressError("has a host in brackets that is no IPv6 address")
            yield Host(name, _port(bracketed[2]))
            continue
        name, _, port = spec.partition(":")
        if ":" in port:
            raise AddressError("has an IPv6 address without brackets; write [ADDRESS]:PORT")
        decoded = _decoded("host", name) or ("localhost" if port else "")
        if not decoded.startswith("/") and not _HOST_NAME.fullmatch(decoded):
            raise AddressError(
                "has a host that is no name; after the '@' write HOST:PORT/DATABASE,"
                " and several hosts with commas between them"
            )
        yield Host(decoded, _port(port))


def _is_ipv6(name: str) -> bool:
    try:
        IPv6Address(name)
    except ValueError:
        return False
    return True


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MAX_PORT:
        raise AddressError(
            f"has a port that is no number from 1 to {MAX_PORT:,}; write"
            " postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    return int(text)


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        if not pair:
            continue
        key, separator, value = pair.partition("=")
        if not separator:
            raise AddressError("has a parameter without '='; after the '?' write NAME=VALUE")
        # Some libraries write a space as a plus; only here can it be meant so.
        plain = value.replace("+", " ") if key == "options" else value
        yield _decoded("name of a parameter", key), _decoded(f"parameter {key}", plain)


def _decoded(what: str, text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise AddressError(f"has a {what} that is not UTF-8 when decoded") from None
    if "\0" in decoded:
        raise AddressError(f"has a {what} with a NUL in it")
    return decoded
