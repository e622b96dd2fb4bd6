"""The files of a snapshot against the hashes in its manifest: checked where they lie, or while they are fetched."""

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from flagsnap.errors import Interrupted, SnapshotDamaged, SnapshotMissing, StoreFailed
from flagsnap.progress import Progress
from flagsnap.snapshot import DumpFile, Manifest
from flagsnap.stores.base import Store
from flagsnap.stores.scratch import scratch_folder, scratch_place

_FETCHED_AT_ONCE = 8  # each waits for the network, not for a processor
_READINGS = 3  # a network may alter what a store has whole
_DUMPS = "dumps/"
Work = Callable[[DumpFile, Callable[[int], None]], str | None]
_ROOM = "free space there, or set TMPDIR to a folder with more"


@dataclass(frozen=True)
class Content:
    """The files of one snapshot."""

    store: Store
    manifest: Manifest
    workers: int
    progress: Progress

    def check(self, only: Collection[str] | None = None, stop: Callable[[], bool] = lambda: False) -> tuple[str, ...]:
        """Hash every file; gives back what is missing, extra or changed, in words.

        `only` names the paths of those to read; what is missing or extra is found in any case. TimeoutError once `stop`
        says so.
        """
        sizes = self.store.files(self.manifest.deploy_id)
        known = {file.path for file in self.manifest.files}
        extra = [f"{path} was not recorded" for path in sorted(sizes) if path.startswith(_DUMPS) and path not in known]
        misfits = {file.path: found for file in self.manifest.files if (found := _misfit(file, sizes.get(file.path)))}

        def read(file: DumpFile, advance: Callable[[int], None]) -> str | None:
            def advance_unless_stopped(amount: int) -> None:
                if stop():
                    raise TimeoutError
                advance(amount)

            return self._read(file, None, advance_unless_stopped)

        fitting = (file for file in self.manifest.files if file.path not in misfits)
        wanted = [file for file in fitting if only is None or file.path in only]
        return (*misfits.values(), *self._each("hash files", wanted, read), *extra)

    @contextmanager
    def on_disk(self, only: Collection[str] | None = None) -> Iterator[Path]:
        """The snapshot's folder on this machine, each file with its recorded hash; SnapshotDamaged otherwise.

        Where the store is elsewhere, the files are fetched into scratch space; StoreFailed if there is too little.
        `only` names the paths of those that are wanted; others are not looked at.
        """
        files = tuple(file for file in self.manifest.files if only is None or file.path in only)
        if folder := self.store.folder(self.manifest.deploy_id):
            _require_none(self.check() if only is None else self._hashed(files))
            yield folder
            return
        self._require_room(files)
        with scratch_folder() as folder:
            self._fetch_into(folder, files)
            yield folder

    def _hashed(self, files: Sequence[DumpFile]) -> tuple[str, ...]:
        return self._each("hash files", files, lambda file, advance: self._read(file, None, advance))

    def _fetch_into(self, folder: Path, files: Sequence[DumpFile]) -> None:
        for file in files:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        try:
            _require_none(
                self._each("download", files, lambda file, advance: self._read(file, folder / file.path, advance))
            )
        except OSError as error:
            raise StoreFailed(f"cannot write to {scratch_place()}: {(error.strerror or '').lower()}", _ROOM) from error

    def _require_room(self, files: Sequence[DumpFile]) -> None:
        needed = sum(file.bytes for file in files)
        free = disk_usage(scratch_place()).free
        if needed > free:
            raise StoreFailed(
                f"fetching {self.manifest.deploy_id} needs {needed / 1e6:,.0f} MB of scratch space,"
                f" {scratch_place()} has {free / 1e6:,.0f} MB",
                _ROOM,
            )

    def _each(self, title: str, files: Sequence[DumpFile], work: Work) -> tuple[str, ...]:
        """Do it for all these files, the largest first; gives back the problems, in the order of the files."""
        stopped = threading.Event()
        total = sum(file.bytes for file in files)
        with self.progress.task(title, total, "bytes") as task, ThreadPoolExecutor(self._at_once) as pool:

            def advance(amount: int) -> None:
                if stopped.is_set():
                    raise Interrupted("stopped")
                task.advance(amount)

            largest_first = sorted(files, key=lambda file: -file.bytes)
            futures = {file.path: pool.submit(work, file, advance) for file in largest_first}
            try:
                return tuple(found for file in files if (found := futures[file.path].result()))
            except BaseException:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @property
    def _at_once(self) -> int:
        return self.workers if self.store.folder(self.manifest.deploy_id) else max(self.workers, _FETCHED_AT_ONCE)

    def _read(self, file: DumpFile, target: Path | None, advance: Callable[[int], None]) -> str | None:
        """Read a file, hash it, and keep it if there is a target; what is wrong with it, in words."""
        for _ in range(_READINGS):
            digest, size = hashlib.sha256(), 0
            try:
                with target.open("wb") if target else nullcontext() as kept:
                    for chunk in self.store.read(self.manifest.deploy_id, file.path):
                        digest.update(chunk)
                        size += len(chunk)
                        if kept:
                            kept.write(chunk)
                        advance(len(chunk))
            except SnapshotMissing:
                return f"{file.path} is missing"
            if size == file.bytes and digest.hexdigest() == file.sha256:
                return None
        return f"{file.path} does not have its recorded SHA-256"


def _misfit(file: DumpFile, size: int | None) -> str | None:
    """What is wrong with a file of which only the size is known, None if it is missing; in words."""
    if size is None:
        return f"{file.path} is missing"
    return None if size == file.bytes else f"{file.path} has {size} bytes, not {file.bytes}"


def _require_none(problems: tuple[str, ...]) -> None:
    if problems:
        raise SnapshotDamaged(
            f"the snapshot is damaged: {problems[0]}" + (f", and {len(problems) - 1} more" if problems[1:] else ""),
            "`flagsnap verify --level files` shows all; `flagsnap list` shows other snapshots",
        )
