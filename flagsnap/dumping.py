"""The dump of a capture: pg_dump at work, and each of its files taken over as soon as it is finished."""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flagsnap.errors import ChildFailed, FlagsnapError
from flagsnap.postgres.clients import Clients
from flagsnap.postgres.connection import Address
from flagsnap.postgres.dump import compression_for, dump_command, finished_item
from flagsnap.process import run
from flagsnap.progress import Progress, Task
from flagsnap.snapshot import Dump, DumpFile
from flagsnap.stores.base import Draft
from flagsnap.stores.snapshots import hash_file

_HASHERS = 2


@dataclass(frozen=True)
class Dumper:
    """Dumps a database into a folder of a draft; `path` is that folder within the snapshot."""

    clients: Clients
    address: Address
    jobs: int
    lock_timeout: float
    draft: Draft
    path: str

    def dump(self, snapshot: str, sizes: Mapping[tuple[str, str], int], progress: Progress) -> Dump:
        """Dump what the exported `snapshot` shows; `sizes` of the tables weigh the progress. FlagsnapError."""
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
        )
        with progress.task("dump", sum(sizes.values()), "bytes") as task, ThreadPoolExecutor(_HASHERS) as pool:
            files = _Files(self.draft, self.path, pool, _Weights(sizes, task))
            try:
                run(command, files.read)
            except ChildFailed as error:
                raise _failed(error) from error
            recorded = files.finish()
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

    def __init__(self, draft: Draft, path: str, pool: ThreadPoolExecutor, weights: "_Weights") -> None:
        self._draft = draft
        self._path = path
        self._folder = draft.folder / path
        self._pool = pool
        self._weights = weights
        self._taken: dict[str, Future[DumpFile]] = {}

    def read(self, line: str) -> None:
        """Read a line of pg_dump."""
        if item := finished_item(line):
            for path in self._folder.glob(f"{item.dump_id}.dat*"):
                self._take(path)
            self._weights.finished(item.name)

    def finish(self) -> tuple[DumpFile, ...]:
        """Take what is left, `toc.dat` and large objects among it, and wait for all."""
        for path in self._folder.iterdir():
            self._take(path)
        return tuple(sorted((future.result() for future in self._taken.values()), key=lambda file: file.path))

    def _take(self, path: Path) -> None:
        if path.name not in self._taken:
            self._taken[path.name] = self._pool.submit(self._add, path)

    def _add(self, path: Path) -> DumpFile:
        file = DumpFile(path=f"{self._path}/{path.name}", bytes=path.stat().st_size, sha256=hash_file(path))
        self._draft.add(file.path)
        return file


class _Weights:
    """Turns finished tables into progress, by their size on disk; pg_dump tells names without schemas."""

    def __init__(self, sizes: Mapping[tuple[str, str], int], task: Task) -> None:
        self._task = task
        self._sizes: dict[str, list[int]] = {}
        for (_, table), size in sizes.items():
            self._sizes.setdefault(table, []).append(size)

    def finished(self, table: str) -> None:
        """Advance by the table's size."""
        if sizes := self._sizes.get(table):
            self._task.advance(sizes.pop())


def _failed(error: ChildFailed) -> FlagsnapError:
    hint = "nothing was stored; run the same command again when the cause is gone"
    if "No space left" in error.tail:
        hint = "free space in the store, and run the same command again"
    return FlagsnapError(f"the dump failed: {error}", hint)
