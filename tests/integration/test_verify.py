"""Verify: what is damaged is found, what differs is named, and what could not be checked is never green."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from flagsnap.errors import SnapshotDamaged, StoreFailed
from flagsnap.stores.snapshots import Snapshots
from tests.fix_cli import Flagsnap, Folder
from tests.fix_databases import Database
from tests.fix_s3 import S3Place
from tests.integration.captures import SCHEMA, drafts, in_store
from tests.unit.sample_rehearsals import sample_rehearsal

DUMP = "v2/dumps/default/"
Place = Folder | S3Place


@pytest.fixture
def captured(flagsnap: Flagsnap, database: Database) -> Flagsnap:
    """A store with one snapshot, of a database that has not changed since."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    return flagsnap


def a_file(flagsnap: Flagsnap) -> str:
    """The name of the dump's largest file."""
    names = [key.removeprefix(DUMP) for key in flagsnap.files(DUMP) if ".dat" in key]
    return max(names, key=lambda name: len(flagsnap.place.get(DUMP + name)))


def failed_checks(flagsnap: Flagsnap, *arguments: str) -> dict[str, str]:
    """What `verify` finds: it must fail with exit code 3, and say the same as JSON and as text."""
    found = flagsnap.within("verify", *arguments, "--json", code=3).json
    assert found["ok"] is False
    failed = {check["name"]: check["detail"] for check in found["checks"] if not check["ok"] and check["checked"]}
    text = flagsnap.within("verify", *arguments, code=3).out
    for name, detail in failed.items():
        assert f"failed     {name}: " in text
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
        ladder = ["manifest"] if "--level" in arguments else ["manifest", "files"]
        assert names == ladder + ([] if "v2" in arguments or "latest" in arguments else ["migrations", "schema"])
    assert captured.within("verify", *arguments).out.startswith("ok ")


def test_a_snapshot_and_the_database_in_one_run(captured: Flagsnap) -> None:
    found = captured.within("verify", "v2", "--expect", "v2", "--json").json
    assert [check["name"] for check in found["checks"]] == ["manifest", "files", "migrations", "schema"]


