"""The refill of whole rows: tables that came back empty, that something else has filled, or that lost some rows."""

import pytest

from flagsnap.errors import FlagsnapError
from flagsnap.results import Refilled
from tests.fix_servers import ALL_MAJORS
from tests.integration.refills import Refills, item, refills

__all__ = ["refills"]

TREE = (
    "CREATE TABLE team (id int PRIMARY KEY, name text UNIQUE)",
    "CREATE TABLE node (id int PRIMARY KEY, parent int REFERENCES node, team int REFERENCES team ON DELETE CASCADE)",
    "INSERT INTO team SELECT n, 'team ' || n FROM generate_series(1, 5) n",
    "INSERT INTO node SELECT n, nullif(n - 1, 0), 1 + n % 5 FROM generate_series(1, 20) n",
)


def rows_of(refills: Refills, *tables: str) -> list[list[tuple[object, ...]]]:
    return [refills.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in tables]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_tables_that_came_back_empty(refills: Refills) -> None:
    refills.capture(*TREE)
    before = rows_of(refills, "team", "node")
    refills.run("DELETE FROM node", "DELETE FROM team")
    assert refills.refill(item("node"), item("team")) == [Refilled("public.node", 20), Refilled("public.team", 5)]
    assert rows_of(refills, "team", "node") == before
    again = refills.refill(item("node"), item("team"))
    assert [(each.rows, each.replaced) for each in again] == [(0, 0), (0, 0)]


def test_rows_whose_parents_are_gone_stay_away_with_all_that_refers_to_them(refills: Refills) -> None:
    refills.capture(
        *TREE,
        "CREATE TABLE leaf (id int PRIMARY KEY, node int REFERENCES node)",
        "INSERT INTO leaf SELECT n, n FROM generate_series(1, 20) n",
    )
    refills.run("DELETE FROM leaf", "DELETE FROM node", "DELETE FROM team WHERE id = 4")  # that of nodes 3, 8, 13, 18
    done = refills.refill(item("leaf"), item("node"))
    assert done == [Refilled("public.leaf", 2, 0, 18), Refilled("public.node", 2, 0, 18)]
    assert refills.rows("SELECT id FROM node ORDER BY id") == [(1,), (2,)]


def test_a_circle_of_references(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE a (id int PRIMARY KEY, b int)",
        "CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a)",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE",
        "INSERT INTO a SELECT n, NULL FROM generate_series(1, 9) n",
        "INSERT INTO b SELECT n, n FROM generate_series(1, 9) n",
        "UPDATE a SET b = id",
    )
    before = rows_of(refills, "a", "b")
    refills.run("TRUNCATE a, b")
    assert refills.refill(item("a"), item("b")) == [Refilled("public.a", 9), Refilled("public.b", 9)]
    assert rows_of(refills, "a", "b") == before


def test_the_snapshots_rows_win(refills: Refills) -> None:
    refills.capture(*TREE, "CREATE UNIQUE INDEX ON team (lower(name)) WHERE id < 100")
    before = rows_of(refills, "team")
    # The reverse code made the teams anew: one is what it was, three have each other's names, one is new.
    refills.run(
        "DELETE FROM node",
        "DELETE FROM team",
        "INSERT INTO team VALUES (1, 'team 1'), (2, 'TEAM 3'), (3, 'team 2'), (4, 'other'), (70, 'Team 5'), (80, 'x')",
    )
    done = refills.refill(item("team"))
    assert [(each.rows, each.replaced, each.skipped) for each in done] == [(4, 4, 0)]
    assert done[0].detail == "there were rows already"
    refills.run("DELETE FROM team WHERE id = 80")
    assert rows_of(refills, "team") == before


def test_rows_stay_where_nobody_knows_how_they_came_there(refills: Refills) -> None:
    refills.capture(*TREE)
    refills.run("DELETE FROM node", "DELETE FROM team", "INSERT INTO team VALUES (1, 'mine')")
    done = refills.refill(item("team", overwrite=False))
    assert [(each.rows, each.skipped, bool(each.detail)) for each in done] == [(0, 5, True)]
    assert refills.rows("SELECT * FROM team") == [(1, "mine")]


def test_what_is_in_the_way_and_referred_to_is_an_error_that_names_it(refills: Refills) -> None:
    refills.capture(*TREE)
    refills.run(
        "DELETE FROM node",
        "DELETE FROM team",
        "INSERT INTO team VALUES (9, 'team 1')",
        "INSERT INTO node VALUES (1, NULL, 9)",
    )
    before = refills.state()
    with pytest.raises(FlagsnapError, match=r"the refill of public.team failed: .* public.node refers to them"):
        refills.refill(item("team"))
    assert refills.state() == before


def test_a_table_without_a_key(refills: Refills) -> None:
    refills.capture("CREATE TABLE t (a int, b text)", "INSERT INTO t SELECT n % 3, 'b' FROM generate_series(1, 9) n")
    before = rows_of(refills, "t")
    refills.run("TRUNCATE t")
    assert refills.refill(item("t", key=())) == [Refilled("public.t", 9)]
    assert rows_of(refills, "t") == before
    refills.run("DELETE FROM t WHERE a = 1")
    assert refills.refill(item("t", key=())) == [Refilled("public.t", 9, 6, 0, "all rows that were there gave way")]
    assert rows_of(refills, "t") == before
    done = refills.refill(item("t", key=(), condition="a = 1"))
    assert [(each.rows, each.skipped) for each in done] == [(0, 3)]
    assert rows_of(refills, "t") == before


