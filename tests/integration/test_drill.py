"""The drill: a snapshot that restores is proven, one that does not is found, and what hinders a drill is no proof."""

import hashlib
import json
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from flagsnap.postgres import embedded
from flagsnap.snapshot import Archive
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS, PostgresServer
from tests.integration.captures import ended_afterwards, held_up, wait_for
from tests.integration.sample_deploy import (
    ROLLBACK,
    HeldProgram,
    alter_manifest,
    deploy,
    is_recorded,
    scratch,
)

DRILL = ("verify", "v2", "--level", "drill")
LEVELS = ["manifest", "files", "toc", "drill"]


def drills(database: Database) -> list[str]:
    """The scratch databases of drills."""
    return [name for name in database.relatives() if "_flagsnap_drill_" in name]


def checks(flagsnap: Flagsnap, *arguments: str, code: int = 0, **environment: str) -> dict[str, dict[str, object]]:
    """The checks of a drill by their names; what is not ok is told in the text's way too."""
    found = flagsnap.within(*(arguments or DRILL), "--json", code=code, **environment).json
    assert found["ok"] is (code == 0)
    return {check["name"]: check for check in found["checks"]}


@pytest.fixture
def deployed(database: Database, flagsnap: Flagsnap) -> Flagsnap:
    """A snapshot, and a live database that has gone on since."""
    deploy(database, flagsnap)
    return flagsnap


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_a_drill_proves_and_leaves_nothing(deployed: Flagsnap, database: Database) -> None:
    found = deployed.within(*DRILL, "--json").json
    assert [check["name"] for check in found["checks"]] == LEVELS
    (drilled,) = found["drills"]
    assert (drilled["deploy_id"], drilled["where"], drilled["database"]) == ("v2", "the live server", None)
    assert 0 < drilled["seconds"] < 60
    assert database.relatives() == [database.name]
    assert not is_recorded(database)
    verification = deployed.snapshots.verification(deployed.snapshots.get("v2"))
    assert verification
    assert list(verification.rungs) == LEVELS
    assert all(rung.is_whole for rung in verification.rungs.values())
    assert verification.rungs["drill"].seconds == drilled["seconds"]


def test_the_text_tells_the_time_to_recover(deployed: Flagsnap) -> None:
    said = deployed.within(*DRILL).out
    assert re.search(
        r"ok +drill: v2: restored and proven in \d+\.\d s \(.*B\) on the live server: that is the time", said
    )


@pytest.mark.parametrize("what", ["migrations", "schema", "rows"])
def test_a_manifest_that_says_something_else_is_found(deployed: Flagsnap, what: str) -> None:
    """As if a defect had written it: the bytes are whole, and sealed."""
    recorded = deployed.snapshots.get("v2").database
    if what == "migrations":
        alter_manifest(deployed, migrations=recorded.migrations[:-1])
        told = "migration accounts.0002_total is applied, was not recorded"
    elif what == "schema":
        less = type(recorded.schema_catalog)(
            tuple(each for each in recorded.schema_catalog.objects if each.identity.name != "balance")
        )
        alter_manifest(deployed, catalog=less.to_json(), fingerprint=less.fingerprint)
        told = "public.account.balance"
    else:
        tables = tuple(each.model_copy(update={"rows": each.rows + 1}) for each in recorded.tables)
        alter_manifest(deployed, tables=tables)
        told = "table public.account: 101 rows were recorded, there are 100 rows"
    for level in ("files", "toc"):
        deployed.within("verify", "v2", "--level", level)
    found = checks(deployed, code=3)
    assert told in str(found["drill"]["detail"])
    assert "failed     drill: v2\n" in deployed.within(*DRILL, code=3).out
    verification = deployed.snapshots.verification(deployed.snapshots.get("v2"))
    assert verification
    assert not verification.rungs["drill"].ok
    assert verification.rungs["files"].is_whole


def test_a_dump_that_cannot_be_restored_is_found(deployed: Flagsnap, database: Database, tmp_path: Path) -> None:
    """The bytes are what was recorded, and pg_restore cannot make anything of them."""
    manifest = deployed.snapshots.get("v2")
    file = next(each for each in manifest.files if ".dat" in each.path and "toc" not in each.path)
    rubbish = b"\x28\xb5\x2f\xfd rubbish"
    deployed.place.put(f"v2/{file.path}", rubbish)
    changed = file.model_copy(update={"bytes": len(rubbish), "sha256": hashlib.sha256(rubbish).hexdigest()})
    files = tuple(changed if each == file else each for each in manifest.files)
    alter_manifest(deployed, dump=manifest.database.dump.model_copy(update={"files": files}))
    deployed.within("verify", "v2", "--level", "toc")
    found = checks(deployed, code=3)
    assert str(found["drill"]["detail"]).startswith("the restore failed: pg_restore ended with exit code 1")
    assert database.relatives() == [database.name]


