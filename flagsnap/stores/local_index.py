"""The index of a store on local disk: empty files, each with the stamp of the file that it tells of.

The stamp is that file's size and time of change, as the disk has them. Whoever removes, replaces or copies snapshots by
hand changes one of them, so an entry that is left over is not believed. An entry that was lost with the power is read
from the file itself; nothing here is synced.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from flagsnap.snapshot import MANIFEST, is_deploy_id
from flagsnap.stores import index
from flagsnap.stores.base import Listed
from flagsnap.stores.disk import PRIVATE_FILE, make_private
from flagsnap.stores.scratch import locked_folder, remove_dead

_RIGHTS = ".rights"


def stamp(file: Path | os.DirEntry[str]) -> str:
    """What tells a file from the one that was there before, or will be after it; renaming it changes nothing."""
    found = file.stat()
    return f"{found.st_size:x}.{found.st_mtime_ns:x}"


class LocalIndex:
    """The entries of a store; errors are OSError."""

    def __init__(self, root: Path) -> None:
        """`root` is the store's folder."""
        self.folder = root / index.FOLDER

    def read(self, snapshot: Path) -> Listed | None:
        """What is known of the snapshot in that folder; None if it has no manifest, so is none.

        An attached file without an entry that tells of it as it is now has an empty brief.
        """
        stamps = _stamps(snapshot)
        if MANIFEST not in stamps:
            return None
        entries = (index.read_entry(name) for name in _names_in(self.folder / snapshot.name))
        listed = index.read_entries(snapshot.name, (each for each in entries if stamps.get(each.path) == each.stamp))
        if listed.briefs is None:
            return listed
        attached: dict[str, Mapping[str, str]] = {path: {} for path in stamps if path != MANIFEST}
        return Listed(listed.summary, {**attached, **listed.briefs})

    def enter(self, deploy_id: str, name: str) -> None:
        """Make an entry, in the place of others that tell of the same file."""
        folder = self.folder / deploy_id
        for each in (self.folder, folder):
            make_private(each)
        (folder / name).touch(PRIVATE_FILE)
        for other in self._names(deploy_id, index.read_entry(name).path):
            if other != name:
                (folder / other).unlink(missing_ok=True)

    def forget(self, deploy_id: str, path: str) -> None:
        """Remove the entries that tell of a file that is gone; one that stays does no harm."""
        with suppress(OSError):
            for name in self._names(deploy_id, path):
                (self.folder / deploy_id / name).unlink(missing_ok=True)

    def forget_all(self, deploy_id: str) -> None:
        """The same for all of a snapshot."""
        shutil.rmtree(self.folder / deploy_id, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what tells of snapshots that are gone."""
        for name in _names_in(self.folder):
            if is_deploy_id(name) and not (self.folder.parent / name).exists():
                self.forget_all(name)

    def try_rights(self) -> None:
        """Make an entry, of which nobody takes notice, and remove it."""
        make_private(self.folder)
        remove_dead(self.folder, _RIGHTS)
        with locked_folder(self.folder, _RIGHTS) as folder:
            (folder / "entry").touch(PRIVATE_FILE)

    def _names(self, deploy_id: str, path: str) -> Sequence[str]:
        """The entries that tell of a file."""
        return [name for name in _names_in(self.folder / deploy_id) if index.read_entry(name).path == path]


def _names_in(folder: Path) -> Sequence[str]:
    """None if it cannot be looked into: the index is never needed."""
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found]
    except OSError:
        return []


def _stamps(snapshot: Path) -> Mapping[str, str]:
    """The stamps of the files that stand in the snapshot's folder itself: the manifest's, and those attached to it."""
    try:
        with os.scandir(snapshot) as found:
            return dict(_stamped(found))
    except (FileNotFoundError, NotADirectoryError):  # it is a file, or was removed just now
        return {}


def _stamped(found: Iterator[os.DirEntry[str]]) -> Iterator[tuple[str, str]]:
    for entry in found:
        with suppress(FileNotFoundError):  # it was removed just now
            if entry.is_file():
                yield entry.name, stamp(entry)
