"""`flagsnap refill`: from an archive after the newer version is deployed again, and what it refuses."""

from datetime import UTC, datetime

import pytest

from flagsnap.loss.values import RefillItem
from flagsnap.postgres.connection import connect
from flagsnap.progress import Silent
from flagsnap.recording.record import RecordRequest, record
from flagsnap.refilling.refill import refill
from flagsnap.snapshot import Archive
from tests.fix_deploys import refusal
from tests.integration.refills import DEPLOY, Refills, item, refills

__all__ = ["refills"]

ARCHIVE = "v2-archive"
NEWER = (
    "CREATE TABLE team (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE)",
    "ALTER TABLE t ADD team uuid REFERENCES team, ADD note text NOT NULL DEFAULT ''",
)
OLDER = ("ALTER TABLE t DROP team, DROP note", "DROP TABLE team")
ITEMS = (item("t", "team"), item("t", "note"), item("team"))


def archive(refills: Refills, *items: RefillItem) -> None:
    """Archive the items' tables, as a rollback does before it goes back."""
    bin_dir = refills.database.server.bin_dir
    request = RecordRequest(
        refills.address,
        ARCHIVE,
        datetime.now(UTC),
        2,
        bin_dir,
        10.0,
        archive=Archive(rollback_to=DEPLOY, whole=False, items=items),
        tables=sorted({each.table_key for each in items}),
    )
    with connect(refills.address, "test") as connection, connect(refills.address, "test") as keeper:
        record(request, refills.flagsnap.snapshots.store, connection, keeper, Silent())


def prepare(refills: Refills) -> None:
    """A deploy, written to and archived, is taken back."""
    refills.capture(
        "CREATE TABLE django_migrations (id int PRIMARY KEY, app text, name text, applied timestamptz)",
        "CREATE TABLE t (id int PRIMARY KEY)",
        "INSERT INTO t SELECT generate_series(1, 20)",
    )
    refills.run(
        *NEWER,
        "INSERT INTO team (name) SELECT 'team ' || n FROM generate_series(1, 5) n",
        "UPDATE t SET note = 'n' || id, team = (SELECT id FROM team WHERE name = 'team ' || 1 + t.id % 5)",
    )
    archive(refills, *ITEMS)
    refills.run(*OLDER)


def test_what_was_archived_comes_back_after_the_next_deploy(refills: Refills) -> None:
    prepare(refills)
    refused = refusal(refills.flagsnap("refill", "--from", ARCHIVE, code=2))
    assert refused.error == "there is no column public.t.team, no column public.t.note, no table public.team"
    assert refused.hint == "what was archived is part of the newer version: deploy that again first"
    # The deploy makes a team of its own, and rows have come and gone.
    refills.run(
        *NEWER,
        "INSERT INTO team (name) VALUES ('team 2'), ('team 9')",
        "DELETE FROM t WHERE id = 4",
        "INSERT INTO t VALUES (30)",
    )
    ended = refills.flagsnap("refill", "--from", ARCHIVE, "--json").json
    assert ended["deploy_id"] == ARCHIVE
    told = [(each["object"], each["rows"], each["replaced"], each["skipped"]) for each in ended["refilled"]]
    assert told == [("public.t.team", 19, 0, 1), ("public.t.note", 19, 0, 1), ("public.team", 5, 1, 0)]
    names = "SELECT t.id, note, name FROM t JOIN team ON team.id = team ORDER BY 1"
    back = [(n, f"n{n}", f"team {1 + n % 5}") for n in range(1, 21) if n != 4]
    assert refills.rows(names) == back
    again = refills.flagsnap("refill", "--from", ARCHIVE, "--json").json
    assert [(each["rows"], each["replaced"]) for each in again["refilled"]] == [(0, 0)] * 3
    assert refills.rows(names) == back


def test_an_archive_has_only_its_own_tables(refills: Refills) -> None:
    refills.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE other (id int PRIMARY KEY)")
    archive(refills, item("t"))
    source = refills.source(ARCHIVE)
    done = refill(source, (item("t"), item("other")), refills.address, 10.0, Silent(), None)
    assert [each.detail for each in done] == ["", "the snapshot has no such table"]


def test_a_snapshot_that_is_no_archive(refills: Refills) -> None:
    prepare(refills)
    before = refills.state()
    assert refusal(refills.flagsnap("refill", "--from", DEPLOY, code=2)).error == "snapshot v2 is no archive"
    assert refusal(refills.flagsnap("refill", "--from", "none", code=5)).error
    assert refills.state() == before


def test_nothing_is_owed(refills: Refills) -> None:
    prepare(refills)
    ended = refills.flagsnap("refill", "--to", DEPLOY)
    assert "nothing to refill" in ended.err
    assert refills.flagsnap("refill", "--to", "latest", "--json").json["refilled"] == []


@pytest.mark.parametrize("options", [(), ("--to", DEPLOY, "--from", ARCHIVE)])
def test_exactly_one_source(refills: Refills, options: tuple[str, ...]) -> None:
    assert refusal(refills.flagsnap("refill", *options, code=2)).error == "say what to refill"


def test_another_database_only_if_it_has_moved(refills: Refills) -> None:
    prepare(refills)
    refills.run(*NEWER)
    name = f"{refills.database.name}_moved"
    with connect(refills.address.to("postgres"), "test") as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {refills.database.name}".encode())
    refills.flagsnap.environment["FLAGSNAP_DATABASE_URL"] = refills.database.server.url(name)
    refused = refusal(refills.flagsnap("refill", "--from", ARCHIVE, code=2))
    assert f"is of the database {refills.database.name}, not of {name}" in refused.error
    refills.flagsnap("refill", "--from", ARCHIVE, "--moved")
    assert refills.database.rows("SELECT count(team) FROM t", name=name) == [(20,)]


def test_a_database_that_is_gone(refills: Refills) -> None:
    prepare(refills)
    refills.database.drop()
    try:
        assert "does not exist" in refusal(refills.flagsnap("refill", "--to", DEPLOY, code=2)).error
    finally:
        refills.database.create()
