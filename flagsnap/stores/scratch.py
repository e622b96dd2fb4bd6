"""Folders that belong to a process: locked (flock) by it, removed when it is done, dead if it was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SEPARATOR = "~"
_SCRATCH = "flagsnap-scratch"


@contextmanager
def locked_folder(parent: Path, name: str) -> Iterator[Path]:
    """A new folder `name~…` in `parent`, which is there; at the end it is removed, if it still has that name."""
    folder, lock = _make(parent, name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_dead(parent: Path, name: str = "*") -> list[str]:
    """Remove the folders whose lock nobody holds; gives back their names without what follows `~`."""
    folders = sorted(parent.glob(f"{name}{SEPARATOR}*"))
    return [folder.name.split(SEPARATOR)[0] for folder in folders if _remove_if_dead(folder)]


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for files that are on their way, where TMPDIR points; those of killed runs are removed first."""
    parent = scratch_place()
    remove_dead(parent, _SCRATCH)
    with locked_folder(parent, _SCRATCH) as folder:
        yield folder


def scratch_place() -> Path:
    """Where scratch folders are made."""
    return Path(tempfile.gettempdir())


def _make(parent: Path, name: str) -> tuple[Path, int]:
    """A new folder, and the handle that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=name + SEPARATOR, dir=parent))
        with suppress(FileNotFoundError):  # another run swept it before it was locked
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_if_dead(folder: Path) -> bool:
    """Remove a folder that nobody has locked; locked meanwhile, so that nobody begins to use it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # somebody else has removed it, or it is another user's
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