def test_a_damaged_file_is_found_before_the_drill(deployed: Flagsnap) -> None:
    key = next(key for key in deployed.files("v2/dumps/") if key.endswith("toc.dat"))
    deployed.place.put(key, deployed.place.get(key)[:-1] + b"\x01")
    found = checks(deployed, code=3)
    assert list(found) == ["manifest", "files"]
    assert "toc.dat does not have its recorded SHA-256" in str(found["files"]["detail"])


def test_an_archive_of_some_tables_is_read_as_far_as_it_goes(deployed: Flagsnap) -> None:
    manifest = deployed.snapshots.get("v2")
    archive = manifest.model_copy(update={"archive": Archive(rollback_to="v1", whole=False, items=()), "format": 2})
    deployed.place.put("v2/manifest.json", archive.to_json())
    found = checks(deployed)
    assert list(found) == LEVELS
    assert "cannot be restored alone" in str(found["drill"]["said"])
    verification = deployed.snapshots.verification(deployed.snapshots.get("v2"))
    assert verification
    assert "drill" not in verification.rungs


# What hinders a drill.


def unchecked(flagsnap: Flagsnap, *arguments: str, **environment: str) -> str:
    """The reason why the drill is unchecked: exit code 1, and nothing of it is kept."""
    found = checks(flagsnap, *(arguments or DRILL), code=1, **environment)
    assert (found["drill"]["ok"], found["drill"]["checked"]) == (False, False)
    assert "unchecked  drill: v2\n" in flagsnap.within(*(arguments or DRILL), code=1, **environment).out
    verification = flagsnap.snapshots.verification(flagsnap.snapshots.get("v2"))
    assert verification
    assert "drill" not in verification.rungs
    return str(found["drill"]["detail"])


def test_without_createdb_nothing_is_proven(deployed: Flagsnap, database: Database) -> None:
    url = database.server.url(database.name, database.role("poor"))
    why = unchecked(deployed, FLAGSNAP_DATABASE_URL=url)
    assert "may not create databases" in why
    assert "--drill-embedded" in why


def test_without_clients_nothing_is_proven(deployed: Flagsnap, tmp_path: Path) -> None:
    found = checks(deployed, *DRILL, code=1, FLAGSNAP_PG_BIN=str(tmp_path))
    assert (found["toc"]["checked"], list(found)) == (False, ["manifest", "files", "toc"])
    assert "none was found" in str(found["toc"]["detail"])


def test_a_stopped_server_is_no_proof(deployed: Flagsnap, database: Database) -> None:
    port = embedded.free_port()
    gone = re.sub(r":\d+/", f":{port}/", database.url)
    assert "no connection to " in unchecked(deployed, FLAGSNAP_DATABASE_URL=gone)
    why = unchecked(deployed, *DRILL, "--drill-url", gone)
    assert why.endswith("; check --drill-url (FLAGSNAP_DRILL_URL), and that the server runs")
    ended = deployed.within("verify", "--json", code=1, FLAGSNAP_DATABASE_URL=gone)
    assert [check["checked"] for check in ended.json["checks"]] == [True, True, False]


def test_a_role_that_is_missing_there_is_no_proof(
    database: Database, flagsnap: Flagsnap, own_server: Callable[..., embedded.Server]
) -> None:
    role = database.role("owner")
    deploy(database, flagsnap, f"ALTER TABLE account OWNER TO {role};")
    other = own_server()
    why = unchecked(flagsnap, *DRILL, "--drill-url", other.url())
    assert f'role "{role}" does not exist' in why
    assert "create the role that it names" in why
    there = Database(PostgresServer(other.major, other.bin_dir, other.url()), database.name)
    assert there.relatives() == []
    there.role("owner")
    found = flagsnap.within(*DRILL, "--drill-url", other.url(), "--json").json
    assert found["drills"][0]["where"].startswith("postgres on 127.0.0.1")
    assert there.relatives() == []
    # A drill elsewhere needs no live database.
    flagsnap.within(*DRILL, FLAGSNAP_DATABASE_URL="", FLAGSNAP_DRILL_URL=other.url())


