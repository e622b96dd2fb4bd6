"""The dump of a snapshot: pg_dump at work, and each of its files taken over as soon as it is finished.

Where the store is slower than pg_dump, finished files pile up; when there are too many, pg_dump is held back.
"""

import hashlib
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flagsnap.errors import ChildFailed, FlagsnapError
from flagsnap.loss.values import TableKey
from flagsnap.postgres.clients import Clients
from flagsnap.postgres.connection import Address
from flagsnap.postgres.dump import compression_for, dump_command, finished_item
from flagsnap.process import run
from flagsnap.progress import Progress, Task
from flagsnap.snapshot import Dump, DumpFile
from flagsnap.stores.base import Draft

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Dumper:
    """Dumps a database into a folder of a draft.

    Attributes:
        path: that folder within the snapshot.
        title: what the work is called while it is done.
    """

    clients: Clients
    address: Address
    jobs: int
    lock_timeout: float
    draft: Draft
    path: str
    title: str

    def dump(
        self, snapshot: str, sizes: Mapping[TableKey, int], only: Collection[TableKey] | None, progress: Progress
    ) -> Dump:
        """Dump what the exported `snapshot` shows; `sizes` of the tables weigh the progress. FlagsnapError.

        `only` these tables are dumped; None for the whole database.
        """
        began = time.monotonic()
        compression = compression_for(self.clients)
        folder = self.draft.folder / self.path
        folder.parent.mkdir(parents=True, mode=0o700)
        command = dump_command(
            self.clients,
            self.address,
            folder,
            jobs=self.jobs,
            snapshot=snapshot,
            compression=compression,
            lock_timeout=self.lock_timeout,
            only=only,
        )
        with _Files(self.draft, self.path) as files:
            with progress.task(self.title, sum(sizes.values()), "bytes") as task:
                weights = _Weights(sizes, task)

                def read(line: str) -> None:
                    if item := finished_item(line):
                        files.take(f"{item.dump_id}.dat*")
                        weights.finished(item.name)

                try:
                    # pg_dump may be silent for an hour, with a large table; a store that fails is no reason to wait.
                    run(command, read, files.too_many if self.draft.room is not None else None, files.check)
                except ChildFailed as error:
                    raise _failed(error, self.draft.place) from error
            # What is left: `toc.dat`, and large objects.
            files.take("*")
            recorded = files.all()
        return Dump(
            tool="pg_dump",
            tool_version=self.clients.version,
            compression=compression,
            jobs=self.jobs,
            seconds=round(time.monotonic() - began, 3),
            files=recorded,
        )


class _Files:
    """The dump's files: each is hashed and handed to the store as soon as pg_dump has finished it."""

    def __init__(self, draft: Draft, path: str) -> None:
        self._draft = draft
        self._path = path
        self._folder = draft.folder / path
        self._pool = ThreadPoolExecutor(draft.workers)
        self._taken: dict[str, Future[DumpFile]] = {}
        self._waiting = self._largest = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            self._draft.cancel()
        self._pool.shutdown(cancel_futures=True)

    def take(self, pattern: str) -> None:
        """Take over the finished files of that name; raises what went wrong with an earlier one."""
        self.check()
        for path in self._folder.glob(pattern):
            if path.name not in self._taken:
                size = path.stat().st_size
                self._wait_for(size)
                self._largest = max(self._largest, size)
                self._taken[path.name] = self._pool.submit(self._add, path, size)

    def check(self) -> None:
        """Raise what went wrong with a file so far."""
        for future in list(self._taken.values()):
            if future.done():
                future.result()

    def too_many(self) -> bool:
        """Whether more bytes wait for the store than the draft has room for.

        The largest file so far may always wait: while pg_dump makes the next one, there is something to send.
        """
        return self._waiting > max(self._draft.room or 0, self._largest)

    def all(self) -> tuple[DumpFile, ...]:
        """Wait for all."""
        return tuple(sorted((future.result() for future in self._taken.values()), key=lambda file: file.path))

    def _add(self, path: Path, size: int) -> DumpFile:
        try:
            file = DumpFile(path=f"{self._path}/{path.name}", bytes=size, sha256=_hash(path))
            self._draft.add(file.path)
        finally:
            self._wait_for(-size)
        return file

    def _wait_for(self, size: int) -> None:
        with self._lock:
            self._waiting += size


def _hash(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; memory does not grow with the file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _Weights:
    """Turns finished tables into progress, by their size on disk; pg_dump tells names without schemas."""

    def __init__(self, sizes: Mapping[TableKey, int], task: Task) -> None:
        self._task = task
        self._sizes: dict[str, list[int]] = {}
        for (_, table), size in sizes.items():
            self._sizes.setdefault(table, []).append(size)

    def finished(self, table: str) -> None:
        """Advance by the table's size."""
        if sizes := self._sizes.get(table):
            self._task.advance(sizes.pop())


def _failed(error: ChildFailed, place: str) -> FlagsnapError:
    hint = "nothing was stored; run the same command again when the cause is gone"
    if "No space left" in error.tail:
        hint = f"free space in {place}, and run the same command again"
    return FlagsnapError(f"the dump failed: {error}", hint)