def test_only_the_rows_that_a_condition_names(refills: Refills) -> None:
    refills.capture(*TREE)
    refills.run("DELETE FROM node WHERE id > 10")
    assert refills.refill(item("node", condition="node.id BETWEEN 11 AND 15"), item("team", condition="no_such")) == [
        Refilled("public.node", 5, 0, 0, "there were rows already"),
        Refilled("public.team", 0, 0, 0, 'which rows are meant cannot be found out: column "no_such" does not exist'),
    ]
    assert refills.rows("SELECT count(*), max(id) FROM node") == [(15, 15)]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_sequences_go_on_where_they_were(refills: Refills) -> None:
    table = "(id {}, a int GENERATED ALWAYS AS (1) STORED, down bigint)"
    made = (
        f"CREATE TABLE plain {table.format('serial PRIMARY KEY')}",
        f"CREATE TABLE identity {table.format('bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY')}",
        "CREATE SEQUENCE falls INCREMENT -1",
        "ALTER TABLE plain ALTER down SET DEFAULT nextval('falls')",
        "ALTER SEQUENCE falls OWNED BY plain.down",
    )
    refills.capture(
        *made,
        "INSERT INTO plain SELECT FROM generate_series(1, 30)",
        "DELETE FROM plain WHERE id > 20",
        "INSERT INTO identity SELECT FROM generate_series(1, 30)",
    )
    before = refills.state()
    refills.run("DROP TABLE plain, identity", *made)
    done = refills.refill(item("plain"), item("identity"))
    assert [each.rows for each in done] == [20, 30]
    assert refills.state() == before
    refills.run("ALTER SEQUENCE plain_id_seq RESTART 1000")
    after = refills.state()
    assert [each.rows for each in refills.refill(item("plain"))] == [0]
    assert refills.state() == after


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_partitioned_and_inherited_tables(refills: Refills) -> None:
    made = (
        "CREATE TABLE part (id int, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE part_a PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE part_b (note text, at date NOT NULL, id int NOT NULL) PARTITION BY LIST (id)",
        "CREATE TABLE part_b_1 PARTITION OF part_b FOR VALUES IN (1, 2, 3)",
        "ALTER TABLE part ATTACH PARTITION part_b FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        "CREATE TABLE child (id int PRIMARY KEY, a int, at date, FOREIGN KEY (a, at) REFERENCES part)",
        "CREATE TABLE heir (id int PRIMARY KEY, note text)",
        "CREATE TABLE heir_a (PRIMARY KEY (id)) INHERITS (heir)",
    )
    refills.capture(
        *made,
        "INSERT INTO part SELECT n, '2026-01-15', 'a' || n FROM generate_series(1, 9) n",
        "INSERT INTO part SELECT n, '2026-02-15', 'b' || n FROM generate_series(1, 3) n",
        "INSERT INTO child SELECT n, n, '2026-01-15' FROM generate_series(1, 9) n",
        "INSERT INTO heir VALUES (1, 'h1')",
        "INSERT INTO heir_a VALUES (1, 'h2'), (2, 'h3')",
    )
    tables = ("part", "child", "heir")
    before = rows_of(refills, *tables)
    refills.run("DROP TABLE child, part, heir_a, heir", *made)
    keys = {"key": ("id", "at")}
    done = refills.refill(
        item("child"),
        item("part_a", **keys),
        item("part", **keys),
        item("part_b_1", **keys),
        item("heir"),
        item("heir_a"),
    )
    assert [(each.object, each.rows) for each in done] == [
        ("public.child", 9),
        ("public.part", 12),
        ("public.heir", 1),
        ("public.heir_a", 2),
    ]
    assert rows_of(refills, *tables) == before
    refills.run("UPDATE part SET note = NULL", "UPDATE heir SET note = NULL")
    done = refills.refill(item("part", "note", **keys), item("part_a", "note", **keys), item("heir", "note"))
    assert [(each.object, each.rows) for each in done] == [("public.part.note", 12), ("public.heir.note", 1)]
    refills.run("UPDATE part SET note = NULL")
    done = refills.refill(item("part_a", "note", **keys), item("heir_a", "note"))
    assert [(each.object, each.rows) for each in done] == [("public.part_a.note", 9), ("public.heir_a.note", 2)]


def test_row_security_hides_nothing(refills: Refills) -> None:
    role = refills.database.role("owner")
    refills.capture(
        f"GRANT CREATE ON SCHEMA public TO {role}",
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        f"ALTER TABLE t OWNER TO {role}",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY p ON t USING (id = 1)",
    )
    refills.run("UPDATE t SET a = NULL")
    address = type(refills.address).parse(refills.database.server.url(refills.database.name, role))
    assert refills.refill(item("t", "a"), address=address) == [Refilled("public.t.a", 2)]
    refills.run("UPDATE t SET a = NULL", "ALTER TABLE t FORCE ROW LEVEL SECURITY")
    with pytest.raises(FlagsnapError, match=r"the refill of public.t.a failed: .*row-level security policy"):
        refills.refill(item("t", "a"), address=address)
    assert refills.rows("SELECT count(a) FROM t") == [(0,)]


def test_a_table_whose_rows_are_large(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        r"INSERT INTO t SELECT n, repeat(E'\\.\n\t' || n, 40000) FROM generate_series(1, 30) n",
    )
    before = rows_of(refills, "t")
    refills.run("TRUNCATE t")
    assert refills.refill(item("t")) == [Refilled("public.t", 30)]
    assert rows_of(refills, "t") == before
