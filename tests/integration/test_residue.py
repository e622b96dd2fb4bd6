"""Residue: after the way back, so many rows are new, gone and others, counted against the dump."""

import pytest

from flagsnap.loss.values import TableKey
from flagsnap.progress import Silent
from flagsnap.rehearsing.residue import find_residue
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.refills import Refills

KEYED = """
    CREATE TABLE a (id int PRIMARY KEY, said text, share float8, at timestamptz DEFAULT '2026-11-22 14:02:00.5+00');
    INSERT INTO a SELECT n, 'said ' || n, n / 3.0 FROM generate_series(1, 200) n
"""
KEYLESS = "CREATE TABLE a (id int, said text); INSERT INTO a SELECT n % 20, 'x' FROM generate_series(1, 200) n"


@pytest.fixture
def after(flagsnap: Flagsnap, database: Database) -> Refills:
    return Refills(database, flagsnap)


def residue(after: Refills, *tables: str) -> dict[str, tuple[int, ...]]:
    """What was added, removed and changed in these tables."""
    keys: list[TableKey] = [("public", table) for table in tables]
    found = find_residue(after.source(), keys, after.address, Silent())
    assert [each.table for each in found] == keys
    return {table[1]: counts for table, *counts in found}  # type: ignore[misc]


def of_a(after: Refills) -> tuple[int, ...]:
    return tuple(residue(after, "a")["a"])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT", (0, 0, 0)),
        ("UPDATE a SET said = said; VACUUM", (0, 0, 0)),
        ("INSERT INTO a SELECT n, 'new' FROM generate_series(201, 203) n", (3, 0, 0)),
        ("DELETE FROM a WHERE id <= 5", (0, 5, 0)),
        ("UPDATE a SET said = 'y' WHERE id <= 7", (0, 0, 7)),
        ("UPDATE a SET said = NULL WHERE id = 1; UPDATE a SET said = '' WHERE id = 2", (0, 0, 2)),
        ("UPDATE a SET at = at + interval '1 us' WHERE id = 3", (0, 0, 1)),
        ("UPDATE a SET id = 500 WHERE id = 1", (1, 1, 0)),
        ("DELETE FROM a WHERE id < 3; INSERT INTO a VALUES (300); UPDATE a SET share = 0 WHERE id = 9", (1, 2, 1)),
        ("TRUNCATE a", (0, 200, 0)),
        ("DROP TABLE a", (0, 200, 0)),
        ("ALTER TABLE a DROP said; ALTER TABLE a ADD said text", (0, 0, 200)),
        ("ALTER TABLE a RENAME said TO old; ALTER TABLE a ADD said text; UPDATE a SET said = old", (0, 0, 0)),
        ("ALTER TABLE a ADD more text DEFAULT 'x'", (0, 0, 0)),
        ("ALTER TABLE a DROP CONSTRAINT a_pkey; UPDATE a SET said = 'y' WHERE id <= 7", (7, 7, 0)),
        (
            "ALTER TABLE a DROP id; ALTER TABLE a ADD id serial PRIMARY KEY; UPDATE a SET said = '' WHERE id = 1",
            (0, 0, 1),
        ),
    ],
)
def test_with_a_primary_key(after: Refills, statement: str, expected: tuple[int, ...]) -> None:
    after.capture(KEYED)
    after.run(*statement.split("; "))
    assert of_a(after) == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT", (0, 0, 0)),
        ("INSERT INTO a VALUES (1, 'x')", (1, 0, 0)),
        ("DELETE FROM a WHERE ctid IN (SELECT min(ctid) FROM a)", (0, 1, 0)),
        ("UPDATE a SET said = 'y' WHERE id = 1", (10, 10, 0)),
        ("UPDATE a SET id = 1 WHERE id = 2", (10, 10, 0)),
        ("TRUNCATE a", (0, 200, 0)),
    ],
)
def test_without_a_key(after: Refills, statement: str, expected: tuple[int, ...]) -> None:
    after.capture(KEYLESS)
    after.run(statement)
    assert of_a(after) == expected


def test_odd_tables(after: Refills) -> None:
    """Types without equality, keys of several columns, columns that are computed, parts of a table, odd names."""
    after.capture(
        """
        CREATE TABLE shapes (name text, n int, j json, p point, poly polygon, raw bytea, price money,
            PRIMARY KEY (n, name));
        INSERT INTO shapes SELECT E'a,"\\t' || n, n % 7, '{"b": 1,  "a": 2}', point(n, n), NULL, E'\\\\x00ff', n + 0.5
            FROM generate_series(1, 50) n;
        CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
        INSERT INTO computed SELECT n FROM generate_series(1, 5) n;
        CREATE TABLE p (id int, said text) PARTITION BY RANGE (id);
        CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (1) TO (1000);
        INSERT INTO p SELECT n, 'x' FROM generate_series(1, 10) n;
        CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
        CREATE TABLE "Odd ""name" ("Id x" int PRIMARY KEY, "select" text); INSERT INTO "Odd ""name" VALUES (1, 'x');
        CREATE TABLE empty (id int PRIMARY KEY)
        """
    )
    tables = ("shapes", "computed", "p_1", "nothing", 'Odd "name', "empty")
    assert set(map(tuple, residue(after, *tables).values())) == {(0, 0, 0)}
    after.run(
        """UPDATE shapes SET j = '{"b": 1, "a": 2}' WHERE n = 1""",
        "UPDATE shapes SET p = point(0, 0) WHERE n = 2",
        "UPDATE computed SET id = 9 WHERE id = 1",
        "UPDATE p SET said = 'y' WHERE id < 3",
        "INSERT INTO nothing DEFAULT VALUES",
        """UPDATE "Odd ""name" SET "select" = 'y'""",
        "INSERT INTO empty VALUES (1)",
        "CREATE TABLE new (id int PRIMARY KEY); INSERT INTO new VALUES (1), (2)",
    )
    assert {name: tuple(counts) for name, counts in residue(after, *tables, "new", "never").items()} == {
        "shapes": (0, 0, 15),
        "computed": (1, 1, 0),
        "p_1": (2, 2, 0),
        "nothing": (1, 0, 0),
        'Odd "name': (0, 0, 1),
        "empty": (1, 0, 0),
        "new": (2, 0, 0),
        "never": (0, 0, 0),
    }


def test_the_database_is_left_as_it_is(after: Refills) -> None:
    after.capture(KEYED, "CREATE TABLE other (id int)")
    after.run("UPDATE a SET said = 'y' WHERE id = 1", "ALTER TABLE a ADD CHECK (said <> 'z')")
    name = after.database.name
    with after.database.connect("postgres") as administrator:
        for setting in ("TimeZone TO 'Asia/Kolkata'", "DateStyle TO 'German'", "default_transaction_read_only TO on"):
            administrator.execute(f'ALTER DATABASE "{name}" SET {setting}'.encode())
    before = after.state()
    assert of_a(after) == (0, 0, 1)
    assert after.state() == before
