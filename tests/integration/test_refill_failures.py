"""A refill that fails or is killed leaves all as it was, and a second one finishes; others may go on writing."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from flagsnap.errors import FlagsnapError, SnapshotDamaged
from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import connect
from flagsnap.postgres.owed import read_owed, remember, settle
from flagsnap.results import Refilled
from tests.fix_deploys import refusal
from tests.integration.captures import ended_afterwards, is_running, outcome, peak_memory, wait_for
from tests.integration.refills import DEPLOY, Refills, item, refills

__all__ = ["refills"]

MIGRATIONS = (
    "CREATE TABLE django_migrations (id int PRIMARY KEY, app text, name text, applied timestamptz)",
    "INSERT INTO django_migrations VALUES (1, 'flags', '0001_initial', '2026-01-01')",
)
ITEMS = (item("t", "a"), item("u"))


def prepare(refills: Refills, rows: int = 100) -> None:
    """A capture, and what a deploy and the way back have left of it."""
    refills.capture(
        *MIGRATIONS,
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "CREATE TABLE u (id serial PRIMARY KEY, a int)",
        f"INSERT INTO t SELECT n, 'a' || n FROM generate_series(1, {rows}) n",
        f"INSERT INTO u SELECT n, n FROM generate_series(1, {rows}) n",
        "SELECT setval('u_id_seq', 500)",
    )
    refills.run("UPDATE t SET a = NULL", "DROP TABLE u", "CREATE TABLE u (id serial PRIMARY KEY, a int)")


def owe(refills: Refills, *items: RefillItem) -> None:
    with connect(refills.address, "test") as connection:
        remember(connection, DEPLOY, items)


def owed(refills: Refills) -> dict[str, tuple[RefillItem, ...]]:
    with connect(refills.address, "test") as connection:
        return read_owed(connection)


def test_what_fails_leaves_all_as_it_was_and_a_second_run_finishes(refills: Refills) -> None:
    prepare(refills)
    owe(refills, *ITEMS)
    refills.run("ALTER TABLE u ADD CONSTRAINT small CHECK (a < 100)", "CREATE SCHEMA aside")
    before = refills.state()
    ended = refills.flagsnap("refill", "--to", DEPLOY, code=1)
    assert refusal(ended).error.startswith(
        'the refill of public.u failed: PostgreSQL refused: new row for relation "u" violates check constraint "small"'
    )
    assert refills.state() == before
    assert owed(refills) == {DEPLOY: ITEMS}
    refills.run("ALTER TABLE u DROP CONSTRAINT small")
    done = refills.flagsnap("refill", "--to", DEPLOY, "--json").json
    assert [(each["object"], each["rows"]) for each in done["refilled"]] == [("public.t.a", 100), ("public.u", 100)]
    assert owed(refills) == {}
    assert refills.rows("SELECT to_regclass('flagsnap_owed_refill')") == [(None,)]
    assert refills.rows("SELECT count(*) FROM t WHERE a = 'a' || id") == [(100,)]
    assert refills.rows("SELECT nextval('u_id_seq')") == [(501,)]
    assert refills.flagsnap("refill", "--to", DEPLOY, "--json").json["refilled"] == []


def test_a_constraint_that_is_checked_in_the_end(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, a int)",
        "INSERT INTO t SELECT n, n % 3 FROM generate_series(1, 9) n",
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'ran'; END$$",
        "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION no()",
    )
    refills.run(
        "ALTER TABLE t DROP a",
        "ALTER TABLE t ADD a int",
        "ALTER TABLE t ADD CONSTRAINT differ UNIQUE (a) DEFERRABLE INITIALLY DEFERRED",
    )
    before = refills.state()
    with pytest.raises(FlagsnapError, match=r'the refill of what refers to other tables failed: .*"differ"'):
        refills.refill(item("t", "a"))
    assert refills.state() == before


@contextmanager
def held_up(refills: Refills, table: str) -> Iterator[psycopg.Connection]:
    """A refill gets as far as this table's lock, and no further."""
    holder = refills.database.connect()
    holder.execute(f"BEGIN; LOCK TABLE {table} IN SHARE MODE".encode())
    yield holder
    holder.execute("ROLLBACK")


def waiting(refills: Refills) -> list[tuple[int]]:
    return refills.rows(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'flagsnap refill'"
        " AND datname = current_database() AND wait_event_type = 'Lock'"
    )


