"""Archives: what a rollback is about to destroy, stored first, and never taken for a way back."""

from collections.abc import Callable, Collection
from dataclasses import replace

import pytest

from flagsnap.errors import FlagsnapError
from flagsnap.loss.values import ArchiveScope, RefillItem, TableKey
from flagsnap.postgres.clients import find_clients
from flagsnap.postgres.connection import Address
from flagsnap.postgres.dump import entry_description, toc_entries
from flagsnap.progress import Silent
from flagsnap.rollback.archive import take_archive
from flagsnap.rollback.run import opened
from flagsnap.rollback.situation import RollbackRequest
from flagsnap.snapshot import ARCHIVE_FORMAT, FORMAT, Manifest
from flagsnap.target import Target
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_deploys import refusal
from tests.fix_servers import ALL_MAJORS
from tests.integration.captures import SCHEMA, catalog_of, drafts, in_store, manifest_of, row_counts

ODD = [
    ("public", "Upper"),
    ("public", "t*ble"),
    ("public", "t.ble"),
    ("public", 'quo"ted'),
    ("public", "what?"),
    ("public", "dollar$"),
    ("public", "[a-z]|(b)+"),
    ("public", "back\\slash"),
    ("public", "two\nlines"),
    ("public", "größe"),
    ("Odd.Schema*", "plain"),
]
NEIGHBOURS = [("public", name) for name in ("upper", "table", "tXble", "quoted", "whatX", "dollar", "a", "plain")]

Take = Callable[..., Manifest]


