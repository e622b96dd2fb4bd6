"""What commands ask of the store: a handful of requests, however many snapshots there are."""

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flagsnap.snapshot import MANIFEST, Summary
from flagsnap.stores.index import FOLDER, summary_entry
from tests.fix_databases import Database
from tests.fix_s3 import S3Place, place
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, SOME_SIZE, Scene, scene, tables

# Beside the uploads themselves, in the order in which they are made.
CAPTURES = (
    "GetObject",  # is there a snapshot of that id?
    "ListObjectsV2",  # claims of dead runs
    "PutObject",  # the claim
    "ListObjectsV2",  # and those of others
    "GetObject",  # it can be read
    "PutObject",  # does the store know conditional writes?
    "ListObjectsV2",  # what an unknown run has left: files,
    "ListObjectsV2",  # entries in the index
    "ListMultipartUploads",  # and unfinished uploads
    "ListObjectsV2",  # all files have arrived
    "GetObject",  # the claim, as also every ten seconds before
    "PutObject",  # the manifest
    "GetObject",  # read back
    "GetObject",  # the claim
    "PutObject",  # the index entry
    "DeleteObjects",  # the claim goes
)

SHOW = ("GetObject",) * 4  # the manifest, and whether there is a rehearsal, a verification, a pin

VERIFY = 20  # the manifest and what is beside it, which files there are, and half of it to keep the result


def seen(at: Scene, *arguments: str) -> list[str]:
    """The operations of one command, which must succeed."""
    at.proxy.clear()
    at.flagsnap.within(*arguments)
    return at.proxy.operations


def put_all(place: S3Place, objects: Iterable[tuple[str, bytes]]) -> None:
    client = place.server.client(max_pool_connections=8)
    with ThreadPoolExecutor(8) as pool:
        for done in [
            pool.submit(client.put_object, Bucket=place.bucket, Key=f"{place.prefix}/{key}", Body=body)
            for key, body in objects
        ]:
            done.result()


@pytest.mark.parametrize(("kind", "count", "most"), [("moto", 2000, 8), ("rclone", 200, 8)])
def test_many_snapshots(kind: str, count: int, most: int, database: Database, tmp_path: Path) -> None:
    there, first = place(kind), datetime(2026, 1, 1, tzinfo=UTC)
    ids = [f"d{number:04}" for number in range(count)]
    summaries = [
        Summary(deploy_id=each, captured_at=first + timedelta(hours=n), bytes=1, migrations=1, labels={"n": str(n)})
        for n, each in enumerate(ids)
    ]
    put_all(there, ((f"{each}/{MANIFEST}", b"{}") for each in ids))
    put_all(there, ((f"{FOLDER}{each.deploy_id}/{summary_entry(each)}", b"") for each in summaries))
    database.execute(MIGRATIONS)
    with scene(there, database, tmp_path) as at:
        at.flagsnap.within(*CAPTURE)
        at.proxy.clear()
        listed = at.flagsnap.within("list", "--json").json
        assert [each["deploy_id"] for each in listed["snapshots"]] == ["v2", *reversed(ids)]
        assert listed["snapshots"][1]["labels"] == {"n": str(count - 1)}
        assert len(at.proxy.requests) <= most
        assert set(at.proxy.operations) == {"ListObjectsV2"}
        newest = seen(at, "show", "latest")
        assert len(newest) <= most + len(SHOW)
        assert Counter(newest)["GetObject"] == len(SHOW)
        assert len(seen(at, "plan", "--to", "latest")) <= most + 1


def test_one_snapshot(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(SOME_SIZE)
    with scene(s3, database, tmp_path) as at:
        captured = seen(at, *CAPTURE)
        uploads = [each for each in at.proxy.requests if "/dumps/" in each.key]
        beside = [each.operation for each in at.proxy.requests if each not in uploads]
        assert tuple(beside) == CAPTURES
        files = len(at.manifest().files)
        in_parts = Counter(each.operation for each in uploads)
        assert in_parts["PutObject"] == files - 1
        assert in_parts["CreateMultipartUpload"] == in_parts["CompleteMultipartUpload"] == 1
        assert len(captured) == len(CAPTURES) + len(uploads)
        assert seen(at, *CAPTURE) == ["GetObject"]  # again: it is there
        assert seen(at, "show", "v2") == list(SHOW)
        assert len(seen(at, "verify", "v2", "--level", "manifest")) <= VERIFY
        assert seen(at, "plan", "--to", "v2") == ["GetObject"] * 2  # the manifest, and whether there is a rehearsal


def test_files_are_verified_by_reading_each_once(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(SOME_SIZE)
    with scene(s3, database, tmp_path) as at:
        at.flagsnap.within(*CAPTURE)
        at.scratch.rmdir()  # no scratch space is needed
        at.proxy.clear()
        at.flagsnap.within("verify", "v2")
        read = Counter(each.key.removeprefix(f"{s3.prefix}/") for each in at.proxy.requests if each.method == "GET")
        recorded = [f"v2/{file.path}" for file in at.manifest().files]
        assert {key: times for key, times in read.items() if "/dumps/" in key} == dict.fromkeys(recorded, 1)
        assert len(at.proxy.requests) <= len(recorded) + VERIFY


def test_snapshots_that_the_index_does_not_know(s3: S3Place, database: Database, tmp_path: Path) -> None:
    """One whose entry somebody has deleted, one whose labels are too long for it, one that was copied by hand."""
    database.execute(MIGRATIONS + tables(1, 0.1))
    with scene(s3, database, tmp_path) as at:
        at.flagsnap.within("capture", "--deploy-id", "v1")
        at.flagsnap.within("capture", "--deploy-id", "v2", "--label", f"long={'x' * 300}")
        kept = s3.keys()
        (entry,) = (key for key in kept if key.startswith(".index/"))
        assert entry.startswith(".index/v1/")
        s3.delete(entry)
        elsewhere = place(s3.server.kind)
        for key in kept:
            if key.startswith("v2/"):
                elsewhere.put(key, s3.get(key))
        assert at.snapshots() == ["v1", "v2"]
        labels = [each["labels"] for each in at.flagsnap.within("list", "--json").json["snapshots"]]
        assert labels == [{"long": "x" * 300}, {}]
        copied = at.flagsnap.within("list", "--json", "--store", elsewhere.url)
        assert [each["deploy_id"] for each in json.loads(copied.out)["snapshots"]] == ["v2"]
        at.flagsnap.within("verify", "v2", "--store", elsewhere.url)


def test_what_is_no_snapshot_is_not_listed(s3: S3Place, database: Database, tmp_path: Path) -> None:
    """Objects of somebody else, index entries without a snapshot, files without a manifest."""
    with scene(s3, database, tmp_path) as at:
        for key in ("notes.txt", "v1/dumps/default/toc.dat", ".index/v0/captured_at=2026", ".index/v9/x", "a b/c"):
            s3.put(key, b"x")
        assert at.snapshots() == []
