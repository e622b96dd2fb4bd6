"""Digests: the same rows have the same one, whatever order they and the columns have; any other rows have another."""

import random
from typing import Any

import pytest
from psycopg import sql

from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.digests import Digest, digest_tables
from flagsnap.postgres.facts import read_row_tables
from tests.fix_databases import Database
from tests.integration.sample_schemas import EVERYTHING

A = ("public", "a")
VALUES: list[tuple[Any, ...]] = [
    (1, None, 0.1, None),
    (2, "", 1e-300, "2026-11-22 14:02:00.000001+00"),
    (3, "NULL", float("nan"), "infinity"),
    (4, 'a,b)"\\', -0.0, "2026-03-29 02:30:00+01"),
    (4, 'a,b)"\\', -0.0, "2026-03-29 02:30:00+01"),
]


def digests(database: Database, *tables: tuple[str, str], seconds: float = 60, url: str = "") -> dict[Any, Digest]:
    """The digests of these tables, or of all."""
    with connect(Address.parse(url or database.url), "digests") as connection:
        return digest_tables(connection, tables or list(read_row_tables(connection)), seconds)


def digest(database: Database, url: str = "") -> Digest:
    """That of the table a."""
    return digests(database, A, url=url)[A]


def fill(database: Database, columns: str, values: list[tuple[Any, ...]]) -> None:
    """Make the table a, with these columns and rows."""
    database.execute(f"DROP TABLE IF EXISTS a; CREATE TABLE a ({columns})")
    with database.connect() as connection:
        connection.cursor().executemany("INSERT INTO a (id, said, share, at) VALUES (%s, %s, %s, %s)", values)


COLUMNS = "id int, said text, share float8, at timestamptz"


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_and_of_columns_does_not_count(database: Database, seed: int) -> None:
    fill(database, COLUMNS, VALUES)
    expected = digest(database)
    assert expected.rows == len(VALUES)
    shuffled = random.Random(seed)
    columns = COLUMNS.split(", ")
    fill(database, ", ".join(shuffled.sample(columns, 4)), shuffled.sample(VALUES, len(VALUES)))
    assert digest(database) == expected
    database.execute("VACUUM FULL a")
    database.execute("ALTER TABLE a RENAME said TO was; ALTER TABLE a ADD said text")
    database.execute("UPDATE a SET said = was; ALTER TABLE a DROP was")
    assert digest(database) == expected


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE a SET said = '' WHERE id = 1",
        "UPDATE a SET said = NULL WHERE id = 2",
        "UPDATE a SET said = NULL WHERE id = 3",
        "UPDATE a SET said = said || ' ' WHERE id = 2",
        "UPDATE a SET share = 0.1::float8 + 1e-17 + 2e-17 WHERE id = 1",
        "UPDATE a SET share = 0 WHERE id = 4",
        "UPDATE a SET at = at + interval '1 microsecond' WHERE id = 2",
        "UPDATE a SET id = 1",
        "DELETE FROM a WHERE ctid = (SELECT max(ctid) FROM a)",
        "DELETE FROM a WHERE id = 4",
        "INSERT INTO a SELECT * FROM a WHERE id = 1",
        "UPDATE a SET id = 3 - id WHERE id < 3",
        "TRUNCATE a",
        "ALTER TABLE a ADD more text",
    ],
)
def test_any_change_is_seen(database: Database, change: str) -> None:
    fill(database, COLUMNS, VALUES)
    before = digest(database)
    database.execute(change)
    assert digest(database) != before


def test_one_value_of_many_rows_is_seen(database: Database) -> None:
    database.execute("CREATE TABLE a AS SELECT n AS id, md5(n::text) AS said FROM generate_series(1, 100000) n")
    before = digest(database)
    database.execute("UPDATE a SET said = 'x' || substr(said, 2) WHERE id = 77777")
    after = digest(database)
    assert (before.rows, after.rows) == (100_000, 100_000)
    assert before.sum != after.sum
    database.execute("UPDATE a SET said = md5(id::text)")
    assert digest(database) == before


def test_what_a_role_or_the_database_is_set_to_does_not_count(database: Database) -> None:
    fill(database, COLUMNS, VALUES)
    database.execute(
        "CREATE SCHEMA other; CREATE TABLE other.\"B\" (); ALTER TABLE a ADD span interval DEFAULT '-1 day 2 hours',"
        " ADD raw bytea DEFAULT '\\x00ff', ADD price money DEFAULT 1.5, ADD kind regclass DEFAULT 'other.\"B\"'"
    )
    before = digest(database)
    name, administrator = sql.Identifier(database.name), database.connect("postgres")
    for setting, value in {
        "TimeZone": "Asia/Kolkata",
        "DateStyle": "German, DMY",
        "IntervalStyle": "iso_8601",
        "extra_float_digits": "-3",
        "bytea_output": "escape",
        "search_path": "other",
        "quote_all_identifiers": "on",
        "default_transaction_read_only": "on",
        "statement_timeout": "1h",
    }.items():
        administrator.execute(
            sql.SQL("ALTER DATABASE {} SET {} TO {}").format(name, sql.Identifier(setting), sql.Literal(value))
        )
    assert database.rows("SHOW DateStyle") == [("German, DMY",)]
    assert digest(database) == before


def test_every_type_and_table_has_one(database: Database) -> None:
    """Types without equality; no columns; parts and heirs, each for itself; columns that cannot be read."""
    database.execute(EVERYTHING)
    database.execute(
        """
        CREATE SCHEMA own; SET search_path TO own;
        CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
        CREATE TABLE strange (j json, p point, c circle, b bit(3)); INSERT INTO strange VALUES
            ('{"a": 1}', '(1,2)', '<(1,2),3>', '101'), (NULL, NULL, NULL, NULL);
        CREATE TABLE parts (id int) PARTITION BY RANGE (id);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10); INSERT INTO parts VALUES (1), (2);
        CREATE TABLE parent (id int); CREATE TABLE heir () INHERITS (parent); INSERT INTO heir VALUES (1);
        CREATE TABLE made (id int, twice int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO made VALUES (1);
        """
    )
    with connect(Address.parse(database.url), "digests") as connection:
        tables = list(read_row_tables(connection))
    found = digests(database)
    assert set(found) == set(tables)
    rows = {name: found["own", name].rows for name in ("nothing", "strange", "parts_1", "parent", "heir", "made")}
    assert rows == {"nothing": 2, "strange": 2, "parts_1": 2, "parent": 0, "heir": 1, "made": 1}
    assert found["own", "parent"] == Digest(0, "0")
    assert found["own", "nothing"].sum != "0"
    assert ("own", "parts") not in found


def test_without_time_the_smallest_tables_come_first(database: Database) -> None:
    """A little on disk, and three gigabytes of text to hash."""
    database.execute(
        "CREATE TABLE small (id int); CREATE TABLE slow AS SELECT repeat('x', 10000000) AS said;"
        "INSERT INTO slow SELECT said FROM slow, generate_series(1, 300)"
    )
    small, slow = ("public", "small"), ("public", "slow")
    assert set(digests(database, slow, small, seconds=1)) == {small}
    assert digests(database, slow, small, seconds=0) == {}


def test_what_cannot_be_had_hides_none_of_the_others(database: Database) -> None:
    database.execute("CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE secret (id int)")
    reader = database.role("reader")
    database.execute(f"GRANT SELECT ON a, b TO {reader}")
    gone, b = ("public", "gone"), ("public", "b")
    found = digests(database, gone, A, ("public", "secret"), b, url=database.server.url(database.name, reader))
    assert set(found) == {A, b}
