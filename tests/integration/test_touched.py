"""Marks: a table that was written to has another, and what writes nothing leaves them alone."""

from collections.abc import Iterator, Mapping

import pytest

from flagsnap.loss.values import TableKey
from flagsnap.postgres.connection import Address, Connection, connect
from flagsnap.postgres.present import read_present
from flagsnap.postgres.touched import Mark, read_marks
from tests.fix_databases import Database

TABLES = """
    CREATE TYPE pair AS (one int, two text);
    CREATE TABLE a (id int PRIMARY KEY, said text, both_ pair); CREATE TABLE b (id int);
    INSERT INTO a SELECT n, 'said ' || n, ROW(n, 'x')::pair FROM generate_series(1, 100) n;
    CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (1) TO (1000);
"""


@pytest.fixture
def filled(database: Database) -> Database:
    database.execute(TABLES)
    return database


@pytest.fixture
def connection(filled: Database) -> Iterator[Connection]:
    with connect(Address.parse(filled.url), "marks") as connection:
        yield connection


def touched(before: Mapping[TableKey, Mark], after: Mapping[TableKey, Mark]) -> set[str]:
    return {key[1] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT * FROM a", set()),
        ("ANALYZE", set()),
        ("VACUUM", set()),
        ("CREATE INDEX ON a (said)", set()),
        ("UPDATE a SET said = 'x' WHERE false", set()),
        ("INSERT INTO a VALUES (101)", {"a"}),
        ("UPDATE a SET said = said WHERE id = 1", {"a"}),
        ("DELETE FROM a WHERE id = 100", {"a"}),
        ("INSERT INTO p VALUES (1)", {"p_1"}),
        ("TRUNCATE b", {"b"}),
        ("COPY b FROM PROGRAM 'echo 1'", {"b"}),
        ("ALTER TABLE a DROP said; ALTER TABLE a ADD said text", {"a"}),
        ("ALTER TYPE pair DROP ATTRIBUTE two; ALTER TYPE pair ADD ATTRIBUTE two text", {"a", "b", "p_1"}),
        ("ALTER TABLE a ALTER id TYPE bigint", {"a"}),
        ("CREATE TABLE c (id int)", {"c"}),
        ("DROP TABLE b", {"b"}),
        ("DROP TABLE b; CREATE TABLE b (id int)", {"b"}),
        ("ALTER TABLE b RENAME TO c", {"b", "c"}),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_what_was_written_to(
    filled: Database, connection: Connection, statement: str, tables: set[str], own: bool
) -> None:
    before = read_marks(connection)
    assert read_marks(connection) == before
    if own:
        connection.execute(statement.encode())
    else:
        filled.execute(statement)  # in a session that ends, as it were, now
    assert touched(before, read_marks(connection)) == tables


def test_what_a_session_has_not_told_yet_is_in_doubt(filled: Database, connection: Connection) -> None:
    before = read_marks(connection)
    other = filled.connect()
    other.execute("UPDATE b SET id = 1")
    assert touched(before, read_marks(connection, patience=0.1)) == {"a", "b", "p_1"}
    other.close()
    assert touched(before, read_marks(connection)) == set()


def test_what_is_present(filled: Database, connection: Connection) -> None:
    filled.execute("CREATE TABLE nothing (); CREATE VIEW v AS SELECT 1; ALTER TABLE a DROP said, ADD more text")
    connection.execute("CREATE TEMPORARY TABLE passing (id int)")
    names = dict(filled.rows("SELECT oid::bigint, relname FROM pg_class"))
    present = {names[oid]: set(numbers) for oid, numbers in read_present(connection).items()}
    assert present == {"a": {1, 3, 4}, "b": {1}, "p": {1}, "p_1": {1}, "nothing": set()}