def test_an_embedded_server_is_made_for_it(database: Database, flagsnap: Flagsnap) -> None:
    """With the roles that the dump names; afterwards it is gone, with all of its files."""
    owner, odd = database.role("owner"), database.role('odd "name"')
    odd = odd.replace('"', '""')
    extra = f"""
        ALTER TABLE account OWNER TO {owner};
        GRANT SELECT ON total TO "{odd}" WITH GRANT OPTION;
        ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO "{odd}";
        ALTER TABLE account ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON account FOR SELECT TO {owner}, "{odd}" USING (balance > 0);
    """
    deploy(database, flagsnap, extra)
    # Not below pytest's own folders, which nobody else may enter; the server runs as another user than root.
    with tempfile.TemporaryDirectory(prefix="flagsnap-drill-") as place:
        Path(place).chmod(0o711)
        found = flagsnap(*DRILL, "--drill-embedded", "--json", TMPDIR=place, FLAGSNAP_DATABASE_URL="").json
        assert found["drills"][0]["where"] == "an embedded server"
        assert list(Path(place).iterdir()) == []


@pytest.mark.parametrize("server", [15, 16], indirect=True)
def test_an_embedded_server_of_a_newer_major(database: Database, flagsnap: Flagsnap) -> None:
    deploy(database, flagsnap)
    flagsnap.within(*DRILL, "--drill-embedded")


@pytest.mark.parametrize("server", [16], indirect=True)
def test_what_another_major_prints_otherwise_is_no_proof_of_damage(
    database: Database, flagsnap: Flagsnap, own_server: Callable[..., embedded.Server]
) -> None:
    """Nor is it green; what does not depend on the version is found all the same."""
    deploy(
        database,
        flagsnap,
        "CREATE TABLE parted (id int GENERATED BY DEFAULT AS IDENTITY, at date) PARTITION BY RANGE (at);"
        "CREATE TABLE part PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');",
    )
    newer = own_server(17)
    there = (*DRILL, "--drill-url", newer.url())
    flagsnap.environment["FLAGSNAP_PG_BIN"] = str(newer.bin_dir)
    why = unchecked(flagsnap, *there)
    assert why.startswith(
        "on PostgreSQL 17 the schema is not the one recorded on 16, which may be due to the version: "
    )
    assert why.endswith("drill on PostgreSQL 16")
    tables = tuple(
        each.model_copy(update={"rows": each.rows + 1}) for each in flagsnap.snapshots.get("v2").database.tables
    )
    alter_manifest(flagsnap, tables=tables)
    assert "rows were recorded" in str(checks(flagsnap, *there, code=3)["drill"]["detail"])


# Beside others.


def held(database: Database, folder: Path) -> HeldProgram:
    return HeldProgram.make(folder / "held", database.server.bin_dir, "pg_restore", "--use-list")


def test_two_drills_at_once(deployed: Flagsnap, database: Database, tmp_path: Path) -> None:
    program = held(database, tmp_path)
    with ended_afterwards(deployed.start(*DRILL, FLAGSNAP_PG_BIN=str(program.folder))) as run:
        program.wait(run)
        found = checks(deployed, code=1)
        assert "another drill is at work" in str(found["drill"]["detail"])
        assert len(drills(database)) == 1
        deployed.within("verify", "v2")
        deployed.within("capture", "--deploy-id", "v3")  # nobody waits for a drill
        program.go_on()
        out, err = run.communicate(timeout=30)
        assert run.returncode == 0, (out, err)
    assert drills(database) == []


def test_a_rollback_goes_first(deployed: Flagsnap, database: Database, tmp_path: Path) -> None:
    program = held(database, tmp_path)
    with ended_afterwards(deployed.start(*DRILL, FLAGSNAP_PG_BIN=str(program.folder))) as run:
        program.wait(run)
        ended = deployed.within(*ROLLBACK)
        assert "the scratch database of a drill: a restore goes first" in ended.err
        assert is_recorded(database)
        program.go_on()
        out, _ = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "another run of flagsnap dropped the scratch database of this drill; a restore goes first" in " ".join(
        out.split()
    )
    assert drills(database) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_drill_that_is_ended(deployed: Flagsnap, database: Database, tmp_path: Path, number: signal.Signals) -> None:
    program = held(database, tmp_path)
    with ended_afterwards(deployed.start(*DRILL, FLAGSNAP_PG_BIN=str(program.folder))) as run:
        program.wait(run)
        run.send_signal(number)
        run.communicate(timeout=30)
    assert run.returncode == (-9 if number == signal.SIGKILL else 130)
    left = drills(database)
    assert bool(left) is (number == signal.SIGKILL)
    program.go_on()
    ended = deployed.within(*DRILL)
    assert all(f"dropped {name}, which an interrupted drill had left" in ended.err for name in left)
    assert drills(database) == []


