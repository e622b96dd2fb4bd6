"""Snapshots in a folder of this machine.

    <store>/<deploy-id>/…             a published snapshot
    <store>/.drafts/<deploy-id>~…/…   one that is being made, or was when its process died; or a file to attach

A draft is published by renaming its folder, so the snapshot appears all at once with its manifest in it; rename(2)
refuses where the target is a folder with content. Each draft is locked by the process that makes it; a draft whose
lock can be had is dead. Everything is synced before the rename, and the folder that holds the name after it.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flagsnap.errors import SnapshotExists, SnapshotMissing, StoreFailed, UsageError
from flagsnap.progress import Progress
from flagsnap.snapshot import MANIFEST, Summary, is_deploy_id
from flagsnap.stores.scratch import SEPARATOR, locked_folder, remove_dead

_DRAFTS = ".drafts"
_CHUNK = 1 << 20


class LocalStore:
    """A store on local disk; see `base.Store`."""

    def __init__(self, root: Path) -> None:
        """The folder need not exist yet."""
        self.root = root
        self.url = str(root)

    @contextmanager
    def begin(self, deploy_id: str, owner: str, progress: Progress) -> Iterator["LocalDraft"]:  # noqa: ARG002
        """Begin a snapshot in a folder of its own beside the published ones."""
        with _worded(self.root):
            _make_private(self.root)
            _make_private(self.root / _DRAFTS)
            # After a publication the folder has another name, and nothing is removed.
            with locked_folder(self.root / _DRAFTS, deploy_id) as folder:
                yield LocalDraft(folder, self.root / deploy_id)

    def list(self) -> Mapping[str, Summary | None]:
        """The folders that have a manifest."""
        with _worded(self.root):
            try:
                folders = list(self.root.iterdir())
            except FileNotFoundError:
                return {}
            # Not every folder is ours to look into: a volume has a lost+found.
            names = (path.name for path in folders if is_deploy_id(path.name) and (path / MANIFEST).is_file())
            return dict.fromkeys(names)

    def files(self, deploy_id: str) -> Mapping[str, int]:
        """Walk the snapshot's folder."""
        with _worded(self.root):
            folder = self.folder(deploy_id)
            found = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
            return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}

    def read(self, deploy_id: str, path: str) -> Iterator[bytes]:
        """Read a file of a snapshot."""
        with _worded(self.root):
            try:
                with (self.folder(deploy_id) / path).open("rb") as stream:
                    while chunk := stream.read(_CHUNK):
                        yield chunk
            except FileNotFoundError as error:
                raise SnapshotMissing(f"snapshot {deploy_id} has no file {path}") from error

    def attach(self, deploy_id: str, path: str, content: bytes) -> None:
        """Write and sync it in a draft's folder, where a kill leaves it to the next sweep, then rename it."""
        with _worded(self.root):
            folder = self.folder(deploy_id)
            _make_private(self.root / _DRAFTS)
            with locked_folder(self.root / _DRAFTS, deploy_id) as draft:
                file = draft / path
                file.touch(mode=0o600)
                file.write_bytes(content)
                file.chmod(0o600)
                _sync(file)
                try:
                    file.replace(folder / path)  # rename(2) puts it in the place of another at once
                    _sync(folder)
                except FileNotFoundError:  # another run has removed the snapshot meanwhile
                    raise self._missing(deploy_id) from None

    def folder(self, deploy_id: str) -> Path:
        """The snapshot's own folder."""
        with _worded(self.root):
            folder = self.root / deploy_id
            if not (folder / MANIFEST).is_file():
                raise self._missing(deploy_id)
            return folder

    def remove(self, deploy_id: str) -> None:
        """Rename the folder away, which removes the snapshot in one step, then delete it."""
        with _worded(self.root):
            folder = self.folder(deploy_id)
            drafts = self.root / _DRAFTS
            _make_private(drafts)
            grave = Path(tempfile.mkdtemp(prefix=deploy_id + SEPARATOR, dir=drafts))
            folder.rename(grave / deploy_id)
            _sync(self.root)
            shutil.rmtree(grave)

    def sweep(self, owner: str, progress: Progress) -> None:  # noqa: ARG002  # the lock tells, whoever the owner is
        """Remove the drafts whose lock nobody holds."""
        for dead in remove_dead(self.root / _DRAFTS):
            progress.note(f"removed what an interrupted run had left of {dead}")

    def _missing(self, deploy_id: str) -> SnapshotMissing:
        return SnapshotMissing(f"no snapshot {deploy_id} in {self.url}", "`flagsnap list` shows those that are there")


@dataclass(frozen=True)
class LocalDraft:
    """A folder that becomes the snapshot's; see `base.Draft`."""

    folder: Path
    target: Path
    place: str = "the store"
    workers: int = 2
    room: None = None

    def add(self, path: str) -> None:
        """Sync the file; it stays where it is."""
        file = self.folder / path
        file.chmod(0o600)
        _sync(file)

    def cancel(self) -> None:
        """Nothing takes long here."""

    def publish(self, manifest: bytes, summary: Summary) -> None:  # noqa: ARG002  # reading the manifest costs little
        """Write and sync the manifest, then rename the folder."""
        file = self.folder / MANIFEST
        with file.open("xb") as stream:
            stream.write(manifest)
        file.chmod(0o600)
        _sync(file)
        for folder, _, _ in os.walk(self.folder):
            Path(folder).chmod(0o700)
            _sync(Path(folder))
        try:
            self.folder.rename(self.target)  # the commit point
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            raise SnapshotExists(f"snapshot {self.target.name} was published by another run meanwhile") from error
        _sync(self.target.parent)


def _make_private(folder: Path) -> None:
    """Create a folder that only its owner may enter: snapshots hold every secret of the application."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _worded(root: Path) -> Iterator[None]:
    """Word the operating system's errors for people."""
    try:
        yield
    except PermissionError as error:
        raise UsageError(
            f"the store {root} cannot be used: {(error.strerror or '').lower()}",
            "give this user a folder that it may write to",
        ) from error
    except OSError as error:
        hint = "check what --store (FLAGSNAP_STORE) names, and its disk"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            hint = "free space there, and run the same command again"
        raise StoreFailed(f"the store {root} failed: {(error.strerror or str(error)).lower()}", hint) from error
