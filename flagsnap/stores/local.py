"""Snapshots in a folder of this machine.

    <store>/<deploy-id>/…             a published snapshot
    <store>/.drafts/<deploy-id>~…/…   one that is being made, or was when its process died; or a file to attach
    <store>/.index/<deploy-id>/…      empty files: their names are what `list` shows

A draft is published by renaming its folder, so the snapshot appears all at once with its manifest in it; rename(2)
refuses where the target is a folder with content. Each draft is locked by the process that makes it; a draft whose
lock can be had is dead. Everything is synced before the rename, and the folder that holds the name after it.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flagsnap.errors import SnapshotExists, SnapshotMissing
from flagsnap.progress import Progress
from flagsnap.snapshot import MANIFEST, Summary, is_deploy_id
from flagsnap.stores.base import Listed
from flagsnap.stores.disk import PRIVATE_FILE, PRIVATE_FOLDER, make_private, sync, worded, write_private
from flagsnap.stores.index import brief_entry, summary_entry
from flagsnap.stores.local_index import LocalIndex, stamp
from flagsnap.stores.scratch import SEPARATOR, locked_folder, remove_dead

_DRAFTS = ".drafts"
_RIGHTS = ".rights"
_TRIED = b"flagsnap doctor"
_CHUNK = 1 << 20


class LocalStore:
    """A store on local disk; see `base.Store`."""

    def __init__(self, root: Path) -> None:
        """The folder need not exist yet."""
        self.root = root
        self.url = str(root)
        self._index = LocalIndex(root)

    @contextmanager
    def begin(self, deploy_id: str, owner: str, progress: Progress) -> Iterator["LocalDraft"]:  # noqa: ARG002
        """Begin a snapshot in a folder of its own beside the published ones."""
        with worded(self.root):
            make_private(self.root)
            make_private(self.root / _DRAFTS)
            # After a publication the folder has another name, and nothing is removed.
            with locked_folder(self.root / _DRAFTS, deploy_id) as folder:
                yield LocalDraft(folder, self.root / deploy_id, self._index, progress)

    def list(self) -> Mapping[str, Listed]:
        """The folders that have a manifest, and what the index says of them."""
        with worded(self.root):
            try:
                folders = list(self.root.iterdir())
            except FileNotFoundError:
                return {}
            # Not every folder is ours to look into: a volume has a lost+found.
            found = {path.name: self._index.read(path) for path in folders if is_deploy_id(path.name)}
            return {name: listed for name, listed in found.items() if listed}

    def files(self, deploy_id: str) -> Mapping[str, int]:
        """Walk the snapshot's folder."""
        with worded(self.root):
            folder = self.folder(deploy_id)
            found = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
            return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}

    def read(self, deploy_id: str, path: str) -> Iterator[bytes]:
        """Read a file of a snapshot."""
        with worded(self.root):
            try:
                with (self.folder(deploy_id) / path).open("rb") as stream:
                    while chunk := stream.read(_CHUNK):
                        yield chunk
            except FileNotFoundError as error:
                raise SnapshotMissing(f"snapshot {deploy_id} has no file {path}") from error

    def attach(self, deploy_id: str, path: str, content: bytes, brief: Mapping[str, str] | None = None) -> None:
        """Write and sync it in a draft's folder, where a kill leaves it to the next sweep, then rename it."""
        with worded(self.root):
            folder = self.folder(deploy_id)
            make_private(self.root / _DRAFTS)
            with locked_folder(self.root / _DRAFTS, deploy_id) as draft:
                file = draft / path
                write_private(file, content)
                its_stamp = stamp(file)  # now, while it is certainly this one's
                try:
                    file.replace(folder / path)  # rename(2) puts it in the place of another at once
                    sync(folder)
                    if brief and (entry := brief_entry(path, brief, its_stamp)):
                        self._index.enter(deploy_id, entry)
                except FileNotFoundError:  # another run has removed the snapshot meanwhile
                    raise self._missing(deploy_id) from None

    def detach(self, deploy_id: str, path: str) -> None:
        """Unlink it."""
        with worded(self.root):
            folder = self.folder(deploy_id)
            (folder / path).unlink(missing_ok=True)
            sync(folder)
            self._index.forget(deploy_id, path)

    def try_rights(self) -> None:
        """Write a file as a draft, rename it into the store, read it there, remove it."""
        was_there = self.root.exists()
        drafts = self.root / _DRAFTS
        with worded(self.root):
            try:
                make_private(drafts)
                remove_dead(self.root, _RIGHTS)
                with locked_folder(drafts, _RIGHTS) as draft, locked_folder(self.root, _RIGHTS) as folder:
                    write_private(draft / "file", _TRIED)
                    (draft / "file").rename(folder / "file")
                    sync(folder)
                    (folder / "file").read_bytes()
                self._index.try_rights()
            finally:
                for made in () if was_there else (self._index.folder, drafts, self.root):
                    with suppress(OSError):
                        made.rmdir()

    def folder(self, deploy_id: str) -> Path:
        """The snapshot's own folder."""
        with worded(self.root):
            folder = self.root / deploy_id
            if not (folder / MANIFEST).is_file():
                raise self._missing(deploy_id)
            return folder

    def remove(self, deploy_id: str) -> None:
        """Rename the folder away, which removes the snapshot in one step, then delete it."""
        with worded(self.root):
            folder = self.folder(deploy_id)
            drafts = self.root / _DRAFTS
            make_private(drafts)
            grave = Path(tempfile.mkdtemp(prefix=deploy_id + SEPARATOR, dir=drafts))
            folder.rename(grave / deploy_id)
            sync(self.root)
            self._index.forget_all(deploy_id)
            shutil.rmtree(grave)

    def sweep(self, owner: str, progress: Progress) -> None:  # noqa: ARG002  # the lock tells, whoever the owner is
        """Remove the drafts whose lock nobody holds."""
        for dead in remove_dead(self.root / _DRAFTS):
            progress.note(f"removed what an interrupted run had left of {dead}")
        self._index.sweep()

    def _missing(self, deploy_id: str) -> SnapshotMissing:
        return SnapshotMissing(f"no snapshot {deploy_id} in {self.url}", "`flagsnap list` shows those that are there")


