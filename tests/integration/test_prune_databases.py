"""`prune` and what is beside the live objects: retired databases and schemas, and what dead runs left."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from flagsnap.postgres import embedded
from flagsnap.postgres.locks import drill_key_of
from flagsnap.snapshot import MANIFEST
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS, PostgresServer
from tests.integration.prunes import DAY, Shelf, reasons, shelf
from tests.integration.sample_deploy import DEPLOY, IN_PLACE, ROLLBACK, WRITE, deploy, is_recorded, retired

__all__ = ["shelf"]
KEEP_ALL = ("--keep-last", "1000")
CONFIRMED = (*KEEP_ALL, "--confirm")
NOTHING_RETIRED = ("--keep-retired", "0s")


def test_retired_databases_go_with_their_age_and_what_dead_runs_left_at_once(shelf: Shelf) -> None:
    young, old = shelf.beside("retired", 13 * DAY), shelf.beside("retired", 15 * DAY)
    scratch, drill = shelf.beside("scratch", timedelta(0)), shelf.beside("drill", timedelta(0))
    rehearsed = shelf.beside("rehearsed", 99 * DAY)
    current = shelf.beside("standby", shelf.now - shelf.manifest.captured_at)
    stale = shelf.beside("standby", shelf.now - shelf.manifest.captured_at + DAY)
    shown = shelf.prune(*KEEP_ALL)["databases"]
    assert reasons(shown["keep"]) == {
        young: "retired 13 d ago, kept for 14 d",
        current: "the standby of new, the newest",
        rehearsed: "a rehearsal was told to keep it; drop it by hand",
    }
    assert reasons(shown["remove"]) == {
        old: "retired 15 d ago, kept for 14 d",
        scratch: "left by an interrupted run",
        drill: "left by an interrupted run",
        stale: "its snapshot is not the newest",
    }
    assert all(each["bytes"] > 1_000_000 for each in (*shown["keep"], *shown["remove"]))
    assert len(shelf.database.relatives()) == 8

    done = shelf.prune(*CONFIRMED)
    assert done["freed"] > 4_000_000
    assert set(shelf.database.relatives()) == {shelf.database.name, young, current, rehearsed}
    assert shelf.prune(*CONFIRMED)["databases"]["remove"] == []
    shelf.prune(*CONFIRMED, "--keep-retired", "12d")
    assert young not in shelf.database.relatives()


def test_a_standby_may_be_the_only_copy_that_is_left(shelf: Shelf) -> None:
    shelf.days(1)
    of_new = shelf.beside("standby", shelf.now - shelf.manifest.captured_at)
    older, scratch = shelf.beside("standby", 2 * DAY), shelf.beside("scratch", DAY)
    shelf.flagsnap.place.put(f"new/{MANIFEST}", shelf.flagsnap.place.get(f"new/{MANIFEST}")[:-20])
    shown = shelf.prune(*CONFIRMED)["databases"]
    assert reasons(shown["keep"]) == {of_new: "no newer capture can be read", older: "a snapshot is damaged"}
    assert list(reasons(shown["remove"])) == [scratch]
    assert {of_new, older} <= set(shelf.database.relatives())


@pytest.mark.local_store
def test_beside_a_store_without_a_capture_nothing_goes(shelf: Shelf, tmp_path: Path) -> None:
    """So a volume looks that is not mounted."""
    for role in ("standby", "scratch", "retired"):
        shelf.beside(role, 20 * DAY)
    relatives = shelf.database.relatives()
    (tmp_path / "unmounted").mkdir()
    ended = shelf.flagsnap.within("prune", *CONFIRMED, "--json", FLAGSNAP_STORE=str(tmp_path / "unmounted"))
    assert set(reasons(ended.json["databases"]["keep"]).values()) == {"no capture can be read"}
    assert ended.json["limits"] == [
        "nothing beside the live database goes, since no capture can be read: is this the store?"
    ]
    assert shelf.database.relatives() == relatives


def test_databases_of_others_are_left_alone(shelf: Shelf) -> None:
    for name in ("flagsnap_scratch_mine", f"flagsnap_scratch_{'9' * 20}", f"2_flagsnap_scratch_{'1' * 20}"):
        Database(shelf.database.server, f"{shelf.database.name}_{name}").create()
    others = shelf.database.relatives()
    shown = shelf.prune(*CONFIRMED, *NOTHING_RETIRED)["databases"]
    assert shown == {"keep": [], "remove": []}
    assert shelf.database.relatives() == others


def test_a_drill_at_work_keeps_its_database(shelf: Shelf) -> None:
    drill = shelf.beside("drill", timedelta(0))
    with shelf.database.connect("postgres") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (drill_key_of(shelf.database.name),))
        assert reasons(shelf.prune(*CONFIRMED)["databases"]["keep"]) == {drill: "another run is at work on it"}
        assert drill in shelf.database.relatives()
    shelf.prune(*CONFIRMED)
    assert drill not in shelf.database.relatives()


def test_what_cannot_be_dropped_is_told_and_the_others_go(shelf: Shelf) -> None:
    """Four fail, after three of which the last is not even tried; the snapshots go all the same."""
    shelf.days(2)
    role = shelf.database.role("app", "LOGIN NOSUPERUSER CREATEDB")
    shelf.database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    theirs = [shelf.beside("scratch", n * DAY) for n in range(1, 5)]
    mine = shelf.beside("scratch", 9 * DAY)
    with psycopg.connect(shelf.database.server.url(), autocommit=True) as administrator:
        administrator.execute(f'ALTER DATABASE "{mine}" OWNER TO "{role}"'.encode())
    url = shelf.database.server.url(shelf.database.name, role)
    options = ("prune", "--keep-last", "1", "--confirm")
    ended = shelf.flagsnap.within(*options, "--json", code=1, FLAGSNAP_DATABASE_URL=url)
    assert ended.json["ok"] is False
    failed = reasons(ended.json["failed"])
    assert set(failed) == set(theirs)
    assert failed[theirs[-1]].startswith("the role may not do this: must be owner of database ")
    assert failed[theirs[0]] == "not tried, since 3 before it failed"
    assert shelf.names() == ["new"]
    assert set(shelf.database.relatives()) == {shelf.database.name, *theirs}
    text = shelf.flagsnap.within(*options, code=1, FLAGSNAP_DATABASE_URL=url).out
    assert f"not removed: {theirs[-1]}: the role may not do this" in text
    assert text.splitlines()[-1] == "nothing was removed"


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_what_restores_have_really_retired(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap, "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE felt (mood mood)")
    flagsnap.within(*ROLLBACK)
    database.execute(DEPLOY + WRITE)
    schema = flagsnap.within(*IN_PLACE, "--json").json["retired_schema"]
    (name,) = retired(database)
    options = ("prune", *KEEP_ALL, "--json")
    kept = flagsnap.within(*options).json["databases"]["keep"]
    assert {each["name"]: each["kind"] for each in kept} == {schema: "retired schemas", name: "retired"}
    assert all(each["bytes"] > 10_000 for each in kept)

    flagsnap.within(*options, *NOTHING_RETIRED, "--confirm")
    assert retired(database) == []
    assert database.rows("SELECT FROM pg_namespace WHERE starts_with(nspname, 'flagsnap_')") == []
    assert is_recorded(database)
    flagsnap.within("verify", "--expect", "v2")


@pytest.mark.parametrize(
    "live",
    [
        "ALTER TABLE account ADD mood {schema}.mood",
        "CREATE VIEW late AS SELECT name FROM {schema}.account",
        "ALTER TABLE account ADD FOREIGN KEY (id) REFERENCES {schema}.account NOT VALID",
    ],
)
def test_a_retired_schema_that_live_objects_depend_on_stays(database: Database, flagsnap: Flagsnap, live: str) -> None:
    deploy(database, flagsnap, "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE felt (mood mood)")
    schema = flagsnap.within(*IN_PLACE, "--json").json["retired_schema"]
    database.execute(live.format(schema=schema))
    ended = flagsnap.within("prune", *CONFIRMED, *NOTHING_RETIRED, code=1)
    assert f"not removed: {schema}: live objects depend on it, and would go with it: " in ended.out
    count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = '{}'"
    assert database.rows(count.format(schema)) == [(5,)]
    flagsnap.within("undo")
    assert not is_recorded(database)


def test_a_lock_on_retired_tables_is_not_waited_for_without_end(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    schema = flagsnap.within(*IN_PLACE, "--json").json["retired_schema"]
    holder = database.connect()
    holder.execute(f"BEGIN; LOCK TABLE {schema}.account".encode())
    ended = flagsnap.within("prune", *CONFIRMED, *NOTHING_RETIRED, "--lock-timeout", "0.2", code=1)
    assert f"not removed: {schema}: a lock could not be had in time" in ended.out


def test_a_database_with_a_prepared_transaction_stays(shelf: Shelf) -> None:
    scratch, other = shelf.beside("scratch", DAY), shelf.beside("scratch", 2 * DAY)
    there = shelf.database.connect(scratch)
    there.execute(f"BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION '{scratch}'".encode())
    failed = reasons(shelf.prune(*CONFIRMED, code=1)["failed"])
    there.execute(f"ROLLBACK PREPARED '{scratch}'".encode())
    assert list(failed) == [scratch]
    assert "a transaction is prepared in " in failed[scratch]
    assert other not in shelf.database.relatives()


def test_a_role_that_may_connect_to_its_own_database_only(
    own_server: Callable[..., embedded.Server], flagsnap: Flagsnap
) -> None:
    server = own_server()
    database = Database(PostgresServer(server.major, server.bin_dir, server.url()), "app")
    database.create()
    role = database.role("user")
    database.execute(f"ALTER DATABASE app OWNER TO {role}")
    for name in ("postgres", "template1"):
        database.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    flagsnap.environment["FLAGSNAP_DATABASE_URL"] = database.server.url("app", role)
    found = Shelf(Database(database.server, "app"), flagsnap)
    database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    found.days(2)
    found.beside("scratch", DAY)
    done = found.prune("--keep-last", "1", "--confirm")
    assert done["limits"] == [
        "databases beside the live one were not looked at: neither postgres nor template1 can be connected to"
    ]
    assert found.names() == ["new"]
    assert len(database.relatives()) == 2