@pytest.mark.parametrize("who", ["flagsnap", "the session"])
def test_killed_in_the_middle(refills: Refills, who: str) -> None:
    prepare(refills)
    owe(refills, *ITEMS)
    before = refills.state()
    with held_up(refills, "u"), ended_afterwards(refills.flagsnap.start("refill", "--to", DEPLOY)) as process:
        ((pid,),) = wait_for(lambda: waiting(refills), process)
        if who == "flagsnap":
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        else:
            refills.rows(f"SELECT pg_terminate_backend({pid})")
            code, _, err = outcome(process)
            assert code == 1
            assert "somebody ended flagsnap's session" in err
    wait_for(lambda: not refills.rows(f"SELECT FROM pg_stat_activity WHERE pid = {pid}"))
    assert refills.state() == before
    assert owed(refills) == {DEPLOY: ITEMS}
    refills.flagsnap("refill", "--to", DEPLOY)
    assert refills.rows("SELECT count(a) FROM t") == refills.rows("SELECT count(*) FROM u") == [(100,)]


def test_killed_while_the_server_is_at_work(refills: Refills) -> None:
    prepare(refills)
    owe(refills, item("t", "a", condition="pg_sleep(100) IS NOT NULL"))
    at_work = "SELECT FROM pg_stat_activity WHERE application_name = 'flagsnap refill' AND wait_event = 'PgSleep'"
    with ended_afterwards(refills.flagsnap.start("refill", "--to", DEPLOY)) as process:
        wait_for(lambda: refills.rows(at_work), process)
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not refills.rows(at_work))
    assert [each.rows for each in refills.refill(*ITEMS)] == [100, 100]


def test_a_lock_that_cannot_be_had(refills: Refills) -> None:
    prepare(refills)
    with held_up(refills, "t"), pytest.raises(FlagsnapError, match="a lock could not be had in time"):
        refills.refill(*ITEMS, lock_timeout=0.2)
    assert refills.rows("SELECT count(a) FROM t") == [(0,)]


def test_others_go_on_writing(refills: Refills) -> None:
    prepare(refills, rows=20_000)
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        with psycopg.connect(refills.database.url, autocommit=True) as connection:
            while not stop.is_set():
                number = 100_000 + len(written)
                connection.execute("INSERT INTO t VALUES (%s, 'new')", (number,))
                connection.execute("INSERT INTO u (a) VALUES (-1)")
                connection.execute("UPDATE t SET a = 'newer' WHERE id = %s", (number,))
                written.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_for(lambda: len(written) > 20)
        # Numbers that both have given: the snapshot's rows win.
        done = refills.refill(*ITEMS)
        wait_for(lambda: len(written) > 40)
    finally:
        stop.set()
        thread.join()
    assert [each.rows for each in done] == [20_000, 20_000]
    assert refills.rows("SELECT count(*) FROM t WHERE a = 'a' || id") == [(20_000,)]
    assert refills.rows("SELECT count(*) FROM t WHERE a = 'newer'") == [(len(written),)]
    assert refills.rows("SELECT count(*) FROM u WHERE a = id") == [(20_000,)]


def test_a_damaged_file_is_found_before_anything_is_done(refills: Refills) -> None:
    prepare(refills)
    paths = {
        path: refills.flagsnap.place.get(path) for path in refills.flagsnap.files(f"{DEPLOY}/dumps/") if ".dat" in path
    }
    largest = max(paths, key=lambda path: len(paths[path]))
    refills.flagsnap.place.put(largest, paths[largest][:-1])
    with pytest.raises(SnapshotDamaged):
        refills.refill(*ITEMS)
    refills.flagsnap.place.put(largest, paths[largest])
    assert [each.rows for each in refills.refill(*ITEMS)] == [100, 100]


def test_only_the_files_of_the_tables_are_read(refills: Refills) -> None:
    refills.capture(
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "INSERT INTO t VALUES (1, 'x')",
        "CREATE TABLE other AS SELECT md5(n::text) AS a FROM generate_series(1, 1000) n",
    )
    refills.run("UPDATE t SET a = NULL")
    files = [path for path in refills.flagsnap.files(f"{DEPLOY}/dumps/") if not path.endswith("toc.dat")]
    refills.flagsnap.place.put(max(files, key=lambda path: len(refills.flagsnap.place.get(path))), b"damaged")
    assert refills.refill(item("t", "a")) == [Refilled("public.t.a", 1)]


