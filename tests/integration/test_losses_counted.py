"""How losses are counted: in time, in one scan of a table, without writing; and what a restore costs."""

import re

import psycopg
import pytest

from flagsnap.loss.values import Question
from flagsnap.postgres.counting import Count, Counting
from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import TEXT, Project, add_field, create_model, run_sql
from tests.fix_servers import ALL_MAJORS
from tests.integration.test_losses import FIRST, fill, flags, losses

RESET = "the counters were reset since the capture: only the number of rows was compared"


def counted(connection: psycopg.Connection, *questions: Question, seconds: float = 30) -> list[Count]:
    with connection.transaction():
        counts = dict(Counting.within(connection, seconds).answers(questions))
    return [counts[question] for question in questions]


@pytest.fixture
def connection(database: Database) -> psycopg.Connection:
    """A database with a table of ten thousand rows, of which a tenth has no name."""
    database.execute(
        """
        CREATE TABLE flag (id int PRIMARY KEY, name text, size int);
        INSERT INTO flag SELECT n, CASE WHEN n % 10 > 0 THEN 'x' END, n FROM generate_series(1, 10000) AS n;
        ANALYZE flag
        """
    )
    return database.connect()


def question(condition: str | None, table: str = "flag") -> Question:
    return Question("column_dropped", "public", table, "name", condition=condition)


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_counts_are_exact_while_there_is_time(connection: psycopg.Connection) -> None:
    asked = [question(""), question("name IS NULL"), question("size <= 7 -- the rest stays"), question(None)]
    recorded = Question("table_emptied", "public", "gone", recorded=5)
    assert counted(connection, *asked, recorded) == [Count(10000), Count(1000), Count(7), Count(None), Count(5)]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_what_does_not_fit_the_time_is_the_planners_estimate(connection: psycopg.Connection) -> None:
    exact = counted(connection, question(""), question("name IS NULL"), seconds=0)
    assert [each.estimated for each in exact] == [True, True]
    assert exact[0].rows == 10000
    assert exact[1].rows == pytest.approx(1000, rel=0.1)
    slow = question("pg_sleep(0.001) IS NOT NULL")
    (count,) = counted(connection, slow, seconds=0.5)
    assert count.estimated


def test_the_small_tables_are_counted_first(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE small AS SELECT 1 AS name")
    slow, quick = question("pg_sleep(0.001) IS NOT NULL"), question("", "small")
    assert counted(connection, slow, quick, seconds=0.5)[1] == Count(1)


def test_a_table_is_read_once_for_all_questions(connection: psycopg.Connection) -> None:
    asked = [question(f"size = {n}") for n in range(1, 6)]
    connection.execute("SELECT pg_stat_force_next_flush()")  # what came before counts before
    before = connection.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'flag'").fetchall()
    assert counted(connection, *asked) == [Count(1)] * 5
    connection.execute("SELECT pg_stat_force_next_flush()")
    after = connection.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'flag'").fetchall()
    assert after[0][0] - before[0][0] == 1


@pytest.mark.parametrize(
    "condition",
    [
        "name::int > 5", "no_such_column", "no_such_function()", ")", "size / 0 = 1", "nextval('s') > 0",
        "true; COMMIT", "true) FROM flag; DROP TABLE flag; SELECT (true", "size = %s", "(SELECT lo_create(0)) > 0",
    ],
)  # fmt: skip
def test_what_cannot_be_counted_spoils_nothing_else(connection: psycopg.Connection, condition: str) -> None:
    connection.execute("CREATE SEQUENCE s")
    asked = [question("size = 1"), question(condition), question("size = 2"), question("", "no such table")]
    assert counted(connection, *asked) == [Count(1), Count(None), Count(1), Count(None)]
    assert connection.execute("SELECT is_called FROM s").fetchall() == [(False,)]


def test_reverse_sql_means_a_table_with_its_partitions(connection: psycopg.Connection) -> None:
    connection.execute(
        """
        CREATE TABLE log (id int) PARTITION BY RANGE (id);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
        CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20);
        INSERT INTO log SELECT n FROM generate_series(0, 15) AS n
        """
    )
    deleted = Question("rows_deleted", "public", "log", condition="id > 4")
    dropped = Question("column_dropped", "public", "log_1", "id", condition="id > 4")
    assert counted(connection, deleted, dropped) == [Count(11), Count(5)]
    assert counted(connection, deleted, seconds=0)[0].estimated


def test_a_lock_is_not_waited_for_without_end(deploys: Deploys, project: Project) -> None:
    flags(project)
    deploys.capture()
    project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=FIRST)
    deploys.deploy()
    with deploys.database.connect() as other, other.transaction():
        other.execute("LOCK TABLE flags_flag")
        said = deploys.rollback("--lock-timeout", "0.3", "--strategy", "unapply", code=1)
    assert "a lock could not be had in time" in said.err


