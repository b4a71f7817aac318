"""Why a database cannot be used, in one line that is true and says what to do."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import asyncpg
from eventsourcing.persistence import OperationalError, PersistenceError

from meeting_service.database_address import DatabaseAddress
from meeting_service.store.postgres.passwords import password_advice
from meeting_service.store.postgres.persistence_errors import DRIVER_ERRORS, NotWritableError
from meeting_service.store.postgres.tls import TlsFileError


class UnsuitableDatabase(Exception):
    """The database, or its address, has to be changed before it can be used."""

    def __init__(self, text: str, address: DatabaseAddress) -> None:
        super().__init__(text)
        self.address = address


class UnavailableDatabase(OperationalError):
    """The database cannot be used at present; the same address may do later."""


_READ_ONLY = "default_transaction_read_only"


class _Rule(NamedTuple):
    """What is to be said of a refusal.

    Poolers know hardly any state but 08P01, and say the rest in words.
    """

    states: tuple[str, ...]
    pattern: str
    text: str

    def fits(self, state: str, said: str) -> bool:
        return state in self.states or re.search(self.pattern, said, re.IGNORECASE) is not None


_WANTS_TLS = "{place} wants TLS, and the address does not: write sslmode=require"
_PASSING = (
    _Rule(
        ("53300",),
        r"too many (clients|connections)|no more connections|connection slots|max clients?\b",
        "{place} has no connection left: {said}; end others, or raise max_connections or the"
        " user's limit (a process wants up to 11)",
    ),
    _Rule(
        ("57P03",),
        r"starting up|shutting down|recovery mode",
        "{place} takes no connections at present: {said}; try again",
    ),
    _Rule(
        (),
        r"server login|cannot connect to server|query_wait_timeout|login_retry|server down",
        "{place} is a pooler whose server does not answer: {said}; start the server, or raise the"
        " pooler's pool size",
    ),
)
_PASSING_CLASSES = ("08", "53", "55", "57", "58")
"""Connections, resources, locks, operators and the system: nothing that an address can help."""

_CLOSED = "closed in the middle of operation|unexpected connection_lost"
_LASTING = (
    _Rule(
        (),
        r"(ssl|tls|encrypted|secure).*(required|mandatory|only)|requires? (ssl|tls)|insecure",
        _WANTS_TLS,
    ),
    _Rule(
        ("28P01",),
        r"(password|sasl|scram|md5).*(failed|mismatch|incorrect)|empty password",
        "{place} does not accept the password of {user}: {password}",
    ),
    _Rule(
        ("3D000",),
        r"database \S+ does not exist|no such database",
        "{place} has no database {database}: create it (createdb), or correct the name after the"
        " last '/'",
    ),
    _Rule(
        (),
        r"(role|user) \S+ does not exist|no such user|tenant or user not found",
        "{place} has no user {user}: create it (createuser), or correct the address",
    ),
    _Rule(
        ("28000",),
        r"no pg_hba\.conf entry|rejects connection|not permitted to log in",
        "{place} does not let {user} in: {said}; allow it there (pg_hba.conf, LOGIN)",
    ),
    _Rule(
        (),
        r"configuration parameter|set parameter|value for parameter",
        "{place} does not take a setting of the address: {said}; correct it in options=",
    ),
    _Rule(
        (),
        r"unsupported startup parameter",
        "{place} is a pooler that refuses a parameter of the address: {said}; leave it out",
    ),
)


@contextmanager
def explained(address: DatabaseAddress) -> Iterator[None]:
    """Raise what goes wrong with a database as a line for people.

    Raises: `UnsuitableDatabase`, `UnavailableDatabase`.
    """
    try:
        yield
    except (UnsuitableDatabase, UnavailableDatabase):
        raise
    except DRIVER_ERRORS as error:
        raise explanation(error, address) from error
    except PersistenceError as error:
        # It has the driver's error as its cause.
        cause = error.__cause__
        if cause is None:
            raise
        raise explanation(cause, address) from error


def explanation(
    error: BaseException, address: DatabaseAddress
) -> UnsuitableDatabase | UnavailableDatabase:
    """Return the error that says why a database cannot be used, and what to do."""
    place = ",".join(map(str, address.hosts)) or "the server at the default address"
    # With sslmode=allow TLS is tried second, and it is the first refusal that counts.
    if "rejected SSL" in str(error) and isinstance(error.__cause__, asyncpg.PostgresError):
        error = error.__cause__
    if re.search(_CLOSED, str(error)):
        return UnavailableDatabase(
            f"{place} takes connections and closes them at once: start the PostgreSQL behind it, or"
            " correct the host and the port"
        )
    if isinstance(error, asyncpg.PostgresError):
        return _refusal(error, address, place)
    return _problem_on_the_way(error, address, place)


def _problem_on_the_way(
    error: BaseException, address: DatabaseAddress, place: str
) -> UnsuitableDatabase | UnavailableDatabase:
    if (text := _tls_problem(error, address, place)) is not None:
        return UnsuitableDatabase(text, address)
    match error:
        case asyncpg.InterfaceError():
            return UnsuitableDatabase(
                f"{place} cannot be used with this address: {_said(error)}", address
            )
        case NotWritableError():
            return _not_writable(error, address, place)
        case TimeoutError():
            return UnavailableDatabase(
                f"{place} did not answer in time: start it or correct the host and the port; of a"
                " pooler, raise the pool size"
            )
        case socket.gaierror():
            return UnavailableDatabase(
                f"the host of {place} cannot be found ({error.strerror}): correct its name"
            )
        case _:
            return UnavailableDatabase(
                f"no PostgreSQL answers at {place} ({_reason(error)}): start it, or correct the"
                " host and the port"
            )


def _not_writable(
    error: NotWritableError, address: DatabaseAddress, place: str
) -> UnsuitableDatabase | UnavailableDatabase:
    said = str(error)
    what = said if said.startswith("none of") else f"{place} cannot be written to: {said}"
    if _READ_ONLY in address.settings:
        return UnsuitableDatabase(
            f"{place} cannot be written to: the address sets {_READ_ONLY}: leave it out", address
        )
    if _READ_ONLY in said:
        return UnavailableDatabase(
            f"{what}: free space if its disk is full, or ALTER ROLE or ALTER DATABASE ... RESET"
            f" {_READ_ONLY}"
        )
    return UnavailableDatabase(f"{what}; name the primary, or start it")


def _refusal(
    error: asyncpg.PostgresError, address: DatabaseAddress, place: str
) -> UnsuitableDatabase | UnavailableDatabase:
    said = _said(error)
    state = str(getattr(error, "sqlstate", None) or "")
    words = {
        "place": place,
        "user": f'"{address.user}"' if address.user else "the user",
        "database": f'"{address.database or address.user or ""}"',
        "said": said,
        "password": password_advice(address),
    }
    for rule in _PASSING:
        if rule.fits(state, said):
            return UnavailableDatabase(rule.text.format(**words))
    # It says so of every connection without TLS; only if the address forbids TLS that is the cause.
    if re.search(r"no encryption|SSL off", said) and address.tls.get("sslmode") == "disable":
        return UnsuitableDatabase(_WANTS_TLS.format(**words), address)
    for rule in _LASTING:
        if rule.fits(state, said):
            return UnsuitableDatabase(rule.text.format(**words), address)
    if state[:2] in _PASSING_CLASSES:
        return UnavailableDatabase(f"{place} cannot be used at present: {said}; try again")
    return UnsuitableDatabase(f"{place} refused: {said}", address)


def _tls_problem(error: BaseException, address: DatabaseAddress, place: str) -> str | None:
    said = _said(error)
    match error:
        case TlsFileError():
            return said
        case ssl.SSLCertVerificationError():
            return (
                f"the certificate of {place} is not trusted ({error.verify_message}): name the CA"
                " with sslrootcert=FILE, or use sslrootcert=system if it is a public one"
            )
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or said
            return f"TLS with {place} failed ({reason}): correct its sslmode or its files"
        case ConnectionError() if "rejected SSL" in said:
            # Without TLS a PostgreSQL says so, and then is taken without where the mode allows it.
            mode = address.tls.get("sslmode") or os.environ.get("PGSSLMODE", "prefer")
            if mode in ("allow", "prefer"):
                return f"what answers at {place} is no PostgreSQL: correct the host and the port"
            return (
                f"{place} offers no TLS, and the address wants it: turn it on, or leave sslmode out"
            )
        case asyncpg.InterfaceError() if "root certificate" in said:
            return (
                "the CA that signed the server's certificate is not named: add sslrootcert=FILE, or"
                " sslrootcert=system if it is a public one"
            )
        case _:
            return None


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())


def _reason(error: BaseException) -> str:
    """Return the system's word for it, without the addresses that were tried."""
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "connection refused"
    return getattr(error, "strerror", None) or _said(error) or type(error).__name__