def test_what_is_owed_is_no_part_of_the_database(refills: Refills) -> None:
    prepare(refills)
    owe(refills, *ITEMS)
    assert refills.rows("SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'flagsnap_owed_refill'")
    refills.capture(deploy_id="again")
    manifest = refills.flagsnap.snapshots.get("again")
    assert "flagsnap_owed_refill" not in manifest.to_json().decode()
    assert b"flagsnap_owed_refill" not in refills.flagsnap.place.get("again/dumps/default/toc.dat")


def test_owed_refills_are_kept_apart(refills: Refills) -> None:
    refills.run(*MIGRATIONS)
    with connect(refills.address, "test") as connection:
        assert read_owed(connection) == {}
        settle(connection, "one")
        remember(connection, "one", ())
        assert read_owed(connection) == {}
        full = RefillItem("s", "t", ("a", "b"), ("id",), "a = 'é'", "text", overwrite=False)
        remember(connection, "one", (item("t"),))
        remember(connection, "one", (full,))
        remember(connection, "two", ITEMS)
        assert read_owed(connection) == {"one": (full,), "two": ITEMS}
        settle(connection, "two")
        assert read_owed(connection) == {"one": (full,)}
        settle(connection, "one")
        assert read_owed(connection) == {}
    assert refills.rows("SELECT FROM pg_class WHERE relname = 'flagsnap_owed_refill'") == []


def test_the_applications_own_role_is_enough(refills: Refills) -> None:
    role = refills.database.role("app")
    url = refills.database.server.url(refills.database.name, role)
    refills.run(f"CREATE SCHEMA flags AUTHORIZATION {role}", f"ALTER ROLE {role} SET search_path = flags")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in MIGRATIONS:
            connection.execute(statement.encode())
    address = type(refills.address).parse(url)
    with connect(address, "test") as connection:
        remember(connection, "one", ITEMS)
        assert read_owed(connection) == {"one": ITEMS}
        assert refills.rows("SELECT to_regclass('flags.flagsnap_owed_refill') IS NOT NULL") == [(True,)]
        settle(connection, "one")


def test_refill_and_capture_exclude_each_other(refills: Refills) -> None:
    prepare(refills)
    owe(refills, *ITEMS)
    patient = refills.flagsnap.start("refill", "--to", DEPLOY, FLAGSNAP_LOCK_TIMEOUT="100")
    with held_up(refills, "u") as holder, ended_afterwards(patient) as process:
        wait_for(lambda: waiting(refills), process)
        assert "another flagsnap works on" in refills.flagsnap("capture", "--deploy-id", "other", code=6).err
        assert "another flagsnap works on" in refills.flagsnap("refill", "--to", DEPLOY, code=6).err
        holder.execute("ROLLBACK")
        assert outcome(process)[0] == 0
        assert not is_running(process.pid)


def test_memory_does_not_grow_with_the_rows(refills: Refills) -> None:
    refills.capture(
        *MIGRATIONS,
        "CREATE TABLE t (id int PRIMARY KEY, a text)",
        "INSERT INTO t SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 250000) n",
    )
    refills.run("ALTER TABLE t DROP a", "ALTER TABLE t ADD a text")
    owe(refills, item("t", "a"))
    with ended_afterwards(refills.flagsnap.start("refill", "--to", DEPLOY)) as process:
        memory = 0
        while process.poll() is None:
            memory = max(memory, peak_memory(process.pid))
            time.sleep(0.01)
    assert process.returncode == 0
    assert refills.rows("SELECT count(*) FROM t WHERE length(a) = 640") == [(250_000,)]  # 160 MB of them
    assert 0 < memory < 100e6


def test_a_restore_in_place_leaves_nothing_owed(refills: Refills) -> None:
    prepare(refills)
    owe(refills, *ITEMS)
    refills.run("INSERT INTO django_migrations VALUES (2, 'flags', '0002_more', '2026-01-02')")
    options = ("--to", DEPLOY, "--strategy", "restore", "--in-place", "--on-loss", "restore", "--yes")
    refills.flagsnap("rollback", *options)
    assert owed(refills) == {}
    assert refills.rows("SELECT count(a) FROM t") == [(100,)]
    refills.flagsnap("undo")
    assert owed(refills) == {DEPLOY: ITEMS}
