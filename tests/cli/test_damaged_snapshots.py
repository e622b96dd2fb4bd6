"""Snapshots that are not as they were published, at the command line: one line, a hint, exit code 5."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.fix_cli import Ended, Flagsnap, Folder
from tests.fix_databases import Database
from tests.fix_s3 import S3Place
from tests.integration.captures import SCHEMA, drafts

READERS = (("show", "v2"), ("plan", "--to", "v2"), ("rollback", "--to", "v2", "--yes"), ("verify", "--expect", "v2"))


@dataclass(frozen=True)
class File:
    """A file of the store, wherever that is."""

    place: Folder | S3Place
    key: str

    def read(self) -> bytes:
        return self.place.get(self.key)

    def write(self, content: bytes | bytearray) -> None:
        self.place.put(self.key, bytes(content))


@pytest.fixture
def manifest(flagsnap: Flagsnap, database: Database) -> "File":
    """The manifest of the only snapshot, `v2`."""
    database.execute(SCHEMA)
    flagsnap.within("capture", "--deploy-id", "v2")
    return File(flagsnap.place, "v2/manifest.json")


def assert_refused(ended: Ended, message: str) -> None:
    assert ended.code == 5
    error, hint = [line for line in ended.err.splitlines() if line.startswith(("error:", "hint:"))]
    assert message in error
    assert hint.startswith("hint: ")
    assert ended.out == ""


def test_a_manifest_truncated_anywhere(flagsnap: Flagsnap, manifest: File) -> None:
    whole = manifest.read()
    for percent in range(0, 100, 5):
        manifest.write(whole[: len(whole) * percent // 100])
        assert_refused(flagsnap.within("show", "v2", code=None), "the manifest of v2 is damaged: it is not whole JSON")


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses(flagsnap: Flagsnap, manifest: File, reader: tuple[str, ...]) -> None:
    whole = manifest.read()
    manifest.write(whole[:-10])
    assert_refused(flagsnap.within(*reader, code=None), "the manifest of v2 is damaged: it is not whole JSON")
    manifest.write(whole.replace(b'"rows": 50,', b'"rows": 51,'))
    assert_refused(flagsnap.within(*reader, code=None), "it was altered")


def test_any_digit_that_changes(flagsnap: Flagsnap, manifest: File) -> None:
    whole = manifest.read()
    digits = [position for position, byte in enumerate(whole) if chr(byte).isdigit()]
    for position in digits[:: max(1, len(digits) // 40)]:
        altered = bytearray(whole)
        altered[position] = ord("0") + (altered[position] - ord("0") + 1) % 10
        manifest.write(altered)
        assert_refused(flagsnap.within("show", "v2", code=None), "the manifest of v2 ")


def test_a_newer_format(flagsnap: Flagsnap, manifest: File) -> None:
    content = json.loads(manifest.read()) | {"format": 3, "databases": {"in": "another shape"}}
    manifest.write(json.dumps(content).encode())
    ended = flagsnap.within("show", "v2", code=None)
    assert_refused(ended, "the manifest of v2 has format 3, this flagsnap reads formats up to 2")
    assert "hint: use the flagsnap that made it, or a newer one" in ended.err
    assert_refused(flagsnap.within("capture", "--deploy-id", "v2", code=None), "has format 3")


def test_a_snapshot_under_another_name(flagsnap: Flagsnap, manifest: File) -> None:
    for key in flagsnap.files("v2/"):
        flagsnap.place.put(key.replace("v2", "v3", 1), flagsnap.place.get(key))
        flagsnap.place.delete(key)
    assert_refused(flagsnap.within("show", "v3", code=None), "the manifest of v3 is damaged: it is the manifest of v2")
    assert flagsnap.within("list", "--json").json["damaged"][0]["deploy_id"] == "v3"


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("databases"),
        lambda content: content["databases"].clear(),
        lambda content: content["databases"][0].pop("dump"),
        lambda content: content["databases"][0]["dump"]["files"][0].update(path="../../../etc/passwd"),
        lambda content: content["databases"][0].update(catalog=[["nonsense"]]),
        lambda content: content["databases"][0].update(catalog=[]),
    ],
)
def test_a_manifest_that_was_made_wrong(flagsnap: Flagsnap, manifest: File, change: Callable[[object], object]) -> None:
    """With the right digest: not damaged on the way, but written by something that is not flagsnap."""
    content = json.loads(manifest.read())
    del content["digest"]
    change(content)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    content["digest"] = f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
    manifest.write(json.dumps(content, indent=1, ensure_ascii=False).encode())
    assert_refused(flagsnap.within("verify", "--expect", "v2", code=None), "the manifest")


def test_a_damaged_snapshot_is_never_replaced(flagsnap: Flagsnap, manifest: File) -> None:
    manifest.write(b"{")
    assert_refused(flagsnap.within("capture", "--deploy-id", "v2", code=None), "the manifest of v2 is damaged")
    assert manifest.read() == b"{"


@pytest.mark.local_store
def test_a_manifest_that_is_no_file(flagsnap: Flagsnap, manifest: File) -> None:
    flagsnap.place.delete(manifest.key)
    (flagsnap.store / manifest.key).mkdir()
    assert_refused(flagsnap.within("show", "v2", code=None), "no snapshot v2 in ")


@pytest.mark.local_store
def test_what_is_in_the_way_of_a_snapshot_is_left_alone(flagsnap: Flagsnap, database: Database) -> None:
    (flagsnap.store / "v2" / "dumps").mkdir(parents=True)
    (flagsnap.store / "v2" / "dumps" / "mine").write_text("x")
    refused = flagsnap.within("capture", "--deploy-id", "v2", code=2)
    assert "error: snapshot v2 " in refused.err
    assert (flagsnap.store / "v2" / "dumps" / "mine").read_text() == "x"
    assert drafts(flagsnap) == []