@dataclass(frozen=True)
class LocalDraft:
    """A folder that becomes the snapshot's; see `base.Draft`."""

    folder: Path
    target: Path
    index: LocalIndex
    progress: Progress
    place: str = "the store"
    workers: int = 2
    room: None = None

    def add(self, path: str) -> None:
        """Sync the file; it stays where it is."""
        file = self.folder / path
        file.chmod(PRIVATE_FILE)
        sync(file)

    def cancel(self) -> None:
        """Nothing takes long here."""

    def publish(self, manifest: bytes, summary: Summary) -> None:
        """Write and sync the manifest, then rename the folder."""
        file = self.folder / MANIFEST
        write_private(file, manifest)
        its_stamp = stamp(file)
        for folder, _, _ in os.walk(self.folder):
            Path(folder).chmod(PRIVATE_FOLDER)
            sync(Path(folder))
        try:
            self.folder.rename(self.target)  # the commit point
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            raise SnapshotExists(f"snapshot {self.target.name} was published by another run meanwhile") from error
        sync(self.target.parent)
        self._enter(summary, its_stamp)

    def _enter(self, summary: Summary, its_stamp: str) -> None:
        """Put the snapshot into the index; it is as good without, only slower to list."""
        try:
            self.index.forget_all(self.target.name)  # somebody may have removed an earlier one by hand
            if entry := summary_entry(summary, its_stamp):
                self.index.enter(self.target.name, entry)
        except OSError as error:
            self.progress.warn(f"the snapshot is published, but not in the index: {(error.strerror or '').lower()}")
