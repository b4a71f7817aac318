"""From the driver's errors to the library's, so that no caller has to know the driver."""

from collections.abc import Iterator
from contextlib import contextmanager

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

# By the first two characters of the SQLSTATE; the classes are those psycopg puts them in, which
# is what the stock recorder raises.
_BY_CLASS: dict[str, type[DatabaseError]] = {
    "08": OperationalError,
    "0A": NotSupportedError,
    "20": ProgrammingError,
    "21": ProgrammingError,
    "22": DataError,
    "23": IntegrityError,
    "24": InternalError,
    "25": InternalError,
    "26": ProgrammingError,
    "28": OperationalError,
    "3D": ProgrammingError,
    "3F": ProgrammingError,
    "40": OperationalError,
    "42": ProgrammingError,
    "53": OperationalError,
    "54": OperationalError,
    "55": OperationalError,
    "57": OperationalError,
    "58": OperationalError,
    "P0": ProgrammingError,
    "XX": InternalError,
}

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    UnicodeError,
)
"""Everything the driver raises about the database, the network and the values it is given."""


def translated(error: BaseException) -> PersistenceError:
    """Give the library's error for one of the driver's."""
    text = str(error) or type(error).__name__
    match error:
        case PersistenceError():
            return error
        case asyncpg.PostgresError():
            state = str(getattr(error, "sqlstate", None) or "")
            return _BY_CLASS.get(state[:2], DatabaseError)(text)
        case asyncpg.InterfaceError() if not isinstance(error, ValueError):
            return InterfaceError(text)
        case ValueError():
            return DataError(text)  # a value the driver cannot send
        case OSError():
            return OperationalError(f"the database is away: {text}")
        case _:
            return DatabaseError(text)


@contextmanager
def library_errors() -> Iterator[None]:
    """Turn the driver's errors inside into the library's.

    Raises: the `PersistenceError` tree.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error) from error
