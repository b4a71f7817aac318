"""The driver's errors become the library's, the same ones the stock recorder raises."""

import asyncpg
import psycopg
import psycopg.errors
import pytest
from eventsourcing import persistence
from eventsourcing.persistence import (
    DataError,
    InterfaceError,
    OperationalError,
    PersistenceError,
)

from meeting_service.store.postgres.persistence_errors import DRIVER_ERRORS, translated

READ_ONLY = "25006"

STATES = sorted(
    {
        error.sqlstate
        for error in vars(asyncpg.exceptions).values()
        if isinstance(error, type)
        and issubclass(error, asyncpg.PostgresError)
        and getattr(error, "sqlstate", None)
    }
    & set(psycopg.errors._sqlcodes)
)


def as_the_stock_recorder_says(state: str) -> str:
    """Name the DB-API class of a SQLSTATE, which the library has a twin of."""
    kinds = (kind for kind in psycopg.errors.lookup(state).__mro__ if kind.__module__ == "psycopg")
    return next(kind.__name__ for kind in kinds)


def test_an_error_has_the_class_the_stock_recorder_gives_it():
    assert len(STATES) > 200
    wrong = [state for state in STATES if _class_of(state) != as_the_stock_recorder_says(state)]
    assert wrong == [READ_ONLY]


def test_a_database_that_only_reads_is_unreachable_for_us():
    error = asyncpg.PostgresError.new({"C": READ_ONLY, "M": "read-only transaction"})
    assert type(translated(error)) is OperationalError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError("no"), OperationalError),
        (TimeoutError(), OperationalError),
        (asyncpg.ConnectionDoesNotExistError("closed"), OperationalError),
        (asyncpg.InterfaceError("connection is closed"), InterfaceError),
        (asyncpg.exceptions._base.DataError("not a number"), DataError),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), DataError),
    ],
)
def test_the_driver_and_the_network_have_their_classes_too(
    error: Exception, expected: type[PersistenceError]
):
    assert isinstance(error, DRIVER_ERRORS)
    assert type(translated(error)) is expected


def test_the_librarys_own_errors_pass_as_they_are():
    error = persistence.IntegrityError("taken")
    assert translated(error) is error


def _class_of(state: str) -> str:
    return type(translated(asyncpg.PostgresError.new({"C": state, "M": "no"}))).__name__
