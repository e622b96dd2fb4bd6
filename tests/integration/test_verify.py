"""Verify: what is damaged is found, what differs is named, and what could not be checked is never green."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.integration.captures import SCHEMA, manifest_of

DUMP = Path("v2/dumps/default")


@pytest.fixture
def captured(flagsnap: Flagsnap, database: Database) -> Flagsnap:
    """A store with one snapshot, of a database that has not changed since."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    return flagsnap


def a_file(flagsnap: Flagsnap) -> Path:
    """The dump's largest file."""
    return max((flagsnap.store / DUMP).glob("*.dat*"), key=lambda path: path.stat().st_size)


def failed_checks(flagsnap: Flagsnap, *arguments: str) -> dict[str, str]:
    """What `verify` finds: it must fail with exit code 3, and say the same as JSON and as text."""
    found = flagsnap.within("verify", *arguments, "--json", code=3).json
    assert found["ok"] is False
    failed = {check["name"]: check["detail"] for check in found["checks"] if not check["ok"]}
    text = flagsnap.within("verify", *arguments, code=3).out
    for name, detail in failed.items():
        assert f"failed  {name}: " in text
        assert detail.split("; ")[0] in text.replace("\n", "")
    return failed


@pytest.mark.parametrize("arguments", [(), ("v2",), ("latest",), ("--level", "manifest"), ("--expect", "v2")])
def test_all_is_well(captured: Flagsnap, arguments: tuple[str, ...]) -> None:
    found = captured.within("verify", *arguments, "--json").json
    assert found["ok"] is True
    assert all(check["ok"] for check in found["checks"])
    names = [check["name"] for check in found["checks"]]
    if "--expect" in arguments:
        assert names == ["migrations", "schema"]
    else:
        assert names == (["manifest"] if "--level" in arguments else ["manifest", "files"])
    assert captured.within("verify", *arguments).out.startswith("ok ")


def test_a_snapshot_and_the_database_in_one_run(captured: Flagsnap) -> None:
    found = captured.within("verify", "v2", "--expect", "v2", "--json").json
    assert [check["name"] for check in found["checks"]] == ["manifest", "files", "migrations", "schema"]


def _flip(path: Path) -> str:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return f"dumps/default/{path.name} does not have its recorded SHA-256"


def _truncate(path: Path) -> str:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    return f"dumps/default/{path.name} has {size - 1} bytes, not {size}"


def _empty(path: Path) -> str:
    size = path.stat().st_size
    path.write_bytes(b"")
    return f"dumps/default/{path.name} has 0 bytes, not {size}"


def _remove(path: Path) -> str:
    path.unlink()
    return f"dumps/default/{path.name} is missing"


def _rename(path: Path) -> str:
    path.rename(path.with_name("other.dat"))
    return f"dumps/default/{path.name} is missing; dumps/default/other.dat was not recorded"


def _add(path: Path) -> str:
    (path.parent / "9999.dat").write_bytes(b"more")
    return "dumps/default/9999.dat was not recorded"


@pytest.mark.parametrize("damage", [_flip, _truncate, _empty, _remove, _rename, _add])
@pytest.mark.parametrize("name", ["table", "toc"])
def test_damaged_files_are_found(captured: Flagsnap, damage: Callable[[Path], str], name: str) -> None:
    path = a_file(captured) if name == "table" else captured.store / DUMP / "toc.dat"
    detail = damage(path)
    assert failed_checks(captured, "v2") == {"files": detail}
    assert failed_checks(captured) == {"files": detail}
    captured.within("verify", "v2", "--level", "manifest")


def test_several_damages_are_all_told(captured: Flagsnap) -> None:
    details = {_remove(a_file(captured)), _flip(a_file(captured)), _add(a_file(captured))}
    assert set(failed_checks(captured)["files"].split("; ")) == details


def test_a_damaged_snapshot_is_not_restored(captured: Flagsnap, database: Database) -> None:
    detail = _flip(a_file(captured))
    refused = captured.within("restore", "v2", "--into", f"{database.name}_copy", code=5)
    assert f"error: the snapshot is damaged: {detail}\n" in refused.err
    assert "hint: `flagsnap verify --level files`" in refused.err
    assert database.relatives() == [database.name]


