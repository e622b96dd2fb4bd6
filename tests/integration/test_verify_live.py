"""The live check: what was recorded is still applied, and nothing changed outside a deploy."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from flagsnap.attached.baseline import BASELINE
from flagsnap.postgres import embedded
from flagsnap.postgres.connection import Address, connect
from flagsnap.postgres.locks import RUN_KEY, holding, is_held
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_deploys import Deploys
from tests.fix_projects import TEXT, add_field, create_model, migration
from tests.integration.captures import SCHEMA

DEPLOY = "INSERT INTO django_migrations (app, name) VALUES ('features', '0003_x'); CREATE TABLE x (id int)"
BY_HAND = "CREATE INDEX by_hand ON feature (name)"


@pytest.fixture
def captured(flagsnap: Flagsnap, database: Database) -> Flagsnap:
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    return flagsnap


def schema(flagsnap: Flagsnap, code: int = 0, *arguments: str) -> dict[str, str]:
    """The check of the live schema; the ladder and the migrations must be well."""
    found = flagsnap.within("verify", "--level", "manifest", "--json", *arguments, code=code).json
    checks: dict[str, dict[str, str]] = {check["name"]: check for check in found["checks"]}
    assert [name for name in checks if name != "rehearsal"] == ["manifest", "migrations", "schema"]
    assert checks["manifest"]["ok"]
    return checks["schema"]


def test_without_a_deploy_the_record_counts(captured: Flagsnap, database: Database) -> None:
    assert schema(captured)["ok"]
    database.execute(BY_HAND)
    assert "by_hand" in schema(captured, 3)["detail"]
    assert BASELINE not in str(captured.files())


def test_after_a_deploy_what_the_first_look_saw_counts(captured: Flagsnap, database: Database) -> None:
    database.execute(DEPLOY)
    text = captured.within("verify").out
    assert "1 applied since, the last features.0003_x" in text
    assert "there is nothing to compare with yet; noted as the baseline" in text
    assert f"v2/{BASELINE}" in captured.files()
    assert schema(captured)["said"].startswith("as noted on ")
    database.execute(BY_HAND)
    assert schema(captured, 3)["detail"].startswith("index public.feature.by_hand")
    assert "by_hand" in schema(captured, 3)["detail"]  # it is not noted as the new baseline
    database.execute("DROP INDEX by_hand")
    assert schema(captured)["ok"]
    # The next deploy has another baseline.
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('features', '0004_y'); CREATE TABLE y (id int)")
    assert "noted as the baseline" in schema(captured)["said"]
    assert "as noted on" in schema(captured)["said"]
    # So has the next capture, which recorded all of it.
    captured.within("capture", "--deploy-id", "v3")
    assert schema(captured)["said"] == ""


def test_a_recorded_migration_that_is_gone(captured: Flagsnap, database: Database) -> None:
    database.execute("DELETE FROM django_migrations WHERE name = '0002_tag'")
    found = captured.within("verify", "--json", code=3).json
    assert [(check["name"], check["checked"], check["detail"]) for check in found["checks"] if not check["ok"]] == [
        ("migrations", True, "migration features.0002_tag was recorded, is not applied"),
        ("schema", False, "other migrations were recorded than are applied"),
    ]
    assert f"v2/{BASELINE}" not in captured.files()


@pytest.mark.parametrize("damage", ["truncated", "of another"])
def test_a_damaged_baseline_is_found_and_replaced(captured: Flagsnap, database: Database, damage: str) -> None:
    database.execute(DEPLOY)
    captured.within("verify")
    raw = captured.place.get(f"v2/{BASELINE}")
    captured.place.put(f"v2/{BASELINE}", raw[:-20] if damage == "truncated" else raw.replace(b"v2", b"v1", 1))
    found = captured.within("verify", "--json", code=3).json
    assert [check["name"] for check in found["checks"] if not check["ok"]] == ["baseline"]
    assert schema(captured)["said"].startswith("as noted on ")


def test_when_it_looks(captured: Flagsnap) -> None:
    """By default where no snapshot is named."""

    def names(*arguments: str, **environment: str) -> list[str]:
        found = captured.within("verify", "--level", "manifest", "--json", *arguments, code=0, **environment).json
        return [check["name"] for check in found["checks"]]

    both = ["manifest", "migrations", "schema"]
    assert names() == names("v2", "--live") == names("--all") == names("--newest", "1") == both
    assert names("v2") == names("--no-live") == names(FLAGSNAP_DATABASE_URL="") == ["manifest"]
    refused = captured.within("verify", "--live", FLAGSNAP_DATABASE_URL="", code=2)
    assert refused.err.startswith("error: no database URL was given")


def test_a_database_of_that_name_on_another_server(
    captured: Flagsnap, database: Database, own_server: Callable[..., embedded.Server]
) -> None:
    """It is not the live one, and nothing of it is noted; whether it equals a snapshot can be asked all the same."""
    other = own_server()
    embedded.create_database(other, database.name)
    url = other.url(database.name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
        captured.within("verify", "--expect", "v2", FLAGSNAP_DATABASE_URL=url)
        connection.execute(DEPLOY.encode())
    refused = captured.within("verify", code=2, FLAGSNAP_DATABASE_URL=url).err
    assert f"error: snapshot v2 is of the database {database.name} of another server, not of " in refused
    assert "--no-live" in refused
    assert not {f"v2/{BASELINE}", "v2/verified.json"} & set(captured.files())
    captured.within("verify", "--no-live", FLAGSNAP_DATABASE_URL=url)


@pytest.fixture
def busy(captured: Flagsnap, database: Database) -> Iterator[None]:
    """Another run works on the live database."""
    with connect(Address.parse(database.url), "test") as connection, holding(connection, database.name):
        yield


def test_another_run_at_work(captured: Flagsnap, database: Database, busy: None) -> None:
    """What is well is well; what is not may be of that run, and no baseline is noted."""
    assert schema(captured)["ok"]
    database.execute(BY_HAND)
    found = captured.within("verify", "--json", code=1).json
    assert found["checks"][-1]["checked"] is False
    assert found["checks"][-1]["detail"] == f"another flagsnap works on {database.name}"
    database.execute("DROP INDEX by_hand;" + DEPLOY)
    assert schema(captured)["said"].endswith("not noted")
    assert f"v2/{BASELINE}" not in captured.files()


def test_a_lock_is_seen_without_being_taken(database: Database) -> None:
    with connect(Address.parse(database.url), "test") as one, connect(Address.parse(database.url), "test") as other:
        for key in (RUN_KEY, -1, 1 << 62, -(1 << 63)):
            assert not is_held(other, key)
            with holding(one, database.name, key):
                assert is_held(other, key)
            assert not is_held(other, key)


@pytest.fixture
def deployed(deploys: Deploys) -> Deploys:
    """v2 is captured and rehearsed; its deploy adds a column, and its `migrate` makes a table besides."""
    deploys.project.app("flags", {"0001_initial": migration(create_model("Flag", name=TEXT))})
    deploys.capture()
    parents = [("flags", "0001_initial")]
    deploys.project.migration("flags", "0002_colour", add_field("Flag", "colour"), dependencies=parents)
    deploys.project.write()
    deploys.flagsnap.within("rehearse", "v2")
    deploys.deploy()
    deploys.database.execute("CREATE TABLE cache (key text)")
    return deploys


def test_a_rehearsed_deploy_is_compared_with_its_rehearsal_first(deployed: Deploys) -> None:
    deployed.database.execute("ALTER TABLE flags_flag ALTER COLUMN colour TYPE varchar(7)")
    assert schema(deployed.flagsnap, 3)["detail"].startswith("column public.flags_flag.colour: ")
    assert f"v2/{BASELINE}" not in deployed.flagsnap.files()
    deployed.database.execute("ALTER TABLE flags_flag ALTER COLUMN colour TYPE varchar(100)")
    said = "as it was rehearsed; besides it there is what no migration made: table public.cache; noted as the baseline"
    assert schema(deployed.flagsnap)["said"] == said
    assert schema(deployed.flagsnap)["said"].startswith("as noted on ")
    deployed.database.execute("CREATE TABLE by_hand (key text)")
    assert schema(deployed.flagsnap, 3)["detail"] == "table public.by_hand was not recorded"


@pytest.mark.parametrize("way", ["unapply", "restore"])
def test_after_a_rollback_what_it_left_counts(deployed: Deploys, way: str) -> None:
    flagsnap = deployed.flagsnap
    flagsnap.within("capture", "--deploy-id", "nightly")
    flagsnap.within("rollback", "--to", "v2", "--strategy", way, "--on-loss", "accept", "--yes")
    checks = flagsnap.within("verify", "--json").json["checks"]
    assert [check["said"] for check in checks if check["name"] == "migrations"] == ["as the rollback to v2 left them"]
    assert schema(flagsnap)["said"].endswith(", after the rollback to v2")
    deployed.database.execute("CREATE TABLE by_hand (key text)")
    assert schema(flagsnap, 3)["detail"] == "table public.by_hand was not recorded"
    deployed.database.execute("DROP TABLE by_hand; DELETE FROM django_migrations WHERE name = '0001_initial'")
    failed = flagsnap.within("verify", "--json", code=3).json["checks"]
    assert "migration flags.0002_colour was recorded, is not applied" in str(failed)


def test_after_a_rollback_that_leaves_nothing_else_the_record_counts(deployed: Deploys) -> None:
    deployed.database.execute("DROP TABLE cache")
    deployed.flagsnap.within("rollback", "--to", "v2", "--on-loss", "accept", "--yes")
    assert f"v2/{BASELINE}" not in deployed.flagsnap.files()
    assert schema(deployed.flagsnap)["said"] == ""


def test_the_record_counts_before_a_baseline_that_a_rollback_has_left(deployed: Deploys) -> None:
    flagsnap = deployed.flagsnap
    back = ("rollback", "--to", "v2", "--on-loss", "accept", "--yes")
    flagsnap.within(*back, "--strategy", "unapply")
    assert schema(flagsnap)["said"].endswith(", after the rollback to v2")
    deployed.database.execute("DROP TABLE cache")
    assert schema(flagsnap)["said"] == ""
    deployed.deploy()
    flagsnap.within(*back, "--strategy", "restore")
    assert f"v2/{BASELINE}" not in flagsnap.files()
    assert schema(flagsnap)["said"] == ""
