"""flagsnap killed or interrupted while it captures to S3 or fetches from there: no half snapshot, nothing stays."""

import signal
import time
from pathlib import Path

import pytest

from tests.faults import Slow
from tests.fix_cli import Flagsnap
from tests.fix_databases import Database
from tests.fix_s3 import S3Place
from tests.integration.captures import Process, ended_afterwards, outcome, wait_for
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, SOME_SIZE, Hold, Scene, scene, tables
from tests.integration.sample_deploy import scratch as scratch_databases

SLOW = 2e6
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def kill(process: Process, database: Database) -> None:
    """Kill it, and wait until PostgreSQL has noticed: until then its lock is held."""
    process.kill()
    process.communicate()
    holders = "SELECT FROM pg_stat_activity WHERE application_name = 'flagsnap capture lock'"
    wait_for(lambda: not database.rows(f"{holders} AND datname = '{database.name}'", "postgres"))


def seconds_of_a_capture(scene: Scene) -> float:
    """From its first request to its end."""
    with ended_afterwards(scene.flagsnap.start(*CAPTURE)) as process:
        wait_for(lambda: scene.proxy.requests, process)
        began = time.monotonic()
        assert outcome(process)[0] == 0
    return time.monotonic() - began


def test_killed_at_every_tenth_of_a_capture(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(SOME_SIZE)
    with scene(s3, database, tmp_path) as at:
        whole = seconds_of_a_capture(at)
        at.assert_whole("v2")
        for tenth in range(1, 10):
            at.empty()
            at.proxy.clear()
            with ended_afterwards(at.flagsnap.start(*CAPTURE)) as process:
                wait_for(lambda: at.proxy.requests, process)
                time.sleep(whole * tenth / 10)
                kill(process, database)
            if at.snapshots():
                at.flagsnap.within("verify", "v2")
                at.empty()
            at.flagsnap.within(*CAPTURE)
            at.assert_whole("v2")
        copy = f"{database.name}_copy"
        at.flagsnap.within("restore", "v2", "--into", copy)
        assert database.rows("SELECT count(*) FROM large0", copy) == database.rows("SELECT count(*) FROM large0")


@pytest.mark.parametrize(
    ("operation", "key", "answer"),
    [
        ("PutObject", ".drafts/v2", False),
        ("PutObject", ".drafts/v2", True),
        ("PutObject", "toc.dat", True),
        ("UploadPart", ".dat", True),
        ("CompleteMultipartUpload", ".dat", False),
        ("PutObject", "manifest.json", False),
        ("PutObject", "manifest.json", True),
        ("PutObject", ".index/", False),
        ("DeleteObjects", "", False),
    ],
)
def test_killed_at_a_request(
    operation: str, key: str, answer: bool, s3: S3Place, database: Database, tmp_path: Path
) -> None:
    """On the way to the store, or when the store has done it and the answer is on its way."""
    in_parts = operation not in {"PutObject", "DeleteObjects"}
    database.execute(MIGRATIONS + tables(3, 0.1) + tables(int(in_parts), 10, "large"))
    hold = Hold(answer)
    published = operation == "DeleteObjects" or key == ".index/" or (key == "manifest.json" and answer)
    with scene(s3, database, tmp_path) as at:
        at.proxy.inject(hold, operation, key)
        with ended_afterwards(at.flagsnap.start(*CAPTURE)) as process:
            wait_for(hold.reached.is_set, process)
            kill(process, database)
        at.proxy.down()  # what it had sent does not arrive later
        at.proxy.up()
        assert at.snapshots() == ["v2"] * published
        assert at.flagsnap.within(*CAPTURE, "--json").json["reused"] == published
        if published:
            # The dead run's claim goes with the next snapshot; an index entry that was not put is not missed.
            at.flagsnap.within("capture", "--deploy-id", "v3")
            assert at.snapshots() == ["v2", "v3"]
            at.flagsnap.within("verify", "v2")
            kept = s3.keys()
            assert not [name for name in kept if name.startswith(".drafts/")]
            at.assert_no_waste()
        else:
            at.assert_whole("v2")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("uploads", [1, 6], ids=["early", "late"])
def test_an_interrupted_capture_leaves_nothing(
    uploads: int, number: signal.Signals, s3: S3Place, database: Database, tmp_path: Path
) -> None:
    """While it uploads, on a line that is so slow that it would take a while."""
    database.execute(SOME_SIZE)
    with scene(s3, database, tmp_path) as at:
        at.proxy.rate_limit(SLOW)
        with ended_afterwards(at.flagsnap.start(*CAPTURE)) as process:
            wait_for(lambda: sum("dumps/" in each.key for each in at.proxy.requests) >= uploads, process)
            began = time.monotonic()
            process.send_signal(number)
            code, out, err = outcome(process)
        assert (code, out) == (130, ""), err
        assert "error: interrupted\n" in err
        assert time.monotonic() - began < 15
        at.assert_nothing()


def fetching(at: Scene, flagsnap: Flagsnap, copy: str) -> Process:
    """A restore that has begun to fetch and will take long."""
    at.proxy.inject(Slow(1e6), "GetObject", "dumps/", times=None)
    process = flagsnap.start("restore", "v2", "--into", copy)
    wait_for(lambda: [path for path in at.scratch.rglob("*.dat*") if path.stat().st_size > 100_000], process)
    return process


def test_a_killed_fetch_is_cleaned_up_by_the_next_one(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(SOME_SIZE)
    copy = f"{database.name}_copy"
    with scene(s3, database, tmp_path) as at:
        at.flagsnap.within(*CAPTURE)
        with ended_afterwards(fetching(at, at.flagsnap, copy)) as process:
            process.kill()
            process.communicate()
        assert len(list(at.scratch.iterdir())) == 1
        at.proxy.clear()
        at.flagsnap.within("restore", "v2", "--into", copy)
        assert database.rows("SELECT count(*) FROM large0", copy) == database.rows("SELECT count(*) FROM large0")
        assert scratch_databases(database) == []
        at.assert_whole("v2")


@pytest.mark.parametrize("number", SIGNALS)
def test_an_interrupted_fetch_leaves_nothing(
    number: signal.Signals, s3: S3Place, database: Database, tmp_path: Path
) -> None:
    database.execute(SOME_SIZE)
    with scene(s3, database, tmp_path) as at:
        at.flagsnap.within(*CAPTURE)
        with ended_afterwards(fetching(at, at.flagsnap, f"{database.name}_copy")) as process:
            began = time.monotonic()
            process.send_signal(number)
            code, out, err = outcome(process)
        assert (code, out) == (130, ""), err
        assert time.monotonic() - began < 15
        assert database.relatives() == [database.name]
        at.assert_whole("v2")
