"""A store that is slower than pg_dump: the scratch space stays bounded, and so does memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from flagsnap.stores.s3.draft import S3Draft
from tests.fix_databases import Database
from tests.fix_s3 import S3Place, place
from tests.integration.captures import ended_afterwards, peak_memory
from tests.integration.s3_captures import CAPTURE, MIGRATIONS, Scene, scene, tables

MB = 1_000_000


@contextmanager
def peak_of(at: Scene) -> Iterator[list[int]]:
    """The sizes of the scratch space for as long as the block lasts; the largest is the peak."""
    sizes = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            with suppress(FileNotFoundError):  # a folder is removed while it is being looked into
                sizes.append(sum(map(_size, at.scratch.rglob("*"))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        done.set()
        thread.join()


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # it has been uploaded
        return path.stat().st_size if path.is_file() else 0
    return 0


def test_scratch_space_is_bounded(
    s3: S3Place, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for 4 of 24 MB, and the two files at which pg_dump is at work."""
    database.execute(MIGRATIONS + tables(16, 1.5))
    monkeypatch.setattr("flagsnap.stores.s3.store.S3Draft", partial(S3Draft, room=4 * MB))
    with scene(s3, database, tmp_path) as at:
        at.proxy.rate_limit(3 * MB)
        with peak_of(at) as sizes:
            at.flagsnap.within(*CAPTURE, "--jobs", "2")
        dumped = sum(file.bytes for file in at.manifest().files)
        assert dumped > 20 * MB
        assert max(sizes) < dumped / 2
        at.assert_whole("v2")


def test_memory_is_bounded(database: Database, tmp_path: Path) -> None:
    """The whole of it, as it is: more than the room of a draft, in files that are uploaded in parts."""
    database.execute(MIGRATIONS + tables(12, 10))
    there = place("moto")
    with scene(there, database, tmp_path) as at:
        at.proxy.rate_limit(12 * MB)
        with peak_of(at) as sizes, ended_afterwards(at.flagsnap.start(*CAPTURE, "--jobs", "2")) as process:
            memory = 0
            while process.poll() is None:
                memory = max(memory, peak_memory(process.pid))
                time.sleep(0.02)
        dumped = sum(file.bytes for file in at.manifest().files)
        assert process.returncode == 0
        assert dumped > 100 * MB
        assert max(sizes) < 100 * MB
        assert 0 < memory < 200 * MB
        at.assert_whole("v2")
        at.empty()
