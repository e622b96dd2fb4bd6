"""The snapshots of a store: manifests read and checked, files checked against them."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flagsnap.errors import FlagsnapError, SnapshotDamaged, SnapshotMissing
from flagsnap.progress import Progress
from flagsnap.results import Listing
from flagsnap.snapshot import (
    LATEST,
    MANIFEST,
    DumpFile,
    Manifest,
    Summary,
    check_deploy_id,
    newest_first,
    read_manifest,
)
from flagsnap.stores.base import Store

_CHUNK = 1 << 20


class Snapshots:
    """All snapshots of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, deploy_id: str) -> Manifest:
        """The manifest of a deploy id, or of `latest`. SnapshotMissing, or SnapshotDamaged."""
        if deploy_id == LATEST:
            return self._latest()
        return read_manifest(self.store.read(check_deploy_id(deploy_id), MANIFEST), deploy_id)

    def find(self, deploy_id: str) -> Manifest | None:
        """The manifest, None if there is no such snapshot; SnapshotDamaged."""
        try:
            return self.get(deploy_id)
        except SnapshotMissing:
            return None

    def after(self, deploy_id: str) -> Manifest:
        """The first snapshot captured after that one: it recorded the state that the deploy ran with."""
        this = self.get(deploy_id)
        later = [each for each in self._all() if each.captured_at > this.captured_at]
        if not later:
            raise SnapshotMissing(
                f"no snapshot was captured after {deploy_id}, so nothing recorded the state it ran with",
                f"--to {deploy_id} goes back to the state before it",
            )
        return self.get(later[-1].deploy_id)

    def list(self) -> Listing:
        """Read every manifest; one that cannot be read hides none of the others."""
        summaries: list[Summary] = []
        damaged: list[tuple[str, str]] = []
        for deploy_id in sorted(self.store.deploy_ids()):
            try:
                summaries.append(self.get(deploy_id).summary)
            except FlagsnapError as error:
                damaged.append((deploy_id, str(error)))
        return Listing(newest_first(summaries), tuple(damaged))

    def _latest(self) -> Manifest:
        summaries = self._all()
        if not summaries:
            raise SnapshotMissing(f"there is no snapshot in {self.store.url}", "`flagsnap capture` makes one")
        return self.get(summaries[0].deploy_id)

    def _all(self) -> tuple[Summary, ...]:
        """Newest first; SnapshotDamaged if one cannot be read, since nobody knows its place in the order."""
        listing = self.list()
        if listing.damaged:
            raise SnapshotDamaged(
                f"the order of the snapshots is not known: {listing.damaged[0][1]}",
                "name a deploy id (`flagsnap list` shows them), or take the damaged one out of the store",
            )
        return listing.summaries


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; memory does not grow with the file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_files(folder: Path, files: Sequence[DumpFile], workers: int, progress: Progress) -> tuple[str, ...]:
    """Hash every file of a snapshot in `folder`; gives back what is missing, extra or changed, in words."""
    total = sum(file.bytes for file in files)
    with progress.task("hash files", total, "bytes") as task, ThreadPoolExecutor(workers) as pool:

        def check(file: DumpFile) -> str | None:
            problem = _check_file(folder, file)
            task.advance(file.bytes)
            return problem

        problems = [problem for problem in pool.map(check, files) if problem]
    return (*problems, *_extra_files(folder, files))


def require_files(folder: Path, files: Sequence[DumpFile], workers: int, progress: Progress) -> None:
    """SnapshotDamaged unless every file is there with its recorded hash."""
    if problems := check_files(folder, files, workers, progress):
        raise SnapshotDamaged(
            f"the snapshot is damaged: {problems[0]}" + (f", and {len(problems) - 1} more" if problems[1:] else ""),
            "`flagsnap verify --level files` shows all; `flagsnap list` shows other snapshots",
        )


def _check_file(folder: Path, file: DumpFile) -> str | None:
    path = folder / file.path
    try:
        size = path.stat().st_size
        if size != file.bytes:
            return f"{file.path} has {size} bytes, not {file.bytes}"
        return None if hash_file(path) == file.sha256 else f"{file.path} does not have its recorded SHA-256"
    except FileNotFoundError:
        return f"{file.path} is missing"


def _extra_files(folder: Path, files: Iterable[DumpFile]) -> list[str]:
    known = {file.path for file in files}
    found = (
        (Path(parent) / name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder / "dumps")
        for name in names
    )
    return [f"{path} was not recorded" for path in sorted(found) if path not in known]