def _flip(place: Place, name: str) -> str:
    content = bytearray(place.get(DUMP + name))
    content[len(content) // 2] ^= 1
    place.put(DUMP + name, bytes(content))
    return f"dumps/default/{name} does not have its recorded SHA-256"


def _truncate(place: Place, name: str) -> str:
    content = place.get(DUMP + name)
    place.put(DUMP + name, content[:-1])
    return f"dumps/default/{name} has {len(content) - 1} bytes, not {len(content)}"


def _empty(place: Place, name: str) -> str:
    size = len(place.get(DUMP + name))
    place.put(DUMP + name, b"")
    return f"dumps/default/{name} has 0 bytes, not {size}"


def _remove(place: Place, name: str) -> str:
    place.delete(DUMP + name)
    return f"dumps/default/{name} is missing"


def _rename(place: Place, name: str) -> str:
    place.put(DUMP + "other.dat", place.get(DUMP + name))
    return f"{_remove(place, name)}; dumps/default/other.dat was not recorded"


def _add(place: Place, _: str) -> str:
    place.put(DUMP + "9999.dat", b"more")
    return "dumps/default/9999.dat was not recorded"


@pytest.mark.parametrize("damage", [_flip, _truncate, _empty, _remove, _rename, _add])
@pytest.mark.parametrize("name", ["table", "toc"])
def test_damaged_files_are_found(captured: Flagsnap, damage: Callable[[Place, str], str], name: str) -> None:
    detail = damage(captured.place, a_file(captured) if name == "table" else "toc.dat")
    assert failed_checks(captured, "v2") == {"files": detail}
    assert failed_checks(captured) == {"files": detail}
    kept = captured.snapshots.verification(captured.snapshots.get("v2"))
    assert kept
    assert kept.rungs["files"].details == tuple(detail.split("; "))
    captured.within("verify", "v2", "--level", "manifest")


def test_several_damages_are_all_told(captured: Flagsnap) -> None:
    details = {damage(captured.place, a_file(captured)) for damage in (_remove, _flip, _add)}
    assert set(failed_checks(captured)["files"].split("; ")) == details


def test_a_damaged_snapshot_is_not_restored(captured: Flagsnap, database: Database) -> None:
    detail = _flip(captured.place, a_file(captured))
    refused = captured.within("restore", "v2", "--into", f"{database.name}_copy", code=5)
    assert f"error: the snapshot is damaged: {detail}\n" in refused.err
    assert "hint: `flagsnap verify --level files`" in refused.err
    assert database.relatives() == [database.name]


def test_a_rehearsal_is_verified_and_shown(captured: Flagsnap) -> None:
    manifest = captured.snapshots.get("v2")
    assert captured.snapshots.rehearsal(manifest) is None
    assert captured.within("show", "v2", "--json").json["rehearsal"] is None
    rehearsal = sample_rehearsal(manifest)
    captured.snapshots.attach_rehearsal(rehearsal)
    assert captured.snapshots.rehearsal(manifest) == rehearsal
    found = captured.within("verify", "v2", "--json").json
    assert [(check["name"], check["ok"]) for check in found["checks"]] == [
        ("manifest", True),
        ("rehearsal", True),
        ("files", True),
    ]
    assert captured.within("show", "v2", "--json").json["rehearsal"]["verdict"] == "exact"
    assert "exact, 2026-11-22 14:30:00 UTC, back in 0.1 s by replay" in captured.within("show", "v2", COLUMNS="200").out
    again = rehearsal.model_copy(update={"verdict": "irreversible"})
    captured.snapshots.attach_rehearsal(again)
    assert captured.snapshots.rehearsal(manifest) == again


@pytest.mark.parametrize("level", ["manifest", "files"])
@pytest.mark.parametrize("damage", ["truncated", "altered", "of another"])
def test_a_damaged_rehearsal_is_found(captured: Flagsnap, level: str, damage: str) -> None:
    """The snapshot is whole all the same: it is shown, and can be gone back to."""
    manifest = captured.snapshots.get("v2")
    raw = sample_rehearsal(manifest).to_json()
    damaged = {
        "truncated": raw[:-20],
        "altered": raw.replace(b"exact", b"fails"),
        "of another": sample_rehearsal(manifest, deploy_id="v1").to_json(),
    }[damage]
    captured.place.put("v2/rehearsal.json", damaged)
    detail = failed_checks(captured, "v2", "--level", level)
    assert set(detail) == {"rehearsal"}
    assert detail["rehearsal"].startswith("the rehearsal of v2 is damaged: ")
    shown = captured.within("show", "v2", "--json")
    assert shown.json["rehearsal"] is None
    assert f"warning: {detail['rehearsal']}" in shown.err
    with pytest.raises(SnapshotDamaged):
        captured.snapshots.rehearsal(manifest)


def test_a_rehearsal_of_an_earlier_snapshot_is_none(captured: Flagsnap) -> None:
    manifest = captured.snapshots.get("v2")
    earlier = manifest.captured_at - timedelta(microseconds=1)
    captured.snapshots.attach_rehearsal(sample_rehearsal(manifest, captured_at=earlier))
    assert captured.snapshots.rehearsal(manifest) is None
    assert captured.within("show", "v2", "--json").json["rehearsal"] is None
    assert failed_checks(captured, "v2") == {"rehearsal": "it is of an earlier snapshot of that deploy id"}


@pytest.mark.parametrize("level", ["manifest", "files"])
def test_a_damaged_manifest_is_found(captured: Flagsnap, level: str) -> None:
    manifest = captured.place.get("v2/manifest.json")
    captured.place.put("v2/manifest.json", manifest.replace(b"0002_tag", b"0002_gat"))
    detail = failed_checks(captured, "v2", "--level", level)["manifest"]
    assert detail == "the manifest of v2 is damaged: its content does not have its digest, so it was altered"


def test_the_newest_is_never_another_one_than_the_newest(captured: Flagsnap) -> None:
    """A damaged manifest does not tell its time: what was `latest` yesterday must not be taken for it in silence."""
    captured.within("capture", "--deploy-id", "v3")
    captured.place.put("v3/manifest.json", captured.place.get("v3/manifest.json")[:-100])
    assert "the manifest of v3 is damaged" in failed_checks(captured)["manifest"]
    # A bucket's index tells the time of each, so the order is known; the newest is damaged all the same.
    unknown, hint = (
        ("the order of the snapshots is not known: ", "name a deploy id")
        if captured.is_local
        else ("", "choose another snapshot")
    )
    for arguments in (("show", "latest"), ("plan", "--to", "latest"), ("plan", "--to-running", "v2")):
        refused = captured.within(*arguments, code=5)
        assert f"error: {unknown}the manifest of v3 is damaged" in refused.err
        assert f"hint: {hint}" in refused.err
    captured.within("show", "v2")


def test_list_shows_what_it_reads(captured: Flagsnap) -> None:
    """A manifest where there is nothing else; in a bucket the index, and a manifest only of what is not in it."""
    captured.within("capture", "--deploy-id", "v3")
    captured.place.put("v3/manifest.json", captured.place.get("v3/manifest.json")[:-100])
    if not captured.is_local:
        listed = captured.within("list", "--json").json
        assert [each["deploy_id"] for each in listed["snapshots"]] == ["v3", "v2"]
        for key in captured.files(".index/v3/"):
            captured.place.delete(key)
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
    captured.within("verify", "v2")  # the snapshot is as whole as before


def test_rows_are_no_difference(captured: Flagsnap, database: Database) -> None:
    database.execute("DELETE FROM state; INSERT INTO project (name) VALUES ('new'); ANALYZE")
    captured.within("verify", "--expect", "v2")


@pytest.mark.parametrize("arguments", [("--expect", "v2"), (), ("v2", "--live")])
def test_a_database_that_cannot_be_reached_is_not_green(
    captured: Flagsnap, database: Database, arguments: tuple[str, ...]
) -> None:
    away = database.server.url(database.name, "nobody", "wrong")
    ended = captured.within("verify", *arguments, "--json", "--database-url", away, code=1)
    assert ended.json["ok"] is False
    (check,) = (check for check in ended.json["checks"] if not check["ok"])
    assert (check["name"], check["checked"]) == ("live database", False)
    assert check["detail"].startswith(f"no connection to {database.name} on ")
    assert "wrong" not in ended.out + ended.err
    text = captured.within("verify", *arguments, "--database-url", away, code=1).out
    assert f"unchecked  live database: {database.name} against v2\n" in text
    assert f"           could not check it: no connection to {database.name} on " in text.replace("\n", " ")


def test_another_database_is_refused_and_not_called_different(captured: Flagsnap, database: Database) -> None:
    other = Database(database.server, f"{database.name}_other")
    other.create()
    for arguments in (("--expect", "v2"), (), ("--live", "v2")):
        ended = captured.within("verify", *arguments, "--database-url", other.url, code=2)
        assert f"error: snapshot v2 is of the database {database.name}, not of {database.name}_other on " in ended.err
    assert "--no-live" in ended.err
    captured.within("verify", "--no-live", "--database-url", other.url)


def test_what_is_not_there(captured: Flagsnap) -> None:
    for arguments in (("v9",), ("--expect", "v9"), ("v9", "--level", "manifest")):
        ended = captured.within("verify", *arguments, code=5)
        assert f"error: no snapshot v9 in {captured.place.url}\n" in ended.err
    ended = captured.within("verify", "--store", f"{captured.place.url}/empty", code=5)
    assert "error: there is no snapshot in" in ended.err


def test_what_is_to_be_expected_is_looked_for_first(captured: Flagsnap) -> None:
    """So that nothing is found and then not told."""
    _flip(captured.place, a_file(captured))
    captured.within("verify", "v2", "--expect", "v9", code=5)
    assert "v2/verified.json" not in captured.files()
    assert set(failed_checks(captured, "v2", "--expect", "v2")) == {"files"}


def test_a_store_that_fails_late_hides_nothing(captured: Flagsnap, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Snapshots) -> None:
        raise StoreFailed("the store is gone")

    damage = _flip(captured.place, a_file(captured))
    monkeypatch.setattr(Snapshots, "list", fail)
    found = captured.within("verify", "v2", "--max-age", "26h", "--json", code=3).json
    assert [(check["name"], check["checked"], check["detail"]) for check in found["checks"] if not check["ok"]] == [
        ("files", True, damage),
        ("store", False, "the store is gone"),
    ]


def test_the_snapshot_is_left_as_it_is(captured: Flagsnap) -> None:
    before = {key: captured.place.get(key) for key in in_store(captured)}
    captured.within("verify", "v2", "--expect", "v2")
    captured.within("verify", "v2", "--level", "toc")
    now = {key: captured.place.get(key) for key in in_store(captured) if not key.startswith(".index/")}
    assert now.pop("v2/verified.json")
    assert now == {key: content for key, content in before.items() if not key.startswith(".index/")}
    assert drafts(captured) == []
