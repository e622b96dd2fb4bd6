"""`undo`: what a restore has replaced comes back, whole databases and the schemas of in-place restores."""

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.sample_deploy import (
    DEPLOY,
    IN_PLACE,
    RECORDED,
    ROLLBACK,
    WRITE,
    deploy,
    is_recorded,
    retired,
    said,
)


def test_nothing_to_undo(database: Database, flagsnap: Flagsnap) -> None:
    database.execute(RECORDED)
    error, hint = said(flagsnap.within("undo", code=2))
    assert error.startswith(f"nothing is retired for {database.name} on ")
    assert hint == "only a restore retires"
    document = flagsnap.within("undo", "--json", code=2).json
    assert (document["ok"], document["error"]["kind"], document["error"]["exit_code"]) == (False, "usage_error", 2)


def test_undo_twice_brings_the_restored_state_back(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    first = flagsnap.within(*ROLLBACK, "--json").json["retired_database"]
    database.execute("UPDATE total SET amount = amount + 1; UPDATE account SET balance = balance + 1 WHERE id = 1")
    undone = flagsnap.within("undo", "--json").json
    assert undone["database"] == database.name
    assert retired(database) == [undone["retired_database"]]
    assert undone["retired_database"] > first
    assert not is_recorded(database)
    again = flagsnap.within("undo", "--json").json
    assert retired(database) == [again["retired_database"]]
    assert is_recorded(database)
    assert database.rows("SELECT balance FROM account WHERE id = 1") == [(2,)]


def test_newest_retired_database_comes_back(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    flagsnap.within(*ROLLBACK)
    (older,) = retired(database)
    database.execute(DEPLOY + WRITE + "CREATE TABLE second (id int)")
    flagsnap.within(*ROLLBACK)
    assert len(retired(database)) == 2
    flagsnap.within("undo")
    assert database.rows("SELECT to_regclass('second')::text") == [("second",)]
    assert retired(database)[0] == older


def test_live_database_that_is_gone(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    flagsnap.within(*ROLLBACK)
    database.drop()
    undone = flagsnap.within("undo", "--json").json
    assert undone["retired_database"] is None
    assert database.relatives() == [database.name]
    assert not is_recorded(database)


def test_newest_restore_is_undone_whichever_way_it_was_made(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    flagsnap.within(*ROLLBACK)
    database.execute(DEPLOY + WRITE + "CREATE TABLE second (id int)")
    assert flagsnap.within(*IN_PLACE, "--json").json["retired_schema"]
    in_place = flagsnap.within("undo", "--json").json
    assert in_place["retired_database"] is None
    assert in_place["retired_schema"]
    assert database.rows("SELECT to_regclass('second')::text") == [("second",)]

    flagsnap.within("undo")
    assert is_recorded(database)
    database.execute(DEPLOY + WRITE + "CREATE TABLE third (id int)")
    flagsnap.within(*ROLLBACK)
    assert flagsnap.within("undo", "--json").json["retired_schema"] is None
    assert database.rows("SELECT to_regclass('third')::text") == [("third",)]


def test_older_restore_in_place_is_not_undone_in_its_stead(database: Database, flagsnap: Flagsnap) -> None:
    """The database that comes back holds retired schemas of its own, older than the retired database."""
    deploy(database, flagsnap)
    flagsnap.within(*IN_PLACE)
    database.execute(DEPLOY + WRITE + "CREATE TABLE second (id int)")
    flagsnap.within(*ROLLBACK)
    flagsnap.within("undo")
    assert database.rows("SELECT to_regclass('second')::text") == [("second",)]
    again = flagsnap.within("undo", "--json").json
    assert (again["retired_schema"], [again["retired_database"]]) == (None, retired(database))
    assert is_recorded(database)


def test_databases_of_others_are_left_alone(database: Database, flagsnap: Flagsnap) -> None:
    """Names that only begin like those of retired and scratch databases."""
    for name in (
        "flagsnap_retired_",
        "flagsnap_retired_2026",
        "flagsnap_scratch_mine",
        f"2_flagsnap_retired_{'1' * 20}",
    ):
        Database(database.server, f"{database.name}_{name}").create()
    others = set(database.relatives())
    deploy(database, flagsnap)
    said(flagsnap.within("undo", code=2))
    kept = flagsnap.within(*ROLLBACK, "--json").json["retired_database"]
    assert set(database.relatives()) == others | {kept}
