"""The manifest: what is written is read back, and nothing else is."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flagsnap.errors import SnapshotDamaged, UsageError
from flagsnap.loss.values import RefillItem
from flagsnap.migrations import Migration
from flagsnap.snapshot import (
    ARCHIVE_FORMAT,
    Archive,
    Manifest,
    archive_id_from,
    check_deploy_id,
    deploy_id_from,
    newest_first,
    read_manifest,
    require_whole,
    state_of,
)
from tests.unit.sample_manifests import CAPTURED, sample_manifest

ID = "2.265.0"


@pytest.mark.parametrize("deploy_id", ["2.265.0", "a", "7", "v2_3-rc.1", "latest2", "x" * 128])
def test_deploy_ids(deploy_id: str) -> None:
    assert check_deploy_id(deploy_id) == deploy_id


@pytest.mark.parametrize(
    "deploy_id",
    ["", "latest", "x" * 129, "../x", "a/b", ".hidden", "-x", "_x", "a b", "a\n", "a\0", "ä", "１", "~", "a~b", "."],  # noqa: RUF001
)
def test_what_is_no_deploy_id(deploy_id: str) -> None:
    with pytest.raises(UsageError, match="is not a deploy id") as refused:
        check_deploy_id(deploy_id)
    assert "1 to 128 letters" in refused.value.hint
    assert "\n" not in str(refused.value)


def test_a_generated_deploy_id_is_one_and_tells_the_time_in_utc() -> None:
    made = deploy_id_from(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone())
    assert check_deploy_id(made) == "20260102T030405Z"


def test_what_is_written_is_read_back() -> None:
    manifest = sample_manifest(ticket="ÄB-1", note='"quoted"')
    assert read_manifest(manifest.to_json(), ID) == manifest
    assert manifest.summary.model_dump() == {
        "deploy_id": ID,
        "captured_at": CAPTURED,
        "labels": {"ticket": "ÄB-1", "note": '"quoted"'},
        "bytes": 2000,
        "migrations": 2,
        "archive_of": None,
        "state": state_of([Migration("features", "0002_tag"), Migration("features", "0001_initial")]),
    }
    assert manifest.database.rows_of("public", "features_feature") == 42
    assert manifest.database.rows_of("public", "other") is None
    assert manifest.database.server_major == 18


def test_a_truncated_manifest_is_refused_at_every_length() -> None:
    raw = sample_manifest().to_json()
    for length in range(len(raw)):
        with pytest.raises(SnapshotDamaged, match=r"manifest of 2.265.0"):
            read_manifest(raw[:length], ID)


def test_an_altered_manifest_is_refused_whichever_byte_it_is() -> None:
    raw = sample_manifest(note="x").to_json()
    for position, byte in enumerate(raw):
        altered = bytearray(raw)
        altered[position] = ord("9") if byte != ord("9") else ord("0")
        with pytest.raises(SnapshotDamaged):
            read_manifest(bytes(altered), ID)
    with pytest.raises(SnapshotDamaged, match="its bytes are not those that flagsnap writes"):
        read_manifest(raw + b"\n", ID)


def test_a_newer_format_is_refused_with_what_to_do() -> None:
    raw = _changed(format=ARCHIVE_FORMAT + 1, digest=None, databases="in some other shape")
    with pytest.raises(SnapshotDamaged, match=r"has format 3, this flagsnap reads formats up to 2") as refused:
        read_manifest(raw, ID)
    assert refused.value.hint == "use the flagsnap that made it, or a newer one"


@pytest.mark.parametrize("whole", [False, True])
def test_an_archive_is_read_back(whole: bool) -> None:
    manifest = archive(whole=whole)
    assert read_manifest(manifest.to_json(), manifest.deploy_id) == manifest
    assert manifest.summary.archive_of == ID


def test_a_partial_archive_is_no_way_back() -> None:
    for manifest in (sample_manifest(), archive(whole=True)):
        assert require_whole(manifest) is manifest
    with pytest.raises(UsageError, match="is an archive of some tables") as refused:
        require_whole(archive(whole=False))
    assert "flagsnap refill --from 2.265.0-archive-20261122T140200Z" in refused.value.hint


def test_the_deploy_id_of_an_archive_is_one_however_long_the_other_is() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert archive_id_from(ID, moment) == "2.265.0-archive-20260102T030405Z"
    assert archive_id_from("x" * 103, moment) == "x" * 103 + "-archive-20260102T030405Z"
    assert check_deploy_id(archive_id_from("x" * 128, moment)) == "x" * 103 + "-archive-20260102T030405Z"


def archive(*, whole: bool) -> Manifest:
    """The sample manifest as one of an archive."""
    item = RefillItem("public", "features_feature", ("colour",), ("id",), condition="id > 3", overwrite=False)
    made = sample_manifest(archive_id_from(ID, CAPTURED))
    return made.model_copy(
        update={"format": ARCHIVE_FORMAT, "archive": Archive(rollback_to=ID, whole=whole, items=(item,))}
    )


def test_unknown_keys_are_ignored_and_still_protected() -> None:
    raw = _signed({**_content(), "from_the_future": {"a": [1]}})
    assert read_manifest(raw, ID) == sample_manifest()
    with pytest.raises(SnapshotDamaged, match="altered"):
        read_manifest(raw.replace(b'"a":', b'"b":'), ID)


def test_the_manifest_of_another_deploy_is_refused() -> None:
    with pytest.raises(SnapshotDamaged, match=r"it is the manifest of 2.265.0"):
        read_manifest(sample_manifest().to_json(), "2.266.0")


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/dumps/x", "dumps/../../x", ""])
def test_a_file_outside_of_the_snapshot_is_refused(path: str) -> None:
    content = _content()
    content["databases"][0]["dump"]["files"][0]["path"] = path
    with pytest.raises(SnapshotDamaged, match="the path leads out of the snapshot"):
        read_manifest(_signed(content), ID)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'"manifest"', b"\xff\xfe\x00", b"{}", b"\0" * 100])
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(SnapshotDamaged, match="is damaged") as refused:
        read_manifest(raw, ID)
    assert "flagsnap list" in refused.value.hint


def test_a_missing_key_is_named() -> None:
    content = _content()
    del content["databases"][0]["fingerprint"]
    with pytest.raises(SnapshotDamaged, match=r"databases\.0\.fingerprint: Field required"):
        read_manifest(_signed(content), ID)


def test_a_catalog_without_its_fingerprint_is_refused() -> None:
    content = _content()
    content["databases"][0]["fingerprint"] = "sha256:" + "0" * 64
    manifest = read_manifest(_signed(content), ID)
    with pytest.raises(SnapshotDamaged, match="does not have the manifest's fingerprint"):
        _ = manifest.database.schema_catalog


def test_a_state_is_of_a_set_of_migrations() -> None:
    one, other = Migration("a", "0001"), Migration("a", "0002")
    assert state_of([one, other]) == state_of(iter([other, one]))
    assert len({state_of([]), state_of([one]), state_of([other]), state_of([one, other])}) == 4
    assert len(state_of([one])) == 16


def test_newest_first() -> None:
    times = [CAPTURED, CAPTURED + timedelta(hours=2), CAPTURED + timedelta(hours=1)]
    summaries = [sample_manifest(f"d{number}", moment).summary for number, moment in enumerate(times)]
    assert [summary.deploy_id for summary in newest_first(summaries)] == ["d1", "d2", "d0"]


def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(sample_manifest().to_json())
    return content


def _changed(**changes: object) -> bytes:
    return json.dumps({**_content(), **changes}).encode()


def _signed(content: dict[str, Any]) -> bytes:
    """With the right digest, made here as the format says, of the canonical JSON of all the rest, and in its form."""
    rest = {name: value for name, value in content.items() if name != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    signed = {**rest, "digest": f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"}
    return json.dumps(signed, indent=1, ensure_ascii=False).encode()
