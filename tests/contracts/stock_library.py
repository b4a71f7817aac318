"""The eventsourcing library's own PostgreSQL classes, over a database of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

TABLE = "meetings_events"


@contextmanager
def stock_recorder(dsn: str, schema: str = "public") -> Iterator[PostgresApplicationRecorder]:
    """The library's recorder on the table of our name, with everything it creates for itself."""
    place = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    datastore = PostgresDatastore(
        place["dbname"], place["host"], place["port"], place["user"], "", schema=schema
    )
    with datastore:
        recorder = PostgresApplicationRecorder(datastore, events_table_name=TABLE)
        recorder.create_table()
        yield recorder


def stock_environment(dsn: str) -> dict[str, str]:
    """What the library's `Application` is configured with to read our table as it is."""
    place = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(place["dbname"]),
        "POSTGRES_HOST": str(place["host"]),
        "POSTGRES_PORT": str(place["port"]),
        "POSTGRES_USER": str(place["user"]),
        "POSTGRES_PASSWORD": "",
        "CREATE_TABLE": "no",
    }
