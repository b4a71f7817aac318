"""The driver's errors as the library's, so that no caller has to know the driver."""

import asyncpg
from eventsourcing.persistence import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)

# The classes of SQLSTATE, as psycopg has them, which is how the stock recorder comes to its errors.
_STATES: dict[type[DatabaseError], str] = {
    DataError: "22",
    IntegrityError: "23",
    InternalError: "24 25 2B 2D XX",
    NotSupportedError: "0A",
    OperationalError: "08 27 28 2F 38 39 3B 40 53 54 55 57 58 F0 HV",
    ProgrammingError: "10 20 21 26 34 3D 3F 42 44 P0",
}
_BY_CLASS = {state: error for error, states in _STATES.items() for state in states.split()}

_READ_ONLY = "25006"
"""What a standby answers to a writer; the server that writes may be back any moment."""


class NotWritableError(ConnectionError):
    """A server was reached and cannot be written to; another may be the primary by now."""


DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    UnicodeError,
)
"""Everything the driver raises about the database, the network and the values it is given."""


def translated(error: BaseException) -> PersistenceError:
    """Return the library's error for one of the driver's."""
    text = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else repr(error))
    match error:
        case PersistenceError():
            return error
        case asyncpg.PostgresError():
            state = str(getattr(error, "sqlstate", None) or "")
            if state == _READ_ONLY:
                return OperationalError(f"the database only reads: {text}")
            return _BY_CLASS.get(state[:2], DatabaseError)(text)
        case asyncpg.InterfaceError() if not isinstance(error, ValueError):
            return InterfaceError(text)
        case asyncpg.InternalClientError():
            return InterfaceError(text)  # a connection that broke in the middle of something
        case ValueError():
            return DataError(text)  # a value the driver cannot send
        case OSError():
            what = "only reads" if isinstance(error, NotWritableError) else "is unreachable"
            return OperationalError(f"the database {what}: {text}")
        case _:
            return DatabaseError(text)


def is_not_writable(error: BaseException) -> bool:
    """Return whether a server refused because it is no primary, and so is to be left."""
    return getattr(error, "sqlstate", None) == _READ_ONLY