def test_an_estimate_is_told_as_one(deploys: Deploys, project: Project) -> None:
    flags(project)
    deploys.capture()
    project.migration("flags", "0002_new", create_model("New", name=TEXT), dependencies=FIRST)
    deploys.deploy()
    deploys.database.execute("INSERT INTO flags_new (name) SELECT 'x' FROM generate_series(1, 1000); ANALYZE")
    (exact,) = [each for each in deploys.plan()["losses"] if each["kind"] == "table_dropped"]
    (guess,) = [each for each in deploys.plan("--count-seconds", "0")["losses"] if each["kind"] == "table_dropped"]
    assert (exact["rows"], exact["estimated"]) == (1000, False)
    assert (guess["rows"], guess["estimated"]) == (1000, True)


def restored(deploys: Deploys) -> dict[str, tuple[int | None, str]]:
    """What a restore costs: rows and detail by object."""
    plan = deploys.plan()
    return {each["object"]: (each["rows"], each["detail"]) for each in plan["losses"] if each["route"] == "restore"}


def test_what_a_restore_costs(deploys: Deploys, project: Project) -> None:
    flags(project)
    project.migration("flags", "0002_old", create_model("Old", name=TEXT), dependencies=FIRST)
    deploys.deploy()
    fill(deploys, 20)
    deploys.database.execute(
        "INSERT INTO flags_tag (name) VALUES ('a'); INSERT INTO flags_old (name) VALUES ('a'), ('b')"
    )
    deploys.capture()
    project.migration(
        "flags", "0003_new", create_model("New", name=TEXT), "migrations.RenameModel('Tag', 'Label')",
        dependencies=[("flags", "0002_old")],
    )  # fmt: skip
    deploys.deploy()
    deploys.database.execute(
        """
        INSERT INTO flags_flag (name) SELECT 'new' FROM generate_series(1, 12);
        UPDATE flags_flag SET name = 'other' WHERE id <= 3;
        DELETE FROM flags_flag WHERE id = 4;
        INSERT INTO flags_new (name) VALUES ('a'), ('b');
        UPDATE flags_label SET name = 'b';
        TRUNCATE flags_old
        """
    )
    assert restored(deploys) == {
        "public.flags_flag": (16, "12 inserted, 3 updated, 1 deleted"),
        "public.flags_new": (2, "not there at the capture"),
        "public.flags_label": (1, "1 updated"),
        "public.flags_old": (2, "2 truncated"),
    }


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_counters_that_were_reset_are_not_believed(deploys: Deploys, project: Project) -> None:
    flags(project)
    deploys.deploy()
    fill(deploys, 3)
    deploys.capture()
    project.migration("flags", "0002_new", create_model("New", name=TEXT), dependencies=FIRST)
    deploys.deploy()
    deploys.database.execute("SELECT pg_stat_reset()")
    fill(deploys, 9)
    deploys.database.execute("DELETE FROM flags_flag WHERE id <= 4")
    assert restored(deploys) == {"public.flags_flag": (5, RESET), "public.flags_tag": (None, RESET)}


def test_partitions_are_counted_once(deploys: Deploys, project: Project) -> None:
    flags(project)
    make = """
        CREATE TABLE log (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
        CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20)
    """
    project.migration("flags", "0002_log", run_sql(make, "DROP TABLE log"), dependencies=FIRST)
    deploys.deploy()
    deploys.database.execute("INSERT INTO log SELECT n, 'n' FROM generate_series(0, 14) AS n")
    deploys.capture()
    project.migration(
        "flags",
        "0003_change",
        run_sql("ALTER TABLE log DROP name, ADD size int", "ALTER TABLE log ADD name text, DROP size"),
        run_sql(re.sub(r"\blog", "audit", make), "DROP TABLE audit"),
        dependencies=[("flags", "0002_log")],
    )
    deploys.deploy()
    deploys.database.execute(
        "UPDATE log SET size = 1 WHERE id > 7; INSERT INTO audit VALUES (3, 'a'), (15, 'b'), (16, 'c')"
    )
    plan = deploys.plan()
    assert losses(plan) == {
        "public.log_1.name": ("column_emptied", 10),
        "public.log_2.name": ("column_emptied", 5),
        "public.log_1.size": ("column_dropped", 2),
        "public.log_2.size": ("column_dropped", 5),
        "public.audit_1": ("table_dropped", 1),
        "public.audit_2": ("table_dropped", 2),
    }
    deploys.back()
    assert deploys.database.rows("SELECT count(*), count(name) FROM log") == [(15, 15)]
