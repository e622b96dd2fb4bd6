"""Captures to S3 whose dump or whose uploads fail in the middle: one clear error, and nothing is left anywhere."""

import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.faults import Status
from tests.fix_cli import Ended
from tests.fix_databases import Database
from tests.fix_s3 import S3Place
from tests.integration.captures import Process, ended_afterwards, held_up, outcome, wait_for
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, Scene, dumps_of, said, scene, tables
from tests.integration.sample_deploy import HeldProgram

COPYING = "FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'COPY %large0%' AND state = 'active'"


def wait_for_an_upload(at: Scene, process: Process) -> None:
    wait_for(lambda: any("dumps/" in each.key for each in at.proxy.requests), process)


def test_a_table_that_is_dropped_under_it(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(MIGRATIONS)
    with scene(s3, database, tmp_path) as at:
        with held_up(database, at.flagsnap, *CAPTURE[1:]) as capture:
            capture.holder.execute("DROP TABLE gate; COMMIT")
            ended = Ended(*outcome(capture.process))
        # Whoever of the two looks first: pg_dump, or who records the schema.
        what = "(the dump failed: pg_dump ended with exit code 1: pg_dump: error|PostgreSQL refused): .*"
        assert ended.code == 1
        assert re.search(f"^error: {what}(does not exist|could not open relation)", ended.err, re.MULTILINE), ended.err
        at.assert_nothing()


def test_a_connection_that_is_lost_while_files_go_up(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(MIGRATIONS + tables(1, 40, "large") + tables(3, 0.1))
    copying = COPYING.format(database.name)
    with scene(s3, database, tmp_path) as at:
        with ended_afterwards(at.flagsnap.start(*CAPTURE, "--jobs", "2")) as process:
            wait_for_an_upload(at, process)
            wait_for(lambda: database.rows(f"SELECT {copying}", "postgres"), process)
            database.rows(f"SELECT pg_terminate_backend(pid) {copying}", "postgres")
            ended = Ended(*outcome(process))
        error, _ = said(ended)
        assert ended.code == 1
        assert error.startswith("the dump failed: pg_dump ended with exit code 1: pg_dump: error:"), error
        assert "terminating connection" in error or "large0" in error
        at.assert_nothing()


def test_scratch_space_that_is_full(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(MIGRATIONS + tables(1, 3))
    with scene(s3, database, tmp_path) as at:
        scratch = shlex.quote(str(at.scratch))
        capture = shlex.join([sys.executable, "-m", "flagsnap", *CAPTURE])
        script = (
            f"mount -t tmpfs -o size=1m none {scratch} || exit 99; {capture}; code=$?;"
            f" find {scratch} -type f; exit $code"
        )
        ended = in_a_mount_namespace(script, at)
        error, hint = said(ended)
        assert ended.code == 1
        assert error.startswith("the dump failed: pg_dump ended with exit code 1: pg_dump: error: ")
        assert error.endswith("No space left on device")
        assert hint == f"free space in {at.scratch} (TMPDIR), and run the same command again"
        at.assert_nothing()


def in_a_mount_namespace(script: str, at: Scene) -> Ended:
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *as_root, "--mount", "sh", "-c", script],
        env={**os.environ, **at.flagsnap.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def endless(at: Scene, folder: Path) -> tuple[HeldProgram, dict[str, str]]:
    """A pg_dump that writes all of its files, and then takes half a minute to end."""
    program = HeldProgram.make(folder / "held", at.database.server.bin_dir, "pg_dump", "--format=directory")
    return program, {"FLAGSNAP_PG_BIN": str(program.folder)}


@pytest.mark.parametrize(
    ("status", "code", "error", "hint"),
    [
        (403, "AccessDenied", "these credentials lack s3:PutObject", "allow it"),
        (400, "ExpiredToken", "the credentials have expired", "renew them"),
        (403, "InvalidAccessKeyId", "the store does not know the access key", "set AWS_ACCESS_KEY_ID"),
    ],
)
def test_credentials_that_end_meanwhile(
    status: int, code: str, error: str, hint: str, s3: S3Place, database: Database, tmp_path: Path
) -> None:
    """From the second file on nothing is stored; pg_dump is ended, not waited for."""
    database.execute(MIGRATIONS + tables(4, 0.1))
    with scene(s3, database, tmp_path) as at:
        _, slow = endless(at, tmp_path)
        at.proxy.inject(Status(status, code), "PutObject", "dumps/", times=None, after=1)
        began = time.monotonic()
        ended = at.flagsnap(*CAPTURE, code=1, **slow)
        assert time.monotonic() - began < 25
        assert said(ended)[0] == f"the store {s3.url} cannot be used: {error}"
        assert said(ended)[1].startswith(hint)
        at.assert_nothing()


def test_a_bucket_that_is_deleted_meanwhile(s3: S3Place, database: Database, tmp_path: Path) -> None:
    database.execute(MIGRATIONS + tables(12, 0.2))
    with scene(s3, database, tmp_path) as at:
        at.proxy.rate_limit(300_000)
        with ended_afterwards(at.flagsnap.start(*CAPTURE)) as process:
            wait_for_an_upload(at, process)
            wait_for(lambda: deleted(at), process)
            ended = Ended(*outcome(process))
        assert ended.code == 1, ended.err
        # On rclone the bucket is a folder, which the next upload makes again.
        missing = f"the store {s3.url} cannot be used: there is no bucket {s3.bucket}"
        words = f"{missing}|{s3.url}/v2/.* was sent, and is not there"
        assert re.fullmatch(words, said(ended)[0]), ended.err
        wait_for(lambda: not dumps_of(database))
        assert list(at.scratch.iterdir()) == []


def deleted(at: Scene) -> bool:
    """Delete the bucket; an upload may come in between."""
    at.empty()
    with suppress(ClientError):
        at.place.client.delete_bucket(Bucket=at.place.bucket)
        return True
    return False