@pytest.mark.parametrize("level", ["manifest", "files"])
def test_a_damaged_manifest_is_found(captured: Flagsnap, level: str) -> None:
    manifest = captured.store / "v2" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"0002_tag", b"0002_gat"))
    detail = failed_checks(captured, "v2", "--level", level)["manifest"]
    assert detail == "the manifest of v2 is damaged: its content does not have its digest, so it was altered"


def test_the_newest_is_never_another_one_than_the_newest(captured: Flagsnap) -> None:
    """A damaged manifest does not tell its time: what was `latest` yesterday must not be taken for it in silence."""
    captured.within("capture", "--deploy-id", "v3")
    manifest = captured.store / "v3" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-100])
    assert "the manifest of v3 is damaged" in failed_checks(captured)["manifest"]
    for arguments in (("show", "latest"), ("plan", "--to", "latest"), ("plan", "--to-running", "v2")):
        refused = captured.within(*arguments, code=5)
        assert "error: the order of the snapshots is not known: the manifest of v3 is damaged" in refused.err
        assert "hint: name a deploy id" in refused.err
    captured.within("show", "v2")
    listed = captured.within("list", "--json").json
    assert [each["deploy_id"] for each in listed["snapshots"]] == ["v2"]
    assert [each["deploy_id"] for each in listed["damaged"]] == ["v3"]
    assert "damaged: the manifest of v3" in captured.within("list").out


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        ("INSERT INTO django_migrations (app, name) VALUES ('features', '0003_x')", "migrations", "features.0003_x"),
        ("DELETE FROM django_migrations WHERE name = '0002_tag'", "migrations", "features.0002_tag"),
        ("ALTER TABLE feature ADD COLUMN extra text", "schema", "public.feature.extra"),
        ("ALTER TABLE feature DROP COLUMN enabled", "schema", "public.feature.enabled"),
        ("ALTER TABLE feature ALTER COLUMN name TYPE varchar(90)", "schema", "public.feature.name"),
        ("CREATE TABLE by_hand (id int)", "schema", "by_hand"),
        ("DROP TABLE state", "schema", "public.state"),
        ("CREATE INDEX by_hand ON feature (name)", "schema", "by_hand"),
    ],
)
def test_what_differs_is_named(captured: Flagsnap, database: Database, change: str, name: str, told: str) -> None:
    database.execute(change)
    failed = failed_checks(captured, "--expect", "v2")
    assert set(failed) == {name}
    assert told in failed[name]
    captured.within("verify")  # the snapshot is as whole as before


def test_rows_are_no_difference(captured: Flagsnap, database: Database) -> None:
    database.execute("DELETE FROM state; INSERT INTO project (name) VALUES ('new'); ANALYZE")
    captured.within("verify", "--expect", "v2")


def test_a_database_that_cannot_be_reached_is_not_green(captured: Flagsnap, database: Database) -> None:
    away = database.server.url("no_such_database")
    ended = captured.within("verify", "--expect", "v2", "--json", "--database-url", away, code=1)
    assert ended.json["ok"] is False
    assert ended.json["error"]["kind"] == "connection_failed"


def test_another_database_is_refused_and_not_called_different(captured: Flagsnap, database: Database) -> None:
    other = Database(database.server, f"{database.name}_other")
    other.create()
    ended = captured.within("verify", "--expect", "v2", "--database-url", other.url, code=1)
    assert f"error: snapshot v2 is of the database {database.name}, not of {database.name}_other on " in ended.err


def test_what_is_not_there(captured: Flagsnap) -> None:
    for arguments in (("v9",), ("--expect", "v9"), ("v9", "--level", "manifest")):
        ended = captured.within("verify", *arguments, code=5)
        assert f"error: no snapshot v9 in {captured.store}\n" in ended.err
    ended = captured.within("verify", "--store", f"{captured.store}/empty", code=5)
    assert "error: there is no snapshot in" in ended.err


def test_the_snapshot_is_left_as_it_is(captured: Flagsnap) -> None:
    before = manifest_of(captured, "v2")
    captured.within("verify", "v2", "--expect", "v2")
    assert manifest_of(captured, "v2") == before
    assert {path.name for path in captured.store.iterdir()} == {"v2", ".drafts"}
