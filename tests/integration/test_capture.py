"""Capture: what it records and what it stores are one fact, whatever the database holds and does meanwhile."""

import json
import os
import random
import re
import stat
import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS, bin_dir_of
from tests.integration.captures import (
    SCHEMA,
    catalog_of,
    ended_afterwards,
    held_up,
    in_store,
    manifest_of,
    outcome,
    recorded_counts,
    restore_plainly,
    row_counts,
    watched,
)

ODD_PARTS = r"""
    CREATE SCHEMA "Über schema";
    CREATE TABLE "Über schema"."we""ird 'name' %s {0} \ ⚑" ("col ""umn %" int PRIMARY KEY);
    INSERT INTO "Über schema"."we""ird 'name' %s {0} \ ⚑" VALUES (1), (2), (3);
    CREATE TABLE "Über schema".feature (id int);
    INSERT INTO "Über schema".feature SELECT generate_series(1, 7);
    CREATE TABLE audit (id bigint, at date NOT NULL) PARTITION BY RANGE (at);
    CREATE TABLE audit_2025 PARTITION OF audit FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE audit_2026 PARTITION OF audit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO audit SELECT n, date '2025-12-01' + n FROM generate_series(1, 60) n;
    CREATE TABLE parent (id int); CREATE TABLE heir (more int) INHERITS (parent);
    INSERT INTO parent VALUES (1); INSERT INTO heir VALUES (2, 2), (3, 3);
    CREATE UNLOGGED TABLE cache (id int); INSERT INTO cache VALUES (1);
    CREATE TABLE empty (id int);
    CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM feature;
    CREATE VIEW seen AS SELECT name FROM feature;
    SELECT lo_from_bytea(0, 'large object one'), lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex'));
"""


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_the_dump_alone_gives_the_database_back(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(ODD_PARTS)
    before = catalog_of(database)
    ended = flagsnap.within("capture", "--deploy-id", "v2", "--label", "ticket=OPS-1", "--label", "by=a=b", "--json")

    manifest = manifest_of(flagsnap, "v2")
    recorded = manifest.database
    copy = restore_plainly(database, flagsnap.fetched("v2") / "dumps" / "default")
    assert catalog_of(database, copy).fingerprint == recorded.fingerprint == before.fingerprint
    assert row_counts(database, manifest, copy) == recorded_counts(manifest) == row_counts(database, manifest)
    assert recorded_counts(manifest)["Über schema", "we\"ird 'name' %s {0} \\ ⚑"] == 3
    assert recorded_counts(manifest)["public", "audit_2025"] == 30
    assert recorded_counts(manifest)["public", "parent"] == 1
    assert ("public", "audit") not in recorded_counts(manifest)
    large = "SELECT md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1"
    assert database.rows(large, copy) == database.rows(large)

    assert manifest.labels == {"ticket": "OPS-1", "by": "a=b"}
    assert recorded.server_major == database.server.major
    assert recorded.name == database.name
    assert recorded.restore_point == "flagsnap:v2"
    assert recorded.system_identifier == database.rows("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert [(row.app, row.name) for row in recorded.migrations] == [
        ("features", "0001_initial"),
        ("features", "0002_tag"),
    ]
    assert recorded.migrations[0].applied == datetime(2026, 1, 1, tzinfo=UTC)
    assert ended.json["migrations"] == 2
    assert ended.json["dump"]["files"] == len(recorded.dump.files)
    assert sorted(file.path for file in manifest.files) == [
        path.removeprefix("v2/") for path in in_store(flagsnap) if "/dumps/" in path
    ]


def test_what_is_recorded_is_what_is_dumped_while_eight_clients_write(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    database.execute(
        "INSERT INTO state (feature_id, value) SELECT 1 + n % 500, md5(n::text) FROM generate_series(1, 80000) n"
    )
    stop = threading.Event()
    writers = [threading.Thread(target=_write, args=(database.connect(), number, stop)) for number in range(8)]
    for writer in writers:
        writer.start()
    try:
        flagsnap("capture", "--deploy-id", "busy")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    manifest = manifest_of(flagsnap, "busy")
    copy = restore_plainly(database, flagsnap.fetched("busy") / "dumps" / "default")
    assert row_counts(database, manifest, copy) == recorded_counts(manifest)
    moved = row_counts(database, manifest)
    assert all(moved["public", table] != recorded_counts(manifest)["public", table] for table in ("feature", "state"))


def _write(connection: psycopg.Connection, seed: int, stop: threading.Event) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        project, feature = chance.randint(1, 50), chance.randint(1, 500)
        with connection.transaction():
            if chance.random() < 0.1:
                connection.execute("DELETE FROM feature WHERE id = %s", (feature,))
            made = connection.execute(
                "INSERT INTO feature (project_id, name) VALUES (%s, 'new') RETURNING id", (project,)
            ).fetchone()
            connection.execute(
                "INSERT INTO state (feature_id, value) SELECT %s, 'new' FROM generate_series(1, 3)", made
            )
            connection.execute("UPDATE project SET name = name || '.' WHERE id = %s", (project,))
            connection.execute("DELETE FROM state WHERE feature_id = %s", (feature,))


@pytest.mark.parametrize("content", ["", "CREATE TABLE flag (id int); INSERT INTO flag VALUES (1)"])
def test_a_database_without_migrations(flagsnap: Flagsnap, database: Database, content: str) -> None:
    database.execute(content or "SELECT 1")
    ended = flagsnap.within("capture", "--deploy-id", "first", "--json")
    assert ended.json["migrations"] == 0
    manifest = manifest_of(flagsnap, "first")
    assert not manifest.database.has_migrations_table
    copy = restore_plainly(database, flagsnap.fetched("first") / "dumps" / "default")
    assert catalog_of(database, copy).fingerprint == manifest.database.fingerprint


def test_the_same_id_again_is_kept_while_nothing_has_changed(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    first = _contents(flagsnap)
    database.execute("INSERT INTO project (name) VALUES ('rows are no difference')")
    again = flagsnap.within("capture", "--deploy-id", "v2", "--json")
    assert again.json["reused"] is True
    assert again.json["location"] == f"{flagsnap.place.url}/v2"
    retried = flagsnap.within("capture", "--deploy-id", "v2")
    assert "reused" not in retried.out
    assert "warning" not in retried.err
    refused = flagsnap.within("capture", "--deploy-id", "v2", "--if-exists", "fail", code=2)
    assert "error: snapshot v2 exists" in refused.err
    assert _contents(flagsnap) == first


def test_a_snapshot_that_is_kept_much_later_is_not_taken_for_a_new_one(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    manifest = manifest_of(flagsnap, "v2")
    earlier = manifest.model_copy(update={"captured_at": manifest.captured_at - timedelta(days=3)})
    flagsnap.place.put("v2/manifest.json", earlier.to_json())
    kept = flagsnap.within("capture", "--deploy-id", "v2")
    assert "warning: snapshot v2 was captured 3 d ago, and what was written since is not in it" in kept.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "INSERT INTO django_migrations (app, name) VALUES ('features', '0003_x')",
            "the applied migrations have changed",
        ),
        ("DELETE FROM django_migrations WHERE name = '0002_tag'", "the applied migrations have changed"),
        ("ALTER TABLE feature ADD COLUMN half_run text", "the schema has changed"),
    ],
)
def test_the_same_id_again_after_a_half_run_migrate_is_refused(
    flagsnap: Flagsnap, database: Database, change: str, told: str
) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    first = _contents(flagsnap)
    database.execute(change)
    refused = flagsnap.within("capture", "--deploy-id", "v2", code=2)
    assert f"error: snapshot v2 exists and {told} since; it was left as it is" in refused.err
    assert "hint: `flagsnap plan --to v2`" in refused.err
    assert _contents(flagsnap) == first


def test_the_id_of_another_database_is_refused(flagsnap: Flagsnap, database: Database) -> None:
    flagsnap.within("capture", "--deploy-id", "v2")
    other = Database(database.server, f"{database.name}_other")
    other.create()
    refused = flagsnap.within("capture", "--deploy-id", "v2", "--database-url", other.url, code=2)
    assert f"snapshot v2 exists and is of the database {database.name}" in refused.err


def test_an_id_is_made_from_the_time_in_utc(flagsnap: Flagsnap) -> None:
    made = flagsnap.within("capture", "--json").json["deploy_id"]
    assert re.fullmatch(r"20\d{6}T\d{6}Z", made)
    assert manifest_of(flagsnap, made).deploy_id == made
    assert abs((datetime.now(UTC) - manifest_of(flagsnap, made).captured_at).total_seconds()) < 60


def test_the_longest_id_and_its_restore_point(flagsnap: Flagsnap) -> None:
    longest = "x" * 128
    flagsnap.within("capture", "--deploy-id", longest)
    assert manifest_of(flagsnap, longest).database.restore_point == f"flagsnap:{'x' * 54}"
    assert f"flagsnap rollback --to {longest}" in flagsnap.within("capture", "--deploy-id", longest).out


def test_the_owner_of_the_tables_need_not_be_superuser(flagsnap: Flagsnap, database: Database) -> None:
    url = _owned_by_a_plain_role(database)
    flagsnap.within("capture", "--deploy-id", "v2", "--database-url", url)
    recorded = manifest_of(flagsnap, "v2").database
    assert recorded.restore_point is None
    assert recorded.properties.owner == f"{database.name}_app"
    copy = restore_plainly(database, flagsnap.fetched("v2") / "dumps" / "default", f"{database.name}_app")
    assert catalog_of(database, copy).fingerprint == recorded.fingerprint


@pytest.mark.parametrize("server", [15, 18], indirect=True)
def test_tiny_timeouts_of_the_role_do_not_break_it(flagsnap: Flagsnap, database: Database) -> None:
    """The application's role may have limits that suit a request of the application."""
    url = _owned_by_a_plain_role(database)
    limits = ["statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout", "idle_session_timeout"]
    if database.server.major >= 17:
        limits.append("transaction_timeout")
    for limit in limits:
        database.execute(f"ALTER ROLE {database.name}_app SET {limit} = '200ms'")
    database.execute(f"ALTER ROLE {database.name}_app CREATEDB")
    database.execute("INSERT INTO state (feature_id, value) SELECT 1, md5(n::text) FROM generate_series(1, 300000) n")
    flagsnap.within("capture", "--deploy-id", "v2", "--database-url", url)
    assert recorded_counts(manifest_of(flagsnap, "v2"))["public", "state"] == 303_000
    assert flagsnap.within("capture", "--deploy-id", "v2", "--json", "--database-url", url).json["reused"] is True
    flagsnap.within("verify", "--expect", "v2", "--database-url", url)
    flagsnap.within("restore", "v2", "--into", f"{database.name}_copy", "--database-url", url)
    flagsnap.within("rollback", "--to", "v2", "--strategy", "restore", "--database-url", url)


def test_migrations_during_the_capture_end_it_and_leave_nothing(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        migrate = database.connect()
        with migrate.transaction():
            migrate.execute("CREATE TABLE added (id int)")
            migrate.execute("INSERT INTO django_migrations (app, name) VALUES ('features', '0003_added')")
        code, out, err = capture.let_go()
    assert (code, out) == (1, "")
    assert "error: migrations ran during the capture, so it was thrown away\n" in err
    assert "hint: capture before `migrate` starts" in err
    assert in_store(flagsnap) == []
    assert flagsnap.within("capture", "--deploy-id", "v2", "--json").json["migrations"] == 3


def test_a_change_of_a_table_that_is_being_dumped_ends_it_or_waits(flagsnap: Flagsnap, database: Database) -> None:
    """DDL that asks for a table after pg_dump has begun: the workers of pg_dump refuse to queue behind it."""
    database.execute(SCHEMA)
    ddl = threading.Thread(target=database.execute, args=("ALTER TABLE project ADD COLUMN added int",))
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        ddl.start()
        code, _, err = capture.let_go()
    ddl.join()
    if code:
        assert "error: the dump failed: pg_dump ended with exit code 1: pg_dump: error: " in err
        assert in_store(flagsnap) == []
    flagsnap.within("capture", "--deploy-id", "next")
    copy = restore_plainly(database, flagsnap.fetched("next") / "dumps" / "default")
    assert catalog_of(database, copy).fingerprint == manifest_of(flagsnap, "next").database.fingerprint


def test_another_capture_at_the_same_time_is_refused(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    with held_up(database, flagsnap, "--deploy-id", "v2") as capture:
        refused = flagsnap("capture", "--deploy-id", "v3", code=6)
        assert f"error: another flagsnap works on {database.name}\n" in refused.err
        assert "hint: wait until the other run has ended" in refused.err
        assert capture.let_go()[0] == 0
    assert flagsnap.within("list", "--json").json["snapshots"][0]["deploy_id"] == "v2"


def test_the_password_is_in_no_argument_no_file_and_no_output(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    role = database.role("app", "LOGIN SUPERUSER")
    database.execute(f"ALTER ROLE {role} PASSWORD 'p@ss/w:rd'")
    url = database.server.url(database.name, role, "p@ss/w:rd").replace("p%40ss/w", "p%40ss%2Fw")
    said = []
    for arguments in (
        ("capture", "--deploy-id", "v2", "-v"),
        ("restore", "v2", "--into", f"{database.name}_copy", "-v"),
    ):
        started = flagsnap.start(*arguments, FLAGSNAP_DATABASE_URL=url)
        with ended_afterwards(started) as process, watched(process.pid) as seen:
            code, out, err = outcome(process)
        assert code == 0, err
        assert any("--dbname=" in line for line in seen), "no child was seen"
        said += [out, err, *seen]
    said += [content.decode(errors="replace") for content in _contents(flagsnap).values()]
    assert not [text for text in said if "p@ss/w:rd" in text or "p%40ss" in text]


@pytest.mark.parametrize("server", [16], indirect=True)
def test_a_newer_pg_dump_will_do_and_says_so(database: Database, flagsnap: Flagsnap) -> None:
    database.execute(SCHEMA)
    ended = flagsnap.within("capture", "--deploy-id", "v2", "--pg-bin", str(bin_dir_of(18)))
    told = f"warning: dumping PostgreSQL {database.server.major} with pg_dump 18, for want of its own; "
    assert f"{told}install postgresql-client-{database.server.major}\n" in ended.err
    flagsnap.within("restore", "v2", "--into", f"{database.name}_copy", "--pg-bin", str(bin_dir_of(18)))
    refused = flagsnap.within("restore", "v2", "--into", f"{database.name}_more", code=2)
    assert "needs pg_dump 18" in refused.err


@pytest.mark.local_store
def test_only_the_owner_may_read_what_is_stored(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    before = os.umask(0)
    try:
        flagsnap.within("capture", "--deploy-id", "v2")
    finally:
        os.umask(before)
    paths = [flagsnap.store, *flagsnap.store.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}


def test_the_manifest_is_json_that_anybody_can_read(flagsnap: Flagsnap, database: Database) -> None:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    found = json.loads(flagsnap.place.get("v2/manifest.json"))
    assert found["format"] == 1
    assert found["deploy_id"] == "v2"
    assert found["databases"][0]["alias"] == "default"
    assert set(found["databases"][0]["dump"]["files"][0]) == {"path", "bytes", "sha256"}


def _owned_by_a_plain_role(database: Database) -> str:
    role = database.role("app")
    database.execute(f"ALTER DATABASE {database.name} OWNER TO {role}")
    url = database.server.url(database.name, role)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("SELECT lo_from_bytea(0, 'its own')")
    return url


def _contents(flagsnap: Flagsnap) -> dict[str, bytes]:
    return {key: flagsnap.place.get(key) for key in in_store(flagsnap)}
