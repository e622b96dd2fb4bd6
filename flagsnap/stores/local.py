"""Snapshots in a folder of this machine.

    <store>/<deploy-id>/…             a published snapshot
    <store>/.drafts/<deploy-id>~…/…   one that is being made, or was when its process died

A draft is published by renaming its folder, so the snapshot appears all at once with its manifest in it; rename(2)
refuses where the target is a folder with content. Each draft is locked (flock) by the process that makes it; a draft
whose lock can be had is dead. Everything is synced before the rename, and the folder that holds the name after it.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flagsnap.errors import FlagsnapError, SnapshotExists, SnapshotMissing, UsageError
from flagsnap.snapshot import MANIFEST, is_deploy_id

_DRAFTS = ".drafts"
_SEPARATOR = "~"  # no deploy id has it


class LocalStore:
    """A store on local disk; see `base.Store`."""

    def __init__(self, root: Path) -> None:
        """The folder need not exist yet."""
        self.root = root
        self.url = str(root)

    @contextmanager
    def begin(self, deploy_id: str) -> Iterator["LocalDraft"]:
        """Begin a snapshot in a folder of its own beside the published ones."""
        with _worded(self.root):
            folder, lock = self._locked_draft(deploy_id)
        try:
            with _worded(self.root):
                yield LocalDraft(folder, self.root / deploy_id)
        finally:
            # After a publication the folder has another name, and this removes nothing.
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def deploy_ids(self) -> Sequence[str]:
        """The folders that have a manifest."""
        with _worded(self.root):
            try:
                folders = list(self.root.iterdir())
            except FileNotFoundError:
                return []
            # Not every folder is ours to look into: a volume has a lost+found.
            return [path.name for path in folders if is_deploy_id(path.name) and (path / MANIFEST).is_file()]

    def read(self, deploy_id: str, path: str) -> bytes:
        """Read a file of a snapshot."""
        with _worded(self.root):
            try:
                return (self._folder(deploy_id) / path).read_bytes()
            except FileNotFoundError as error:
                raise SnapshotMissing(f"snapshot {deploy_id} has no file {path}") from error

    @contextmanager
    def checkout(self, deploy_id: str, paths: Sequence[str]) -> Iterator[Path]:  # noqa: ARG002  # all are there
        """The snapshot's own folder."""
        with _worded(self.root):
            folder = self._folder(deploy_id)
        yield folder

    def remove(self, deploy_id: str) -> None:
        """Rename the folder away, which removes the snapshot in one step, then delete it."""
        with _worded(self.root):
            folder = self._folder(deploy_id)
            drafts = self.root / _DRAFTS
            _make_private(drafts)
            grave = Path(tempfile.mkdtemp(prefix=deploy_id + _SEPARATOR, dir=drafts))
            folder.rename(grave / deploy_id)
            _sync(self.root)
            shutil.rmtree(grave)

    def sweep(self) -> Sequence[str]:
        """Remove the drafts whose lock nobody holds."""
        folders = sorted((self.root / _DRAFTS).glob("*"))
        return [folder.name.split(_SEPARATOR)[0] for folder in folders if _remove_if_dead(folder)]

    def _locked_draft(self, deploy_id: str) -> tuple[Path, int]:
        """A new folder for a draft, and the handle that locks it."""
        _make_private(self.root)
        drafts = self.root / _DRAFTS
        _make_private(drafts)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=deploy_id + _SEPARATOR, dir=drafts))
            with suppress(FileNotFoundError):  # another run swept it before it was locked
                lock = os.open(folder, os.O_RDONLY)
                fcntl.flock(lock, fcntl.LOCK_EX)
                if folder.exists():
                    return folder, lock
                os.close(lock)

    def _folder(self, deploy_id: str) -> Path:
        folder = self.root / deploy_id
        if not (folder / MANIFEST).is_file():
            raise SnapshotMissing(
                f"no snapshot {deploy_id} in {self.url}", "`flagsnap list` shows those that are there"
            )
        return folder


@dataclass(frozen=True)
class LocalDraft:
    """A folder that becomes the snapshot's; see `base.Draft`."""

    folder: Path
    target: Path

    def add(self, path: str) -> None:
        """Sync the file; it stays where it is."""
        file = self.folder / path
        file.chmod(0o600)
        _sync(file)

    def publish(self, manifest: bytes) -> None:
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


def _remove_if_dead(folder: Path) -> bool:
    """Remove a draft that nobody has locked; locked meanwhile, so that nobody begins to use it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # somebody else has removed it
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A pg_dump that outlived its flagsnap may still be writing; what it adds goes with the next sweep.
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


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
        raise FlagsnapError(f"the store {root} failed: {(error.strerror or str(error)).lower()}", hint) from error