@pytest.fixture
def take(flagsnap: Flagsnap, database: Database) -> Take:
    """Capture as `v2`, and take an archive of tables as a rollback to it would."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")

    def take(*tables: TableKey, scope: ArchiveScope = "affected", besides: Collection[TableKey] = ()) -> Manifest:
        request = request_of(flagsnap, database)
        with opened(request, Silent()) as rollback:
            assert rollback.situation.live is not None
            items = tuple(RefillItem(*table, key=("id",)) for table in tables)
            plan = replace(rollback.plan(), archive=scope, to_archive=items)
            return take_archive(request, plan, rollback.situation.live, Silent(), besides)

    return take


def request_of(flagsnap: Flagsnap, database: Database) -> RollbackRequest:
    """A rollback to `v2`."""
    snapshots = flagsnap.snapshots
    return RollbackRequest(
        address=Address.parse(database.url),
        snapshots=snapshots,
        target=Target.recorded_by(snapshots.get("v2")),
        project=None,
        strategy="auto",
        on_loss="accept",
        jobs=2,
        pg_bin=database.server.bin_dir,
        lock_timeout=2.0,
    )


def test_only_the_tables_concerned_are_archived(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    database.execute("CREATE TABLE added (id int); INSERT INTO added VALUES (1), (2)")
    manifest = take(("public", "added"), ("public", "state"), besides=[("public", "project")])
    assert manifest.deploy_id.startswith("v2-archive-20")
    assert manifest == manifest_of(flagsnap, manifest.deploy_id)
    assert manifest.format == ARCHIVE_FORMAT
    assert manifest.archive is not None
    assert (manifest.archive.rollback_to, manifest.archive.whole) == ("v2", False)
    assert [item.table for item in manifest.archive.items] == ["added", "state"]
    assert row_counts(database, manifest) == {
        ("public", "added"): 2,
        ("public", "project"): 50,
        ("public", "state"): 3000,
    }
    assert dumped(flagsnap, database, manifest) == ["added", "project", "state"]
    # The state that the rollback leaves behind is recorded in full all the same.
    assert manifest.database.schema_catalog == catalog_of(database)
    assert len(manifest.database.migrations) == 2
    assert manifest.database.restore_point is None
    assert drafts(flagsnap) == []


def test_the_whole_database(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    manifest = take(("public", "state"), scope="full")
    assert manifest.archive is not None
    assert manifest.archive.whole
    assert dumped(flagsnap, database, manifest) == ["django_migrations", "feature", "project", "state"]
    flagsnap.within("restore", manifest.deploy_id, "--into", f"{database.name}_copy")
    assert database.rows("SELECT count(*) FROM state", f"{database.name}_copy") == [(3000,)]
    database.execute("DROP TABLE state")
    flagsnap.within("rollback", "--to", manifest.deploy_id, "--strategy", "restore", "--on-loss", "accept", "--yes")
    assert database.rows("SELECT count(*) FROM state") == [(3000,)]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_names_are_no_patterns(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    database.execute('CREATE SCHEMA "Odd.Schema*"')
    for number, (schema, table) in enumerate([*ODD, *NEIGHBOURS]):
        name = '"{}"."{}"'.format(*(each.replace('"', '""') for each in (schema, table)))
        database.execute(f"CREATE TABLE {name} (id int); INSERT INTO {name} SELECT generate_series(1, {number})")
    manifest = take(*ODD)
    recorded = {(table.schema_name, table.table): table.rows for table in manifest.database.tables}
    assert recorded == {table: number for number, table in enumerate(ODD)}
    assert dumped(flagsnap, database, manifest) == sorted(table.replace("\n", " ") for _, table in ODD)
    flagsnap.within("verify", manifest.deploy_id)


def test_many_tables(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    many = [("public", f"features_historical_something_with_a_long_name_{number:04}") for number in range(2000)]
    database.execute(";".join(f"CREATE TABLE {table} (id int)" for _, table in many))
    manifest = take(*many)
    assert dumped(flagsnap, database, manifest) == [table for _, table in many]


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_partitions_and_heirs_go_with_their_table(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    database.execute(
        """
        CREATE TABLE events (id int, day int) PARTITION BY RANGE (day);
        CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (10) PARTITION BY LIST (id);
        CREATE TABLE events_1_a PARTITION OF events_1 DEFAULT;
        CREATE SCHEMA other; CREATE TABLE other.events_2 PARTITION OF events FOR VALUES FROM (10) TO (20);
        INSERT INTO events VALUES (1, 1), (2, 2), (3, 11);
        CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2), (3);
        """
    )
    manifest = take(("public", "events"), ("public", "parent"))
    recorded = {(table.schema_name, table.table): table.rows for table in manifest.database.tables}
    assert recorded == {
        ("other", "events_2"): 1,
        ("public", "events_1_a"): 2,
        ("public", "parent"): 1,
        ("public", "child"): 2,
    }
    assert dumped(flagsnap, database, manifest) == ["child", "events_1_a", "events_2", "parent"]


def test_a_partial_archive_is_no_way_back(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    archive = take(("public", "state")).deploy_id
    for command in (
        ("rollback", "--to", archive, "--yes"),
        ("plan", "--to", archive),
        ("restore", archive, "--into", f"{database.name}_copy"),
    ):
        said = refusal(flagsnap.within(*command, code=2))
        assert said.error == f"{archive} is an archive of some tables, which no database can be restored from"
        assert f"flagsnap refill --from {archive}" in said.hint
    said = refusal(flagsnap.within("plan", "--to-running", archive, code=2))
    assert said.error == f"{archive} is an archive, no deploy"
    said = refusal(flagsnap.within("capture", "--deploy-id", archive, code=2))
    assert said.error == f"{archive} is an archive"


@pytest.mark.parametrize("scope", ["affected", "full"])
def test_an_archive_is_never_chosen_by_the_order(flagsnap: Flagsnap, take: Take, scope: ArchiveScope) -> None:
    archive = take(("public", "state"), scope=scope).deploy_id
    shown = flagsnap.within("plan", "--to", "latest", "--json").json
    assert shown["plan"]["to"] == "v2"
    assert "no snapshot was captured after v2" in flagsnap.within("plan", "--to-running", "v2", code=5).err
    flagsnap.within("capture", "--deploy-id", "v3")
    assert flagsnap.within("plan", "--to-running", "v2", "--json").json["plan"]["to"] == "v3"
    listed = {each["deploy_id"]: each["archive_of"] for each in flagsnap.within("list", "--json").json["snapshots"]}
    assert listed == {"v2": None, archive: "v2", "v3": None}
    assert manifest_of(flagsnap, "v3").format == FORMAT


def test_an_archive_is_verified_like_any_snapshot(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    archive = take(("public", "state")).deploy_id
    assert flagsnap.within("verify", "--json").json["checks"][0]["subject"] == "v2"
    assert "ok         files" in flagsnap.within("verify", archive).out
    flagsnap.within("verify", "--level", "manifest", "--expect", archive)
    damaged = next(key for key in flagsnap.files(f"{archive}/dumps/") if ".dat" in key)
    flagsnap.place.put(damaged, b"other bytes")
    assert "failed     files" in flagsnap.within("verify", archive, code=3).out


def test_a_table_that_is_not_there(flagsnap: Flagsnap, database: Database, take: Take) -> None:
    before = in_store(flagsnap)
    with pytest.raises(FlagsnapError, match=r"so nothing was done: the table public\.gone is not there") as failed:
        take(("public", "gone"), ("public", "state"))
    assert "--archive none" in failed.value.hint
    assert in_store(flagsnap) == before
    assert drafts(flagsnap) == []


def dumped(flagsnap: Flagsnap, database: Database, manifest: Manifest) -> list[str]:
    """The names of the tables whose rows a dump has; no schema here has a space."""
    folder = flagsnap.fetched(manifest.deploy_id) / "dumps" / "default"
    clients = find_clients(database.server.major, database.server.bin_dir)
    rows = [each for each in map(entry_description, toc_entries(clients, folder)) if each.startswith("TABLE DATA ")]
    return sorted(each.split(" ", 3)[3].rsplit(" ", 1)[0] for each in rows)