def test_a_snapshot_that_is_removed_meanwhile(deployed: Flagsnap, database: Database, tmp_path: Path) -> None:
    program = held(database, tmp_path)
    with ended_afterwards(deployed.start(*DRILL, FLAGSNAP_PG_BIN=str(program.folder))) as run:
        program.wait(run)
        deployed.snapshots.store.remove("v2")
        program.go_on(code=1)
        out, err = run.communicate(timeout=30)
    assert run.returncode == 1, (out, err)
    assert "could not check it: it was removed meanwhile" in out
    assert (drills(database), scratch(database)) == ([], [])


def test_during_a_capture(deployed: Flagsnap, database: Database) -> None:
    with held_up(database, deployed, "--deploy-id", "v3") as capture:
        assert checks(deployed)["drill"]["ok"]
        assert deployed.within("verify", "v2", "--level", "toc").code == 0
        code, _, err = capture.let_go()
    assert code == 0, err


def test_during_a_rollback(deployed: Flagsnap, database: Database, tmp_path: Path) -> None:
    """A rollback that is at work is met, and said; the drill of the same time does it no harm."""
    program = held(database, tmp_path)
    with ended_afterwards(deployed.start(*ROLLBACK, FLAGSNAP_PG_BIN=str(program.folder))) as run:
        program.wait(run)
        found = checks(deployed, "verify", "--level", "drill", code=0)
        assert found["drill"]["ok"]
        # Somebody changes the schema while a rollback is at work: perhaps it was the rollback.
        database.execute("DELETE FROM django_migrations WHERE name = '0001_initial'")
        found = checks(deployed, "verify", code=1)
        assert found["live database"]["detail"] == f"another flagsnap works on {database.name}"
        database.execute("INSERT INTO django_migrations (app, name) VALUES ('accounts', '0001_initial')")
        assert len(wait_for(lambda: scratch(database))) == 1
        program.go_on()
        out, err = run.communicate(timeout=30)
    assert run.returncode == 1, (out, err)


# A database that cannot be dropped.


SUBSCRIBE = "CREATE SUBSCRIPTION held CONNECTION 'host=x' PUBLICATION p WITH (connect = false, create_slot = false)"


@pytest.fixture
def unsubscribed(database: Database) -> Iterator[None]:
    """Subscriptions go at the end of the test, so that every database can be dropped."""
    yield
    subscribed = "SELECT datname FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"
    for (name,) in database.rows(f"{subscribed} WHERE starts_with(datname, '{database.name}')", "postgres"):
        with psycopg.connect(database.server.url(name), autocommit=True) as connection:
            connection.execute("ALTER SUBSCRIPTION held SET (slot_name = NONE)")
            connection.execute("DROP SUBSCRIPTION held")


@pytest.mark.usefixtures("unsubscribed")
def test_a_drill_makes_no_subscription(database: Database, flagsnap: Flagsnap) -> None:
    """The database could not be dropped with it."""
    deploy(database, flagsnap, f"{SUBSCRIBE}; COMMENT ON SUBSCRIPTION held IS 'from elsewhere'")
    checks(flagsnap)
    assert database.relatives() == [database.name]


@pytest.mark.usefixtures("unsubscribed")
def test_one_that_cannot_be_dropped_is_told_and_in_nobodys_way(
    deployed: Flagsnap, database: Database, tmp_path: Path
) -> None:
    program = held(database, tmp_path)
    with ended_afterwards(deployed.start(*DRILL, "--json", FLAGSNAP_PG_BIN=str(program.folder))) as run:
        program.wait(run)
        (drilled,) = drills(database)
        with psycopg.connect(database.server.url(drilled), autocommit=True) as connection:
            connection.execute(SUBSCRIBE.encode())
        program.go_on()
        out, err = run.communicate(timeout=30)
    assert run.returncode == 1, (out, err)
    told = {check["name"]: check for check in json.loads(out)["checks"]}
    assert told["drill"]["ok"]
    assert told["scratch database"]["detail"].startswith(f"{drilled} could not be dropped: ")
    assert drills(database) == [drilled]
    # What an interrupted restore has left may be held the same way.
    left = Database(database.server, drilled.replace("_drill_", "_scratch_"))
    left.create()
    left.execute(SUBSCRIBE)
    assert f"could not drop {drilled}, which an interrupted drill had left" in deployed.within(*DRILL).err
    ended = deployed.within(*ROLLBACK)
    assert f"could not drop {drilled}, the scratch database of a drill" in ended.err
    assert f"could not drop {left.name}, which an interrupted run had left (database " in ended.err
    assert is_recorded(database)
