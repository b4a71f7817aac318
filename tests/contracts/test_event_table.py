"""Our event table is, to the last storage parameter, the one the library makes for itself."""

import psycopg
import pytest

from tests.contracts.stock_library import TABLE, stock_recorder

STOCK = "stock"

FACTS = {
    "table": """
        SELECT c.relkind, c.relpersistence, c.relispartition, c.relreplident, c.reloptions, a.amname
        FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = %(table)s::regclass""",
    "columns": """
        SELECT a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attidentity, a.attgenerated, a.attstorage, a.attcompression, a.attcollation,
            pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0 ORDER BY a.attnum""",
    "constraints": """
        SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = %(table)s::regclass ORDER BY conname""",
    "indexes": """
        SELECT c.relname, pg_get_indexdef(c.oid), c.reloptions
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = %(table)s::regclass ORDER BY c.relname""",
    "sequence": """
        SELECT c.relname, s.seqtypid::regtype::text, s.seqstart, s.seqincrement, s.seqmax,
            s.seqmin, s.seqcache, s.seqcycle
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        WHERE s.seqrelid = pg_get_serial_sequence(%(table)s, 'notification_id')::regclass""",
    "triggers": "SELECT tgname FROM pg_trigger WHERE tgrelid = %(table)s::regclass",
}


@pytest.mark.parametrize("fact", FACTS)
def test_our_event_table_is_the_one_the_library_makes(database_url: str, fact: str):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {STOCK}")
        with stock_recorder(database_url, STOCK):
            ours, theirs = (_fact(connection, fact, schema) for schema in ("public", STOCK))
    assert ours == theirs
    assert ours or fact == "triggers"


def test_the_library_finds_nothing_to_create(database_url: str):
    with psycopg.connect(database_url, autocommit=True) as connection:
        before = {fact: _fact(connection, fact, "public") for fact in FACTS}
        with stock_recorder(database_url):
            assert {fact: _fact(connection, fact, "public") for fact in FACTS} == before


def _fact(connection: psycopg.Connection, fact: str, schema: str) -> list[str]:
    connection.execute(f"SET search_path TO {schema}")
    rows = connection.execute(FACTS[fact], {"table": TABLE}).fetchall()
    return [str(row).replace(f" {schema}.", " ") for row in rows]
